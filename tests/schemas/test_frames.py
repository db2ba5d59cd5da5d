"""A frame is read as it was written, and whatever is no frame is an error that holds nothing of the picture."""

import copy
import io
from dataclasses import replace
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import DecodeError
from schemas.frames import SCHEMA, Frame, decode_frame, encode_frame
from schemas.registry import schemas

FRAME = Frame("traffic.regions", 4, "any", 500, 1_790_000_000_000, 7, 9, b"\xff\xd8picture")


@given(
    st.one_of(st.none(), st.binary(max_size=50)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 253_402_300_799_999),
    st.text(max_size=64).filter(str.isprintable),
)
def test_what_is_written_is_read(picture, camera, start, feeder):
    frame = Frame("traffic.regions", 0, "any", 200, start, camera, 0, picture, feeder)
    assert decode_frame(encode_frame(frame)) == frame


def test_a_stock_reader_reads_it():
    parsed = fastavro.parse_schema(copy.deepcopy(dict(schemas()[SCHEMA].definition)))
    record: Any = fastavro.schemaless_reader(io.BytesIO(encode_frame(FRAME)[5:]), parsed, None)
    assert record["picture"] == FRAME.picture
    assert round(record["start"].timestamp() * 1000) == FRAME.start


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "cut"),
        (b"\x00\x00", "cut"),
        (b"\x01" + encode_frame(FRAME)[1:], "not-confluent"),
        (b"\x00\x00\x00\x00\x01" + encode_frame(FRAME)[5:], "unknown-schema"),
        (encode_frame(FRAME)[:-3], "cut"),
        (encode_frame(FRAME) + b"x", "trailing"),
    ],
)
def test_what_is_no_frame_has_a_reason_and_keeps_nothing(message, reason):
    with pytest.raises(DecodeError) as caught:
        decode_frame(message)
    assert caught.value.reason == reason
    assert "picture" not in str(caught.value)


def test_a_frame_of_the_first_version_has_the_feeder_without_a_name():
    parsed = fastavro.parse_schema(copy.deepcopy(dict(schemas()[4].definition)))
    out = io.BytesIO(b"\x00\x00\x00\x00\x04")
    out.seek(0, io.SEEK_END)
    record = {**{name: getattr(FRAME, name) for name in FRAME.__slots__ if name != "class_"}, "class": FRAME.class_}
    fastavro.schemaless_writer(out, parsed, record)
    assert decode_frame(out.getvalue()) == FRAME


def test_a_feeder_with_a_name_that_is_too_long_is_dead():
    with pytest.raises(DecodeError, match="out-of-range"):
        decode_frame(encode_frame(replace(FRAME, feeder="x" * 65)))


def test_a_number_of_the_register_has_32_bits():
    with pytest.raises(DecodeError, match="32 bits"):
        decode_frame(encode_frame(Frame("traffic.regions", 0, "any", 200, 0, 2**32, 0, b"")))
    with pytest.raises(DecodeError, match="negative"):
        decode_frame(encode_frame(Frame("traffic.regions", 0, "any", 200, 0, -1, 0, b"")))
