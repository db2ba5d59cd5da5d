"""From the bytes of a JPEG to pixels, in bounded time and memory, whatever the bytes are.

What is wrong is said by a fixed word. Nothing of a picture ever stands in a message.
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
"""Markers that no length follows."""
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker behind coded pixels: neither a stuffed byte nor a restart."""
_MARKER = re.compile(rb"\xff+([^\xff])")
"""A marker, and the filling that may stand before it."""

_LOST = (128, 64)
"""What every channel holds where libjpeg had no data: no deviation from the middle; with four inks, their product."""
_LOST_SIDE = 4
_MODES = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""By how much the decoder itself makes a picture smaller: it then skips most of the work on the pixels."""
_FILLING = b"\x5a\xa5\x3c\x69" * 64


@dataclass(frozen=True, slots=True, eq=False)
class ScaledPicture:
    """A picture, perhaps made smaller: `pixels`, shape (h, w, 3), BGR, and the full picture's `shape`, (h, w).

    The two shapes need not have the same proportions to the last digit: a side that the reduction does not divide is
    rounded up.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Outline:
    """Where the coded pixels end, and the picture with its end marker; height and width by the header."""

    scans_end: int
    end: int
    shape: tuple[int, int]


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a JPEG, shape (h, w, 3), BGR; grey and CMYK pictures, too. Bytes behind its end are ignored.

    Raises `BadPicture`. More than `MOST_PIXELS` are refused by the header, before anything is allocated. Coded pixels
    that were damaged, not lost, may come out as wrong pixels, and a progressive picture that ends early as one of less
    detail: JPEG has no checksum.
    """
    return _full(data, _outline(data))


def decode_reduced(data: bytes, longest_side: int) -> ScaledPicture:
    """As `decode_picture`, at a half, a quarter or an eighth if that leaves `longest_side` pixels or more.

    For who makes the picture smaller anyway: it takes less time. A picture is refused for the same reason at any scale.
    """
    outline = _outline(data)
    factor = _reduction(outline.shape, longest_side)
    if factor == 1:
        pixels = _full(data, outline)
        return ScaledPicture(pixels, _shape(pixels))
    pixels = _decoded(data[: outline.end], factor)
    if _looks_lost(pixels, 1):
        _full(data, outline)  # what is lost between few pixels does not show in them
    height, width = outline.shape
    turned = _shape(pixels) != _rounded_up(outline.shape, factor)
    return ScaledPicture(pixels, (width, height) if turned else (height, width))


def _reduction(shape: tuple[int, int], longest_side: int) -> int:
    """The largest factor that leaves the longer side as long as this.

    The decoder turns pictures as their Exif orientation says. Which way one came out shows in its shape, as long as the
    sides differ as they did before.
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
    if _looks_lost(picture, _LOST_SIDE) and _reads_on(data, outline, picture):
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
            if shape is not None:  # libjpeg takes one; another could hide a size that was not looked at
                raise BadPicture(UNDECODABLE)
            shape = _size(body)
        elif marker == _SCAN:
            scans += 1
            if shape is None or scans > _MOST_SCANS:
                raise BadPicture(UNDECODABLE)
            found = _BEHIND_SCAN.search(data, at)
            if found is None:
                raise BadPicture(CUT)
            at = found.start()
    raise BadPicture(UNDECODABLE)


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The code of the marker at `at`, and where what follows it begins."""
    found = _MARKER.match(data, at)
    if found is None:
        raise BadPicture(UNDECODABLE if data[at : at + 1] not in (b"", b"\xff") else CUT)
    return found[1][0], found.end()


def _segment(data: bytes, at: int, marker: int) -> bytes:
    """The contents of the segment whose length stands at `at`."""
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


def _reads_on(data: bytes, outline: _Outline, picture: NDArray[np.uint8]) -> bool:
    """Whether the decoder takes bytes behind the coded pixels for more of them: then some were missing."""
    longer = data[: outline.scans_end] + _FILLING + data[outline.scans_end : outline.end]
    try:
        return not np.array_equal(picture, _decoded(longer, 1))
    except BadPicture:
        return True
