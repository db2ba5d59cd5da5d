"""From the bytes of a JPEG to pixels, in bounded time and memory, whatever the bytes are.

What is wrong is said by a fixed word. Nothing of a picture ever stands in a message.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 40_000_000
_MOST_SCANS = 32
"""A progressive picture has about ten; each costs a pass over all its pixels."""

_MOST_SEGMENTS = 2_000

EMPTY = "empty"
NOT_JPEG = "not-jpeg"
CUT = "cut"
ZERO_SIZE = "zero-size"
TOO_LARGE = "too-large"
UNDECODABLE = "undecodable"

_SIGNATURE = b"\xff\xd8\xff"
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a frame header, which tells the size."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers that no length follows."""
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker behind coded pixels: neither a stuffed byte nor a restart."""
_MARKER = re.compile(rb"\xff+([^\xff])")
"""A marker, and the filling that may stand before it."""

_LOST = (128, 64)
"""What every channel holds where libjpeg had no data: no deviation from the middle; with four inks, their product."""
_LOST_SIDE = 4
_FILLING = b"\x5a\xa5\x3c\x69" * 64


class BadPicture(ValueError):
    """A picture that can't be looked at. `reason` is one of this module's fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Outline:
    """Where the coded pixels end, and the picture with its end marker."""

    scans_end: int
    end: int


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a JPEG, shape (h, w, 3), BGR; grey and CMYK pictures, too. Bytes behind its end are ignored.

    Raises `BadPicture`. More than `MOST_PIXELS` are refused by the header, before anything is allocated. Coded pixels
    that were damaged, not lost, may come out as wrong pixels, and a progressive picture that ends early as one of less
    detail: JPEG has no checksum.
    """
    if not data:
        raise BadPicture(EMPTY)
    if not data.startswith(_SIGNATURE):
        raise BadPicture(CUT if _SIGNATURE.startswith(data) else NOT_JPEG)
    outline = _outline(data)
    picture = _decoded(data[: outline.end])
    if picture is None:
        raise BadPicture(UNDECODABLE)
    if _looks_lost(picture) and _reads_on(data, outline, picture):
        raise BadPicture(CUT)
    return picture


def _outline(data: bytes) -> _Outline:
    """Walk over the segments to the end marker. Raises `BadPicture`."""
    at, scans, sized = 2, 0, False
    for _ in range(_MOST_SEGMENTS):
        begin = at
        marker, at = _marker(data, at)
        if marker == _END:
            if not scans:
                raise BadPicture(UNDECODABLE)
            return _Outline(begin, at)
        if marker in _ALONE:
            continue
        body = _segment(data, at, marker)
        at += 2 + len(body)
        if marker in _FRAMES:
            if sized:  # libjpeg takes one; another could hide a size that was not looked at
                raise BadPicture(UNDECODABLE)
            _check_size(body)
            sized = True
        elif marker == _SCAN:
            scans += 1
            if not sized or scans > _MOST_SCANS:
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


def _check_size(header: bytes) -> None:
    if len(header) < 6:
        raise BadPicture(UNDECODABLE)
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    if not height or not width:
        raise BadPicture(ZERO_SIZE)
    if height * width > MOST_PIXELS:
        raise BadPicture(TOO_LARGE)


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if picture is None else np.asarray(picture, np.uint8)


def _looks_lost(picture: NDArray[np.uint8]) -> bool:
    """Whether the picture ends in the flat grey that libjpeg leaves where its data ended early."""
    corner = picture[-_LOST_SIDE:, -_LOST_SIDE:]
    return int(corner[0, 0, 0]) in _LOST and bool((corner == corner[0, 0, 0]).all())


def _reads_on(data: bytes, outline: _Outline, picture: NDArray[np.uint8]) -> bool:
    """Whether the decoder takes bytes behind the coded pixels for more of them: then some were missing."""
    longer = data[: outline.scans_end] + _FILLING + data[outline.scans_end : outline.end]
    other = _decoded(longer)
    return other is None or not np.array_equal(picture, other)
