"""A message whose beginning was parsed before is read as if it had not been."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import ROW, DecodeError, decode, encode
from schemas.heads import body_of, head_of
from schemas.registry import schemas

FIRST, SECOND = (encode(number, metric="energy.import", area=7, class_="residential", interval=900_000, start=5,
                        rows=np.array([(1, 2, 3, 4, 1)], ROW), feeder=feeder)
                 for number, feeder in ((1, None), (6, "head end")))  # fmt: skip


@pytest.mark.parametrize("message", [FIRST, SECOND])
@given(data=st.data())
def test_whatever_follows_is_read_as_a_full_decoder_reads_it(message, data):
    head = head_of(message)
    body = bytearray(message[len(head.prefix) :])
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    other = head.prefix + bytes(body)
    found = body_of(head, other)
    try:
        batch = decode(other)
    except DecodeError:
        assert found is None
        return
    if found is not None:
        assert (batch.start, batch.feeder, batch.count, bytes(batch.rows)) == (*found[:3], bytes(found[3]))
        assert (batch.metric, batch.area, batch.class_, batch.interval) == ("energy.import", 7, "residential", 900_000)
    else:
        assert not batch.count or not batch.viewed


def test_only_schemas_of_plain_rows_have_heads():
    for number, schema in schemas().items():
        if schema.is_batch and "regions" in str(schema.definition):
            assert head_of(b"\x00" + number.to_bytes(4, "big")) is None
    assert head_of(b"\x01\x00\x00\x00\x01") is None
