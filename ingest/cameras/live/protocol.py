"""The connection to a running camera: what it delivers, how it fails, and its limits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


class CameraUnavailable(Exception):
    """A camera delivers no pictures for now. `reason` is a fixed text, which contains nothing that the camera sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


ENDED = "the stream ended"
SILENT = "it fell silent"
TOO_SLOW = "no picture came in time"
TOO_LARGE = "it sends more than a picture may have"
NO_PICTURE = "it sends something that is no picture"
ELSEWHERE = "it sends us elsewhere: give the address itself"


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """Limits of one camera's connection. Times are seconds.

    The next byte must come within `silence_s`, the next picture within `picture_s` plus two of the camera's intervals.
    A picture file has at most `bytes`. Before the nth attempt in a row to reach a camera, its thread waits for half to
    all of `backoff_s` * 2^(n-1), at most `backoff_cap_s`. A camera that delivered pictures for `steady_s` starts again
    at the first attempt.
    """

    silence_s: float = 10.0
    picture_s: float = 15.0
    bytes: int = 16 << 20
    backoff_s: float = 1.0
    backoff_cap_s: float = 60.0
    steady_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture that has just arrived.

    `taken_ms` is the camera's own statement of when it was taken, milliseconds since 1970, unchecked; None without one.
    `picture` returns it as JPEG, or empty if there is no way to: pictures that are not owed are never decoded.
    """

    taken_ms: int | None
    picture: Callable[[], bytes]


class CameraConnection(Protocol):
    """A connection to a camera. One thread reads its pictures; another may call `check` and `cut`."""

    def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
        """Connect, and yield pictures until the camera ends the stream. Raises `CameraUnavailable`.

        `due` blocks until the next picture is due; it returns False if no more are wanted.
        """

    def check(self) -> None:
        """End a wait that exceeds the limits."""

    def cut(self) -> None:
        """End the connection now."""
