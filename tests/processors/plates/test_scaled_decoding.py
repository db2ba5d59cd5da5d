"""A picture at a reduced scale: which scale, of what shape, and refused for the same reasons as the full picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.plates.jpeg_decoding import decode_picture, decode_reduced
from schemas.pictures import BadPicture
from tests.processors.plates.jpegs import four_inks, jpeg, oriented, resized, scene
from tests.soak import examples

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
KINDS = [
    (),
    PROGRESSIVE,
    RESTARTS,
    (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
]
FACTORS = (1, 2, 4, 8)


def reason_at(data: bytes, longest_side: int) -> str | None:
    try:
        decode_reduced(data, longest_side)
    except BadPicture as error:
        return error.reason
    return None


def reason_of(data: bytes) -> str | None:
    try:
        decode_picture(data)
    except BadPicture as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("longest", "needed", "left"),
    [
        (1920, 960, 960),
        (1919, 960, 960),
        (1918, 960, 1918),
        (3840, 960, 960),
        (2500, 960, 1250),
        (4000, 960, 1000),
        (7680, 960, 960),
        (959, 960, 959),
        (100, 960, 100),
    ],
)
def test_the_smallest_picture_that_is_large_enough_is_decoded(longest, needed, left):
    for shape in ((48, longest), (longest, 48)):
        reduced = decode_reduced(jpeg(np.full((*shape, 3), 90, np.uint8)), needed)
        assert max(reduced.pixels.shape) == left
        assert reduced.shape == shape


@examples(30, soak=750)
@given(st.data())
def test_the_full_pictures_shape_is_known_at_every_scale_and_orientation(data):
    sides = st.integers(1, 150)
    shape = data.draw(sides), data.draw(sides)
    orientation = data.draw(st.integers(1, 8))
    whole = oriented(jpeg(scene(*shape), *data.draw(st.sampled_from(KINDS))), orientation)
    needed = data.draw(st.integers(1, 160))
    reduced, full = decode_reduced(whole, needed), decode_picture(whole)
    assert reduced.shape == full.shape[:2]
    assert max(reduced.pixels.shape[:2]) >= min(needed, max(shape))
    of_each = {
        tuple(-(-side // factor) for side in full.shape[:2])
        for factor in FACTORS
        if -(-max(shape) // factor) >= needed or factor == 1
    }
    assert reduced.pixels.shape[:2] in of_each
    smallest = min(of_each)
    assert reduced.pixels.shape[:2] == smallest or (smallest[0] == smallest[1]) != (shape[0] == shape[1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sides_that_would_become_equal_are_not_reduced(orientation):
    data = oriented(jpeg(scene(161, 162)), orientation)
    assert decode_reduced(data, 81).pixels.shape == decode_picture(data).shape
    assert decode_reduced(data, 81).shape == decode_picture(data).shape[:2]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_smaller_picture_shows_the_same(kind, factor):
    data = jpeg(cv2.resize(scene(), (640, 480), interpolation=cv2.INTER_CUBIC), *kind)
    pixels = decode_reduced(data, 640 // factor).pixels
    full = decode_picture(data)
    assert pixels.shape == (480 // factor, 640 // factor, 3)
    averaged = cv2.resize(full, (640 // factor, 480 // factor), interpolation=cv2.INTER_AREA)
    assert np.abs(pixels.astype(int) - averaged).mean() < 8  # a picture of its own would be at 60


@pytest.mark.parametrize("factor", FACTORS)
def test_grey_and_cmyk_have_three_channels_at_every_scale(factor):
    grey = np.repeat(np.linspace(30, 220, 160).astype(np.uint8)[None], 120, 0)
    for data in (jpeg(grey), four_inks(grey)):
        pixels = decode_reduced(data, 160 // factor).pixels
        assert pixels.shape == (-(-120 // factor), 160 // factor, 3)
        assert np.ptp(pixels.astype(int), axis=2).max() <= 1
        assert (np.diff(pixels[5, ::5].astype(int), axis=0) > 0).all()


@examples(50, soak=1_500)
@given(st.data())
def test_a_picture_is_refused_for_the_same_reason_at_every_scale(data):
    shape = data.draw(st.integers(9, 90)), data.draw(st.integers(9, 90))
    whole = jpeg(scene(*shape), *data.draw(st.sampled_from(KINDS)))
    begin = whole.index(b"\xff\xda") + 14
    damaged = bytearray(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(begin, len(whole))))])
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(3, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged += data.draw(st.sampled_from([b"", b"\xff\xd9"]))
    broken = oriented(bytes(damaged), data.draw(st.integers(1, 8)))
    reasons = {reason_at(broken, -(-max(shape) // factor)) for factor in FACTORS}
    assert reasons == {reason_of(broken)}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", FACTORS)
def test_missing_pixels_are_detected_at_every_orientation(factor, orientation):
    data = oriented(jpeg(), orientation)
    begin = data.index(b"\xff\xda") + 14
    for place in np.linspace(begin + 20, len(data) * 0.98, 20).astype(int).tolist():
        assert reason_at(data[:place] + b"\xff\xd9", 160 // factor) == "cut"


@pytest.mark.parametrize("value", [64, 128])
@pytest.mark.parametrize("factor", FACTORS)
def test_plain_grey_is_a_picture_at_every_scale(factor, value):
    assert reason_at(jpeg(np.full((90, 160, 3), value, np.uint8)), 160 // factor) is None


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    assert reason_at(resized(jpeg(), 10_000, 10_000), 960) == "too-large"
