"""The detector that the node uses: from a JPEG to regions in the pixels of the full picture."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.cameras.rendered import RenderedCamera
from node.plate_detection import detect_function, prepare_opencv
from processors.plates.evaluation import iou
from processors.plates.jpeg_decoding import decode_picture
from processors.plates.network import NetworkDetector
from schemas.pictures import BadPicture
from tests.soak import soak_only

NUMBERS = (8, 20, 31)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    prepare_opencv()


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def boxes(regions: NDArray[np.void]) -> NDArray[np.float64]:
    return np.stack([regions[name].astype(float) for name in ("x", "y", "w", "h")], 1)


def within(begin: NDArray[np.int64], length: NDArray[np.int64], side: int) -> bool:
    return bool((begin + length <= side).all() and (length > 0).all())


@pytest.mark.parametrize(
    ("width", "height", "decoded"),
    [
        *[(1280, 720, 1280), (1920, 1080, 960), (1921, 1083, 961)],
        *[pytest.param(*size, marks=soak_only) for size in ((1800, 1921, 961), (2600, 1460, 1300), (3840, 2160, 960))],
    ],
)
def test_regions_are_in_the_full_pictures_pixels(width, height, decoded, monkeypatch):
    camera, full, seen = RenderedCamera(3, "VN", width, height), NetworkDetector(), []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, mode: seen.append(real(data, mode)) or seen[-1])
    look, found = detect_function(), 0
    for number in NUMBERS:
        data = jpeg(camera.frame(number))
        regions = look(data)
        assert {max(picture.shape) for picture in seen} == {decoded}
        expected = full.detect(decode_picture(data))
        seen.clear()
        assert regions.dtype == expected.dtype
        assert within(regions["x"].astype(int), regions["w"].astype(int), width)
        assert within(regions["y"].astype(int), regions["h"].astype(int), height)
        sure = expected[expected["score"] > 0.7]
        overlap = iou(boxes(sure), boxes(regions))
        assert (overlap.max(1, initial=0) > 0.75).all()
        assert (regions["form"][overlap.argmax(1)] == sure["form"]).all() if len(sure) else True
        found += len(sure)
    assert found >= 3


def test_a_region_ends_at_the_last_pixel_of_the_full_picture_at_most():
    """1921 pixels are 961 at a half: twice that would be one too many."""
    picture = np.random.default_rng(5).integers(0, 256, (99, 97, 3), np.uint8)
    regions = NetworkDetector(0.001).detect(picture, (197, 193))
    assert len(regions) > 20
    assert int((regions["x"].astype(int) + regions["w"]).max()) == 193
    assert int((regions["y"].astype(int) + regions["h"]).max()) == 197


def test_a_small_picture_s_regions_do_not_depend_on_how_it_was_decoded():
    data = jpeg(RenderedCamera(3, "VN", 640, 384).frame(20))
    regions = detect_function()(data)
    assert len(regions)
    assert regions.tolist() == NetworkDetector().detect(decode_picture(data)).tolist()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_large_picture_that_was_cut_is_refused(share):
    data = jpeg(RenderedCamera(3, "VN", 1920, 1080).frame(20))
    with pytest.raises(BadPicture, match="cut"):
        detect_function()(data[: int(len(data) * share)] + b"\xff\xd9")
