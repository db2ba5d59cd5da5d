"""Schemas of Avro that others wrote: what is refused, and that no message takes more memory than is said."""

import json
from decimal import Decimal
from io import BytesIO

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.live.topics.avro_schema import DEEPEST, LONGEST_SCHEMA, NotInSchema, UnusableSchema, avro_schema
from tests.ingest.files.imports import peak_bytes
from tests.soak import amount, soak

MEMORY = 140 << 20
PART = amount(20, soak=1)
"""Of the longest message, as long as this says: the memory grows with the length."""


def record(name: str, *types: object) -> dict:
    return {"type": "record", "name": name, "fields": [{"name": f"f{n}", "type": of} for n, of in enumerate(types)]}


def array(items: object) -> dict:
    return {"type": "array", "items": items}


def nested(levels: int, doubling: int) -> list:
    """Records in records, by their names."""
    return [record("Level0", "int"), *(record(f"Level{n}", *[f"Level{n - 1}"] * doubling) for n in range(1, levels))]


def long(number: int) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, "long", number)
    return file.getvalue()


UNUSABLE = {
    "no JSON": b"{",
    "unknown type": b'"nope"',
    "nothing": b"[]",
    "null": b"null",
    "deep JSON": b"[" * 100_000,
    "levels of JSON": b'{"type":' * DEEPEST + b'"int"' + b"}" * DEEPEST,
    "deep by names": json.dumps(nested(DEEPEST + 20, 1)).encode(),
    "a list in itself": json.dumps(record("L", ["null", "L"])).encode(),
    "an array of nothing": json.dumps(array("null")).encode(),
    "an array of empty records": json.dumps(array(record("E"))).encode(),
    "an array of fixed without bytes": json.dumps(array({"type": "fixed", "name": "F", "size": 0})).encode(),
    "a fixed of a negative size": json.dumps({"type": "fixed", "name": "F", "size": -1}).encode(),
    "a fixed without a number": json.dumps({"type": "fixed", "name": "F", "size": "x"}).encode(),
    "a thousand million nulls": json.dumps([record("Level0", "null"), *nested(30, 2)[1:]]).encode(),
    "many types": json.dumps(record("M", *["int"] * 10_001)).encode(),
    "long": json.dumps(record("L", "int") | {"doc": "x" * LONGEST_SCHEMA}).encode(),
    "marks of the library": b'{"type": "record", "name": "X", "fields": "none", "__fastavro_parsed": true}',
}  # fmt: skip


@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_a_schema_that_is_none_or_has_no_limit_is_refused(text: bytes) -> None:
    with pytest.raises(UnusableSchema):
        avro_schema(text)


COSTLY = {
    "records": (array(record("R", "int")), b"\0"),
    "records with nulls": (array(record("R", "int", *["null"] * 500)), b"\0"),
    "records in records": ([*nested(20, 1), array("Level19")], b"\0"),
    "many records in records": ([*nested(12, 2), array("Level11")], bytes(2**11)),
    "arrays": (array(array("int")), b"\0"),
    "unions": (array(["null", record("R", "int")]), b"\2\0"),
}


@soak(minutes=2)
@pytest.mark.parametrize(("document", "item"), COSTLY.values(), ids=COSTLY)
def test_the_longest_message_of_a_schema_takes_no_more_memory_than_is_said(document: object, item: bytes) -> None:
    schema = avro_schema(json.dumps(document).encode())
    branch = long(len(document) - 1) if isinstance(document, list) else b""
    count = (schema.longest - 20) // len(item) // PART
    content = branch + long(count) + item * count + b"\0"
    found: list[object] = []
    assert peak_bytes(lambda: found.append(schema.read(content))) < MEMORY // PART + (1 << 20)
    assert len(found[0]) == count  # type: ignore[arg-type]
    with pytest.raises(NotInSchema):
        schema.read(content + bytes(schema.longest))


def test_a_decimal_keeps_its_digits_and_a_long_one_is_refused() -> None:
    schema = avro_schema(json.dumps({"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 3}).encode())
    digits = Decimal("-123456789012345678901234567890123456.789")
    data = int(str(digits).replace(".", "")).to_bytes(20, "big", signed=True)
    assert schema.read(long(len(data)) + data) == digits
    with pytest.raises(NotInSchema):
        schema.read(long(100_000) + b"\x7f" * 100_000)


def test_types_of_other_schemas_are_found_by_their_names() -> None:
    device = json.dumps(record("Device", "string")).encode()
    schema = avro_schema(json.dumps(record("Telemetry", "Device", "int")).encode(), [device])
    assert schema.read(b"\x02a\x04") == {"f0": {"f0": "a"}, "f1": 2}


@given(st.binary(max_size=200))
def test_any_bytes_are_in_a_schema_or_not(content: bytes) -> None:
    document = array(record("R", "string", ["null", "double"], {"type": "map", "values": "long"}))
    schema = avro_schema(json.dumps(document).encode())
    try:
        value = schema.read(content)
    except NotInSchema:
        return
    assert isinstance(value, list)
