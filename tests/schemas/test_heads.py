"""Messages whose beginnings were parsed before are read as if they had not been."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import ROW, DecodeError, decode, encode
from schemas.heads import bodies_of, head_of
from schemas.registry import schemas

ROWS = np.array([(1, 2, 3, 4, 1)], ROW)
MESSAGES = [
    encode(
        number,
        metric="energy.import",
        area=7,
        class_="residential",
        interval=900_000,
        start=5,
        rows=np.repeat(ROWS, count),
        feeder=feeder,
    )
    for number, feeder, count in ((1, None, 1), (6, "head end", 1), (6, "", 2), (6, "", 200), (1, None, 200))
]
HEADS = list(map(head_of, MESSAGES))


@given(st.data())
def test_whatever_follows_is_read_as_a_full_decoder_reads_it(data):
    heads, changed = [], []
    for number in data.draw(st.lists(st.sampled_from(range(len(MESSAGES))), min_size=1, max_size=6)):
        head, body = HEADS[number], bytearray(MESSAGES[number][len(HEADS[number].prefix) :])
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, min(len(body) - 1, 30)))
            body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        heads.append(head)
        changed.append(head.prefix + bytes(body[: len(body) - data.draw(st.integers(0, 1))]))
    prefix = np.array([len(head.prefix) for head in heads])
    bodies = bodies_of(changed, prefix, np.array([head.has_feeder for head in heads]))
    for place, message in enumerate(changed):
        try:
            batch = decode(message)
        except DecodeError:
            assert not bodies.viewed[place]
            continue
        if not bodies.viewed[place]:
            assert not batch.count or not batch.viewed
            continue
        assert (batch.start, batch.count) == (bodies.start[place], bodies.count[place])
        assert (batch.feeder, bytes(batch.rows)) == (bodies.feeder[place], bytes(bodies.rows[place]))
        assert (batch.metric, batch.area, batch.class_, batch.interval) == ("energy.import", 7, "residential", 900_000)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_numbers_of_any_size_are_read_or_left_to_a_full_decoder(start, count):
    message = HEADS[0].prefix + varint(start) + varint(count) + ROWS.tobytes() + b"\x00"
    bodies = bodies_of([message], np.array([len(HEADS[0].prefix)]), np.zeros(1, np.bool_))
    try:
        batch = decode(message)
    except DecodeError:
        assert not bodies.viewed[0]
    else:
        assert bodies.viewed[0]
        assert (batch.start, batch.count) == (bodies.start[0], bodies.count[0])


def test_a_count_is_none_whose_rows_have_as_many_bytes_as_there_are_only_in_64_bits():
    for size in range(1, 10 * ROW.itemsize):
        count = size * pow(ROW.itemsize, -1, 2**64) % 2**64
        assert (count * ROW.itemsize - size) % 2**64 == 0
        if count < 2**62:
            message = HEADS[0].prefix + varint(5) + varint(count) + bytes(size + 1)
            bodies = bodies_of([message], np.array([len(HEADS[0].prefix)]), np.zeros(1, np.bool_))
            assert bodies.viewed.tolist() == [size % ROW.itemsize == 0]


def varint(value: int) -> bytes:
    coded, out = (value << 1) ^ (value >> 63), bytearray()
    while coded > 0x7F:
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    return bytes([*out, coded])


def test_only_schemas_of_plain_rows_have_heads():
    for number, schema in schemas().items():
        if schema.is_batch and "regions" in str(schema.definition):
            assert head_of(b"\x00" + number.to_bytes(4, "big")) is None
    assert head_of(b"\x01\x00\x00\x00\x01") is None
