import cv2
import numpy as np
import pytest

from ingest.cameras import jpeg
from ingest.cameras.jpeg import LARGEST_PICTURE, encoded, fitting
from ingest.cameras.picture_size import pixel_size

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 4), dtype=np.uint8)


def image(kind: str, pixels: np.ndarray = PIXELS[..., :3], *options: int) -> bytes:
    return cv2.imencode(kind, pixels, options)[1].tobytes()


def shape(data: bytes) -> tuple[int, ...]:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape


FILES = {
    "jpeg": image(".jpg"),
    "progressive": image(".jpg", PIXELS[..., :3], cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": image(".png"),
    "alpha png": image(".png", PIXELS),
    "bmp": image(".bmp"),
    "lossy webp": image(".webp", PIXELS[..., :3], cv2.IMWRITE_WEBP_QUALITY, 50),
    "lossless webp": image(".webp", PIXELS[..., :3], cv2.IMWRITE_WEBP_QUALITY, 101),
    "alpha webp": image(".webp", PIXELS, cv2.IMWRITE_WEBP_QUALITY, 50),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_size_is_read_from_a_whole_header_only(kind):
    data = FILES[kind]
    assert pixel_size(data) == (50, 30)
    for length in range(20):
        assert pixel_size(data[:length]) is None


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("jpeg", "progressive")])
def test_another_format_becomes_jpeg_without_transparency(kind):
    data = fitting(FILES[kind])
    assert data.startswith(b"\xff\xd8\xff")
    assert shape(data) == (30, 50, 3)


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (1, 16), (3, 16), (4, 16)])
def test_grey_and_deep_images_become_plain_ones(channels, bits):
    deep = np.full((30, 50, channels), 200 << (bits - 8), f"u{bits // 8}")
    data = fitting(image(".png", deep))
    assert shape(data) == (30, 50, 3)
    assert abs(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean() - 200) < 2


@pytest.mark.parametrize("data", [FILES["jpeg"], FILES["progressive"], FILES["jpeg"][:200], b"\xff\xd8\xff"])
def test_a_small_jpeg_stays_as_it_is_also_a_damaged_one(data):
    assert fitting(data) == data


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"a text", b"GIF89a" + bytes(100), *(FILES[kind][: len(FILES[kind]) // 2] for kind in ("png", "bmp"))],
)
def test_what_is_no_picture_is_empty(data):
    assert fitting(data) == b""


def test_a_bomb_is_never_decoded(monkeypatch):
    def never(*arguments: object) -> None:
        raise AssertionError("the picture was decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    png, bmp = FILES["png"], FILES["bmp"]
    side = (10_000).to_bytes(4, "big")
    assert fitting(png[:16] + side + side + png[24:]) == b""
    side = (-10_000).to_bytes(4, "little", signed=True)
    assert fitting(bmp[:18] + side + side + bmp[26:]) == b""
    monkeypatch.setattr(jpeg, "LARGEST_PICTURE", 100)
    large = FILES["jpeg"]
    at = large.index(b"\xff\xc0")
    assert fitting(large[: at + 5] + b"\xff\xff\xff\xff" + large[at + 9 :]) == b""


def test_what_is_too_large_for_a_message_becomes_smaller():
    noise = np.random.default_rng(1).integers(0, 256, (2400, 2600, 3), dtype=np.uint8)
    large = image(".jpg", noise, cv2.IMWRITE_JPEG_QUALITY, 95)
    assert len(large) > LARGEST_PICTURE
    for data in (fitting(large), encoded(noise)):
        assert 0 < len(data) <= LARGEST_PICTURE
        height, width, _ = shape(data)
        assert height < 2400
        assert abs(width / height - 2600 / 2400) < 0.01


def test_a_side_longer_than_the_format_allows_is_made_shorter():
    assert max(shape(encoded(np.zeros((70_000, 3, 3), np.uint8)))) <= 65_500
