"""Pictures as JPEG that fits into a message of Kafka."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.cameras.picture_size import pixel_size
from schemas.pictures import JPEG_SIGNATURE, MOST_PIXELS
from schemas.topics import LARGEST_MESSAGE

LARGEST_PICTURE = LARGEST_MESSAGE - (64 << 10)
"""Bytes; the rest of a message is for its other fields and for Kafka's own headers."""

_QUALITY = 90
_SMALLER = 0.7


def fitting(data: bytes) -> bytes:
    """A picture file's contents as a JPEG of at most `LARGEST_PICTURE` bytes; empty for what is no picture.

    A JPEG that is small enough stays as it is, even a damaged one, so that the detector counts what is wrong with it.
    Transparency of other formats is dropped. What can't be decoded, or has more than `MOST_PIXELS`, is no picture.
    """
    if data.startswith(JPEG_SIGNATURE) and len(data) <= LARGEST_PICTURE:
        return data
    size = pixel_size(data)
    if size is None or not 0 < size[0] * size[1] <= MOST_PIXELS:
        return b""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return b""
    return b"" if pixels is None else encoded(np.asarray(pixels, np.uint8))


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels, shape (h, w, 3), BGR, as a JPEG of at most `LARGEST_PICTURE` bytes; scaled down until it fits."""
    while True:
        done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if done and len(data) <= LARGEST_PICTURE:  # encoding fails for a side longer than the format allows
            return data.tobytes()
        height, width = (max(int(side * _SMALLER), 1) for side in pixels.shape[:2])
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
