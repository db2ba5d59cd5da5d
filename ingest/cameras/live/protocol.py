"""What a running camera gives, and what it may cost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


class CameraUnavailable(Exception):
    """A camera gives no pictures for now. `reason` is a fixed text: nothing that the camera said stands in it."""

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
    """What one camera may cost. Times are seconds.

    Nobody waits longer than `silence_s` for the next byte, nor for a picture longer than `picture_s` and two of the
    camera's intervals. A picture file has at most `bytes`. Before the nth attempt in a row to reach a camera, its
    thread waits for half to all of `backoff_s` * 2^(n-1), at most `backoff_cap_s`; a camera that gave pictures for
    `steady_s` begins at the first attempt again.
    """

    silence_s: float = 10.0
    picture_s: float = 15.0
    bytes: int = 16 << 20
    backoff_s: float = 1.0
    backoff_cap_s: float = 60.0
    steady_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture that has just come.

    `taken_ms` is when it was taken by what the camera says, milliseconds since 1970, None if it does not say; nobody
    has checked it. `picture` makes the JPEG, empty if it can't be made: extra pictures are never decoded.
    """

    taken_ms: int | None
    picture: Callable[[], bytes]


class CameraConnection(Protocol):
    """A camera at an address. Its pictures come in one thread; another may call `check` and `cut`."""

    def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
        """Connect, and give what comes until the camera ends it. Raises `CameraUnavailable`.

        `due` returns when the next picture is due: at once if it is, and False if there is to be none.
        """

    def check(self) -> None:
        """End what takes longer than the limits allow."""

    def cut(self) -> None:
        """End whatever is going on, now."""
