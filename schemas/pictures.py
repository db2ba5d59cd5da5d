"""Cameras' pictures: what ingest, processors and commands share of limits, the detector and stale pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 40_000_000
"""Of one picture: by its header, before anything is allocated."""

JPEG_SIGNATURE = b"\xff\xd8\xff"
JPEG_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a frame header (SOF0 to SOF15), which holds the size: ITU-T T.81, table B.1."""

REMEMBERED_MS = 60_000
"""A picture is stale if it repeats its camera's previous one of the last minute."""


class BadPicture(ValueError):
    """A picture that can't be decoded. `reason` is a fixed word; nothing of the picture is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Detect = Callable[[bytes], NDArray[np.void]]
"""From a JPEG to its plate regions, dtype `schemas.batch.REGION`, shape (n,). Raises `BadPicture`."""


@dataclass(frozen=True, slots=True)
class _LastPicture:
    digest: bytes
    time_ms: int
    offset: int


class RecentPictures:
    """Remembers each camera's last picture, as a hash, to tell which picture is stale.

    Times are milliseconds since 1970, UTC, by one clock of the caller's choice. `offset` is the picture's position in
    the log, for a caller that has to read the remembered pictures again after a restart.
    """

    def __init__(self) -> None:
        self._last: dict[int, _LastPicture] = {}

    def repeats(self, camera: int, picture: bytes, time_ms: int, offset: int = 0) -> bool:
        """Whether it repeats the camera's last picture of the last minute; from now on it is the last one."""
        last = self._last.get(camera)
        digest = sha256(picture).digest()
        self._last[camera] = _LastPicture(digest, time_ms, offset)
        return last is not None and last.digest == digest and time_ms - last.time_ms <= REMEMBERED_MS

    def forget(self, time_ms: int) -> None:
        """Forget what no picture of this time or later can repeat."""
        kept = {camera: last for camera, last in self._last.items() if time_ms - last.time_ms <= REMEMBERED_MS}
        self._last = kept

    def first_offset(self, otherwise: int) -> int:
        """The lowest offset of a remembered picture; `otherwise` if there is none."""
        return min((last.offset for last in self._last.values()), default=otherwise)
