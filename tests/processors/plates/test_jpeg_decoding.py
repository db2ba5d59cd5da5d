import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.plates.jpeg_decoding import decode_picture
from schemas.pictures import MOST_PIXELS, BadPicture
from tests.processors.plates.jpegs import four_inks, header_at, jpeg, png, resized, scene
from tests.soak import examples

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
WHOLE = jpeg()


def reason_of(data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        decode_picture(data)
    assert str(caught.value) == caught.value.reason  # a fixed word, and nothing of the picture
    return caught.value.reason


@pytest.mark.parametrize("options", [(), PROGRESSIVE, RESTARTS])
def test_a_picture_is_decoded_to_bgr(options):
    decoded = decode_picture(jpeg(None, *options))
    assert decoded.dtype == np.uint8
    assert decoded.shape == scene().shape
    assert np.abs(decoded.astype(int) - scene()).mean() < 12


@pytest.mark.parametrize("options", [(), PROGRESSIVE, RESTARTS])
def test_a_picture_that_was_cut_anywhere_is_cut(options):
    data = jpeg(None, *options)
    places = [*range(1, 700), *range(700, len(data), 97), len(data) - 2, len(data) - 1]
    assert {reason_of(data[:place]) for place in places} == {"cut"}


@pytest.mark.parametrize("options", [(), RESTARTS])
def test_an_end_marker_does_not_hide_that_pixels_are_missing(options):
    data = jpeg(None, *options)
    begin = data.index(b"\xff\xda") + 14
    places = np.linspace(begin + 20, len(data) * 0.98, 40).astype(int).tolist()
    assert {reason_of(data[:place] + b"\xff\xd9") for place in places} == {"cut"}


def test_plain_grey_is_not_taken_for_lost_pixels():
    for value in (64, 128):
        assert decode_picture(jpeg(np.full((90, 160, 3), value, np.uint8))).shape == (90, 160, 3)
    half = np.full((96, 160, 3), 128, np.uint8)
    half[:32] = scene()[:32]
    assert decode_picture(jpeg(half)).shape == half.shape


def test_bytes_after_the_end_are_ignored():
    assert np.array_equal(decode_picture(WHOLE + b"\xff\xd8garbage" * 9), decode_picture(WHOLE))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture at all", "not-jpeg"),
        (np.random.default_rng(1).bytes(5000), "not-jpeg"),
        (png(scene()), "not-jpeg"),
        (png(np.dstack((scene(), scene()[..., 0]))), "not-jpeg"),
        (resized(WHOLE, 0, 160), "zero-size"),
        (resized(WHOLE, 120, 0), "zero-size"),
        (b"\xff\xd8\xff\xe0\x00\x04xx" + np.random.default_rng(2).bytes(5000), "undecodable"),
        (b"\xff\xd8\xff\xd9", "undecodable"),
        (b"\xff\xd8\xff\xfe\x00\x01" + WHOLE[2:], "undecodable"),
        (WHOLE[: header_at(WHOLE) + 4] + b"\x0c" + WHOLE[header_at(WHOLE) + 5 :], "undecodable"),  # 12 bits a sample
    ],
)
def test_every_error_is_a_fixed_word(data, reason):
    assert reason_of(data) == reason


@pytest.mark.parametrize("options", [(), PROGRESSIVE])
def test_a_hundred_megapixels_are_refused_by_the_header(options, monkeypatch):
    def never(*arguments: object) -> None:
        raise AssertionError("the picture was decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    assert reason_of(resized(jpeg(None, *options), 10_000, 10_000)) == "too-large"
    assert reason_of(resized(jpeg(None, *options), 65_535, 65_535)) == "too-large"


def test_a_second_frame_header_is_refused(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    frame = header_at(WHOLE)
    end = frame + 2 + int.from_bytes(WHOLE[frame + 2 : frame + 4], "big")
    large = resized(WHOLE, 60_000, 60_000)[frame:end]
    assert reason_of(WHOLE[:end] + large + WHOLE[end:]) == "undecodable"
    assert reason_of(WHOLE[:-2] + large + WHOLE[-2:]) == "undecodable"


def test_scans_and_segments_are_limited(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    data = jpeg(None, *PROGRESSIVE)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert reason_of(data[:-2] + last * 40 + data[-2:]) == "undecodable"
    assert reason_of(data[:2] + b"\xff\xfe\x00\x02" * 5_000 + data[2:]) == "undecodable"


def test_fill_bytes_before_markers_are_skipped():
    assert np.array_equal(decode_picture(WHOLE[:2] + b"\xff" * 100_000 + WHOLE[2:]), decode_picture(WHOLE))


def test_grey_gives_three_equal_channels():
    decoded = decode_picture(jpeg(scene()[..., 0]))
    assert decoded.shape == scene().shape
    assert np.array_equal(decoded[..., 0], decoded[..., 1])
    assert np.array_equal(decoded[..., 0], decoded[..., 2])


def test_cmyk_gives_three_channels():
    grey = np.repeat(np.linspace(30, 220, 160).astype(np.uint8)[None], 120, 0)
    decoded = decode_picture(four_inks(grey))
    assert decoded.shape == (120, 160, 3)
    assert (np.diff(decoded[60, ::20].astype(int), axis=0) > 0).all()  # darker at the left, as the planes are


@examples(30, soak=750)
@given(st.data())
def test_damaged_bytes_are_decoded_or_refused_with_a_fixed_word(data):
    whole = bytearray(jpeg(scene(32, 48), *data.draw(st.sampled_from([(), PROGRESSIVE, RESTARTS]))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(3, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(1, len(whole)))]) + data.draw(st.sampled_from([b"", b"\xff\xd9"]))
    try:
        decoded = decode_picture(damaged)
    except BadPicture as error:
        assert error.reason in {"not-jpeg", "cut", "zero-size", "too-large", "undecodable"}
    else:
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] == 3
        assert decoded.shape[0] * decoded.shape[1] <= MOST_PIXELS
