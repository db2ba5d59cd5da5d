"""Plate regions lie before the rows of a batch, and every legal encoding of them is read alike."""

import copy
import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import REGION, ROW, DecodeError, decode, encode, layout_of
from schemas.registry import schema_named

SCHEMA = schema_named("traffic.plate-regions.v1")
PARSED = fastavro.parse_schema(copy.deepcopy(dict(SCHEMA.definition)))
HEADER: dict[str, Any] = {
    "metric": "traffic.regions",
    "area": 3,
    "class_": "any",
    "interval": 500,
    "start": 1_790_000_000_000,
}

number = st.integers(0, 2**16 - 1)
regions = st.lists(st.tuples(number, number, number, number, st.floats(0, 1, width=32), st.integers(0, 2)), max_size=5)
rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.just(0.0), st.just(2.0), st.just(1)), max_size=2)


def array(records: list, kind: np.dtype) -> np.ndarray:
    return np.array(records, kind)


def items(records: list, kind: np.dtype) -> list[dict]:
    """Records as a stock writer wants them."""
    sizes = {"x": 2, "y": 2, "w": 2, "h": 2, "form": 1, "source": 4, "contributor": 4, "quality": 1}
    return [
        {
            name: value.to_bytes(sizes[name], "little") if name in sizes else value
            for name, value in zip(kind.names, record, strict=True)
        }
        for record in records
    ]


def written(found: list, counted: list) -> bytes:
    record = {"class": HEADER["class_"], **{name: value for name, value in HEADER.items() if name != "class_"}}
    record |= {"regions": items(found, REGION), "rows": items(counted, ROW)}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    return b"\x00" + SCHEMA.id.to_bytes(4, "big") + out.getvalue()


@given(regions, rows)
def test_a_batch_with_regions_is_what_a_stock_writer_writes_and_is_viewed(found, counted):
    message = encode(SCHEMA.id, **HEADER, rows=array(counted, ROW), regions=array(found, REGION))
    assert message == written(found, counted)
    batch = decode(message)
    assert batch.viewed
    assert batch.regions == array(found, REGION).tobytes()
    assert bytes(batch.rows) == array(counted, ROW).tobytes()


def test_regions_in_blocks_with_sizes_are_read_alike():
    whole = encode(
        SCHEMA.id,
        **HEADER,
        rows=array([(1, 1, 0, 2, 1)], ROW),
        regions=array([(1, 2, 3, 4, 0.5, 1), (5, 6, 7, 8, 0.25, 2)], REGION),
    )
    size = 2 * REGION.itemsize
    at = whole.index(b"\x04" + array([(1, 2, 3, 4, 0.5, 1)], REGION).tobytes())
    other = whole[:at] + b"\x03" + bytes([size * 2]) + whole[at + 1 :]  # a count of -2, and the block's size
    batch = decode(other)
    assert not batch.viewed
    assert batch.regions == decode(whole).regions
    assert bytes(batch.rows) == bytes(decode(whole).rows)


@given(regions.filter(bool), st.integers(1, 30))
def test_a_batch_that_is_cut_is_no_batch(found, cut):
    message = encode(SCHEMA.id, **HEADER, rows=array([(1, 1, 0, 2, 1)], ROW), regions=array(found, REGION))
    with pytest.raises(DecodeError):
        decode(message[:-cut])


def test_a_writer_without_form_gives_the_default():
    definition = copy.deepcopy(dict(SCHEMA.definition))
    fields = next(field for field in definition["fields"] if field["name"] == "regions")["type"]["items"]["fields"]
    fields[-1] = {"name": "note", "type": fields[-1]["type"]}
    message = written([(1, 2, 3, 4, 0.5, 2)], [(1, 1, 0, 2, 1)])
    batch = decode(message, {SCHEMA.id: layout_of(definition)})
    assert not batch.viewed or batch.regions != b""
    assert np.frombuffer(batch.regions, REGION)["form"].tolist() == [0]
    assert np.frombuffer(batch.regions, REGION)["w"].tolist() == [3]
