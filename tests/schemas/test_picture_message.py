"""A picture's regions become one reading whose value is their number."""

import numpy as np

from schemas.batch import REGION, decode
from schemas.frames import Frame
from schemas.regions import encode_regions, key_of

FRAME = Frame("traffic.regions", 4, "any", 500, 1_790_000_000_000, 4_000_000_000, 9, b"")


def test_the_value_is_the_number_of_regions():
    found = np.array([(1, 2, 30, 10, 0.5, 1), (5, 6, 20, 15, 0.25, 2)], REGION)
    batch = decode(encode_regions(FRAME, found))
    assert (batch.metric, batch.area, batch.class_, batch.interval, batch.start) == (
        *(FRAME.metric, FRAME.area, FRAME.class_, FRAME.interval, FRAME.start),
    )
    assert batch.array().tolist() == [(FRAME.camera, FRAME.contributor, 0.0, 2.0, 1)]
    assert batch.regions == found.tobytes()
    assert key_of(FRAME) == b"4"


def test_a_picture_without_regions_is_a_reading_of_zero_and_no_tick():
    batch = decode(encode_regions(FRAME, np.empty(0, REGION)))
    assert batch.count == 1
    assert batch.array()["value"].tolist() == [0.0]
