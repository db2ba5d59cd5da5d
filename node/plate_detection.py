"""Plate detection of this node: the set-up of OpenCV, and the detector that all commands use."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schemas.pictures import Detect
    from store.detectors import Detector

    Picture = NDArray[np.uint8]


def prepare_opencv() -> None:
    """One thread, since a process takes one core; and no output: a picture's defects are counted, not printed."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # broken videos would print a line for every broken frame
    import cv2

    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def detect_function() -> "Detect":
    """From the bytes of a JPEG to its plate regions, in the picture's pixels, for one thread.

    A large picture is decoded no larger than the network needs it.
    """
    from processors.plates.jpeg_decoding import decode_reduced
    from processors.plates.network import NetworkDetector

    chosen = NetworkDetector()

    def look(data: bytes) -> "NDArray[np.void]":
        picture = decode_reduced(data, chosen.longest_side)
        return chosen.detect(picture.pixels, picture.shape)

    return look


def detector_record() -> "Detector":
    """The detector's version, precision and recall, which are published with every metric counted by it."""
    from processors.plates.network import card
    from store.detectors import Detector

    weights = card()
    return Detector("network", weights.version, weights.precision, weights.recall)


def cover(*, tiled: bool) -> "Callable[[Picture], tuple[Picture, int]]":
    """From a picture to one with its plates blurred, and how many regions that were; for one thread.

    It blurs more than what counts as a plate, and still misses some plates: docs/plates.md. `tiled` also detects at
    the picture's own scale, for small far plates.
    """
    from processors.plates.blurring import blurred
    from processors.plates.network import NetworkDetector, card

    chosen = NetworkDetector(card().blur_threshold)
    look = chosen.detect_tiled if tiled else chosen.detect

    def covered(picture: "Picture") -> "tuple[Picture, int]":
        regions = look(picture)
        return blurred(picture, regions, card().blur_margin), len(regions)

    return covered
