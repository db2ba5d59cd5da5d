"""Decoding a JPEG to pixels, in bounded time and memory, whatever the bytes are.

Errors are fixed words and contain nothing of the picture.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.pictures import JPEG_FRAME_MARKERS, JPEG_SIGNATURE, MOST_PIXELS, BadPicture

_MOST_SCANS = 32
"""A progressive picture has about ten; each costs a pass over all its pixels."""

_MOST_SEGMENTS = 2_000

EMPTY = "empty"
NOT_JPEG = "not-jpeg"
CUT = "cut"
ZERO_SIZE = "zero-size"
TOO_LARGE = "too-large"
UNDECODABLE = "undecodable"

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length after them."""
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker after coded pixels: neither a stuffed byte nor a restart marker."""
_MARKER = re.compile(rb"\xff+([^\xff])")
"""A marker, after optional fill bytes."""

_LOST = (128, 64)
"""The value of every channel where libjpeg had no data: the middle; with four inks, their product."""
_LOST_SIDE = 4
_MODES = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""The factors by which the decoder itself can scale a picture down, which saves most of the work on the pixels."""
_FILLING = b"\x5a\xa5\x3c\x69" * 64


@dataclass(frozen=True, slots=True, eq=False)
class ScaledPicture:
    """A picture, possibly scaled down: `pixels`, shape (h, w, 3), BGR, and the full picture's `shape`, (h, w).

    A side that the factor does not divide is rounded up, so the proportions of the two may differ slightly.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Outline:
    """Offsets of the end of the coded pixels and of the picture; `shape` is height and width by the header."""

    scans_end: int
    end: int
    shape: tuple[int, int]


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a JPEG, shape (h, w, 3), BGR; grey and CMYK pictures, too. Bytes after its end are ignored.

    Raises `BadPicture`. More than `MOST_PIXELS` are refused by the header, before anything is allocated. JPEG has no
    checksum: damaged coded pixels may decode to wrong pixels, and a progressive picture that ends early to less detail.
    """
    return _full(data, _outline(data))


def decode_reduced(data: bytes, longest_side: int) -> ScaledPicture:
    """As `decode_picture`, at a half, a quarter or an eighth if that leaves `longest_side` pixels or more.

    For callers that scale the picture down anyway: it takes less time. A picture is refused for the same reason at any
    scale.
    """
    outline = _outline(data)
    factor = _reduction(outline.shape, longest_side)
    if factor == 1:
        pixels = _full(data, outline)
        return ScaledPicture(pixels, _shape(pixels))
    pixels = _decoded(data[: outline.end], factor)
    if _looks_lost(pixels, 1):
        _full(data, outline)  # lost pixels may not show at a small scale
    height, width = outline.shape
    turned = _shape(pixels) != _rounded_up(outline.shape, factor)
    return ScaledPicture(pixels, (width, height) if turned else (height, width))


def _reduction(shape: tuple[int, int], longest_side: int) -> int:
    """The largest factor that leaves the longer side as long as this.

    The decoder turns pictures by their Exif orientation. Whether it did shows in the shape, if the sides still differ
    where they differed before.
    """
    for factor in sorted(_MODES, reverse=True):
        height, width = _rounded_up(shape, factor)
        if max(height, width) >= longest_side and (height == width) == (shape[0] == shape[1]):
            return factor
    return 1


def _rounded_up(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    return -(-shape[0] // factor), -(-shape[1] // factor)


def _full(data: bytes, outline: _Outline) -> NDArray[np.uint8]:
    """All pixels, if none was lost. Raises `BadPicture`."""
    picture = _decoded(data[: outline.end], 1)
    if _looks_lost(picture, _LOST_SIDE) and _is_incomplete(data, outline, picture):
        raise BadPicture(CUT)
    return picture


def _outline(data: bytes) -> _Outline:
    """Walk over the segments to the end marker. Raises `BadPicture`."""
    if not data:
        raise BadPicture(EMPTY)
    if not data.startswith(JPEG_SIGNATURE):
        raise BadPicture(CUT if JPEG_SIGNATURE.startswith(data) else NOT_JPEG)
    at, scans = 2, 0
    shape: tuple[int, int] | None = None
    for _ in range(_MOST_SEGMENTS):
        begin = at
        marker, at = _marker(data, at)
        if marker == _END:
            if not scans or shape is None:
                raise BadPicture(UNDECODABLE)
            return _Outline(begin, at, shape)
        if marker in _ALONE:
            continue
        body = _segment(data, at, marker)
        at += 2 + len(body)
        if marker in JPEG_FRAME_MARKERS:
            if shape is not None:  # libjpeg takes one of them; a second could hide a size that was not checked
                raise BadPicture(UNDECODABLE)
            shape = _size(body)
        elif marker == _SCAN:
            scans += 1
            if shape is None or scans > _MOST_SCANS:
                raise BadPicture(UNDECODABLE)
            following = _AFTER_SCAN.search(data, at)
            if following is None:
                raise BadPicture(CUT)
            at = following.start()
    raise BadPicture(UNDECODABLE)


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The code of the marker at `at`, and the offset after it."""
    match = _MARKER.match(data, at)
    if match is None:
        raise BadPicture(UNDECODABLE if data[at : at + 1] not in (b"", b"\xff") else CUT)
    return match[1][0], match.end()


def _segment(data: bytes, at: int, marker: int) -> bytes:
    """The contents of the segment whose length is at `at`."""
    if marker in (0x00, _START):
        raise BadPicture(UNDECODABLE)
    length = int.from_bytes(data[at : at + 2], "big")
    if at + 2 > len(data) or at + length > len(data):
        raise BadPicture(CUT)
    if length < 2:
        raise BadPicture(UNDECODABLE)
    return data[at + 2 : at + length]


def _size(header: bytes) -> tuple[int, int]:
    """Height and width by a frame header's contents. Raises `BadPicture`."""
    if len(header) < 6:
        raise BadPicture(UNDECODABLE)
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    if not height or not width:
        raise BadPicture(ZERO_SIZE)
    if height * width > MOST_PIXELS:
        raise BadPicture(TOO_LARGE)
    return height, width


def _shape(picture: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return height, width


def _decoded(data: bytes, factor: int) -> NDArray[np.uint8]:
    """The pixels, as far as there are any, upright by the picture's Exif orientation. Raises `BadPicture`."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), _MODES[factor])
    except cv2.error:
        picture = None
    if picture is None:
        raise BadPicture(UNDECODABLE)
    return np.asarray(picture, np.uint8)


def _looks_lost(picture: NDArray[np.uint8], side: int) -> bool:
    """Whether a corner is of the flat grey that libjpeg leaves where its data ended early: the last one, or, if the
    picture was turned, any."""
    ends = slice(None, side), slice(-side, None)
    return any(_is_lost(picture[rows, columns]) for rows in ends for columns in ends)


def _is_lost(corner: NDArray[np.uint8]) -> bool:
    return int(corner[0, 0, 0]) in _LOST and bool((corner == corner[0, 0, 0]).all())


def _is_incomplete(data: bytes, outline: _Outline, picture: NDArray[np.uint8]) -> bool:
    """Whether the decoder reads bytes inserted after the coded pixels as pixels: then some were missing."""
    longer = data[: outline.scans_end] + _FILLING + data[outline.scans_end : outline.end]
    try:
        return not np.array_equal(picture, _decoded(longer, 1))
    except BadPicture:
        return True
