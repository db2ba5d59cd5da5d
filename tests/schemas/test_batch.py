"""A message is viewed as what a full Avro reader makes of it, and nothing that is no message gets further."""

import copy
import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import LONGEST_FEEDER, ROW, Batch, DecodeError, decode, encode, layout_of
from schemas.registry import schemas
from tests.soak import examples

DEFINITION = dict(schemas()[6].definition)
PARSED = fastavro.parse_schema(copy.deepcopy(DEFINITION))

numbers = st.integers(0, 2**32 - 1)
row = st.tuples(numbers, numbers, st.floats(width=32), st.floats(), st.integers(0, 255))
headers = st.fixed_dictionaries({
    "metric": st.text(max_size=20),
    "area": st.integers(0, 2**31 - 1),
    "class_": st.text(max_size=20),
    "interval": st.integers(0, 2**31 - 1),
    "start": st.integers(0, 253_402_300_799_999),
    "feeder": st.text(max_size=LONGEST_FEEDER).filter(str.isprintable),
})  # fmt: skip


def message(header: dict, rows: list) -> bytes:
    return encode(6, **header, rows=np.array(rows, ROW))


def read(body: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(body), PARSED, None)


def written(header: dict, rows: list) -> bytes:
    """The same batch by a stock writer."""
    record = {"class": header["class_"], **{name: value for name, value in header.items() if name != "class_"}}
    names = ("source", "contributor", "after", "value", "quality")
    sizes = {"source": 4, "contributor": 4, "quality": 1}
    record["rows"] = [
        {
            name: value.to_bytes(sizes[name], "little") if name in sizes else value
            for name, value in zip(names, row, strict=True)
        }
        for row in rows
    ]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    return b"\x00\x00\x00\x00\x06" + out.getvalue()


@given(headers, st.lists(row, max_size=5))
def test_what_is_written_is_what_a_stock_writer_writes(header, rows):
    assert message(header, rows) == written(header, rows)


@given(headers, st.lists(row, max_size=5))
def test_a_view_gives_back_what_was_written_without_copying(header, rows):
    body = message(header, rows)
    batch = decode(body)
    assert {name: getattr(batch, name) for name in header} == header
    assert batch.array().tobytes() == np.array(rows, ROW).tobytes()
    assert batch.viewed
    assert isinstance(batch.rows, memoryview)


def test_a_message_of_the_first_version_has_the_feeder_without_a_name():
    header: dict[str, Any] = {"metric": "energy.import", "area": 1, "class_": "residential", "interval": 1, "start": 5}
    batch = decode(encode(1, **header, rows=np.array([(1, 1, 0, 2, 1)], ROW)))
    assert (batch.feeder, batch.viewed) == ("", True)


@pytest.mark.parametrize("feeder", ["x" * 65, "a\x00", "a\n"])
def test_a_feeder_with_a_name_that_cannot_be_stored_or_shown_is_dead(feeder):
    header = {"metric": "m", "area": 1, "class_": "c", "interval": 1, "start": 5}
    with pytest.raises(DecodeError, match="out-of-range"):
        decode(message({**header, "feeder": feeder}, []))


@examples(400, soak=20_000, minutes=1.5)
@given(st.binary(max_size=80))
def test_whatever_the_bytes_are_they_are_a_batch_or_a_decode_error(body):
    for candidate in (body, b"\x00\x00\x00\x00\x01" + body, b"\x00\x00\x00\x00\x06" + body):
        try:
            batch = decode(candidate)
        except DecodeError as error:
            assert error.reason
        else:
            assert isinstance(batch, Batch)
            assert len(batch.array()) == batch.count


@examples(100, soak=2_000)
@given(headers, st.lists(row, min_size=1, max_size=4), st.data())
def test_a_spoiled_message_is_never_viewed_as_something_that_avro_does_not_say(header, rows, data):
    body = bytearray(message(header, rows))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(5, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = decode(bytes(body))
    except DecodeError:
        return
    stock = read(bytes(body[5:]))
    assert (batch.metric, batch.class_, batch.area) == (stock["metric"], stock["class"], stock["area"])
    assert [int.from_bytes(row["source"], "little") for row in stock["rows"]] == batch.array()["source"].tolist()


@pytest.mark.parametrize("sized", [True, False])
def test_rows_in_several_blocks_are_read_all_the_same(sized):
    header = {"metric": "energy.import", "area": 1, "class_": "residential", "interval": 1, "start": 5, "feeder": "f"}
    rows = [(n, n, 0.0, float(n), 1) for n in range(3)]
    head = message(header, [])[:-1]
    count = b"\x01\x2a" if sized else b"\x02"  # -1 and 21 bytes, or 1
    blocks = b"".join(count + np.array([row], ROW).tobytes() for row in rows)
    batch = decode(head + blocks + b"\x00")
    assert batch.array().tobytes() == np.array(rows, ROW).tobytes()
    assert not batch.viewed


def test_fields_of_another_writer_are_found_by_name_and_absent_ones_take_the_default():
    older = copy.deepcopy(DEFINITION)
    items = older["fields"][-1]["type"]["items"]
    fixed = {field["name"]: field for field in items["fields"]}
    items["fields"] = [fixed["value"], fixed["after"], {**fixed["source"]}, fixed["contributor"]]
    layouts = {7: layout_of(older)}
    record = {"metric": "m", "area": 3, "class": "c", "interval": 4, "start": 5}
    record["rows"] = [{"value": 1.5, "after": 2.0, "source": b"\x08\0\0\0", "contributor": b"\x09\0\0\0"}]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(older)), record)
    batch = decode(b"\x00\x00\x00\x00\x07" + out.getvalue(), layouts)
    assert batch.array().tolist() == [(8, 9, 2.0, 1.5, 1)]
    assert not batch.viewed


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "note", "type": "string"},
        {"name": "maybe", "type": ["null", "double"]},
        {"name": "count", "type": "long"},
    ],
)
def test_a_row_without_fixed_width_is_refused(broken):
    definition = copy.deepcopy(DEFINITION)
    definition["fields"][-1]["type"]["items"]["fields"].append(broken)
    with pytest.raises(ValueError, match="fixed width"):
        layout_of(definition)
