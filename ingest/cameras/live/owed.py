"""Which pictures a running camera owes by its rate, which of them arrived, and which did not."""

from collections.abc import Sequence
from threading import Lock

from ingest.cameras.jpeg import LARGEST_PICTURE
from ingest.cameras.live.timestamps import taken_ms
from ingest.cameras.sources import Shot, interval_of, time_of

MOST_WAITING = 4
"""Pictures of one camera that may wait to be sent. Without the last, they have fewer bytes than `LARGEST_PICTURE`."""

_LONGEST_GAP_MS = 600_000
_CLOCK_MS = 1_000


class Owed:
    """The pictures that a camera owes: one an interval, from `begin_ms` on. Two threads may use it.

    A picture counts as the next one owed if it arrives at most half an interval before that is due, so that a camera
    may be as uneven as its network. An earlier one is `extra`. A picture that has not arrived half an interval after
    the following one was due is missing. All times are milliseconds since 1970 by the caller's clock.
    """

    def __init__(self, rate: float, begin_ms: int) -> None:
        self.interval_ms = interval_of(rate)
        self.extra = 0
        """Pictures that arrived before they were owed."""
        self.crowded = 0
        """Pictures that were owed and dropped, because too many still waited to be sent."""
        self._rate = rate
        self._begin_ms = begin_ms
        self._first = 0
        self._number = 0
        self._latest_ms = 0
        self._waiting: dict[int, int] = {}
        self._missing: list[Shot] = []
        self._restarted = False
        self._lock = Lock()

    @property
    def due_ms(self) -> int:
        """When the next picture is due."""
        with self._lock:
            return self._due_ms(0)

    def wanted(self, now_ms: int) -> bool:
        """Whether to take a picture that arrives now; if not, it is counted as `extra` or `crowded`."""
        with self._lock:
            self._settle(now_ms)
            return self._wanted(now_ms)

    def take(self, said_ms: int | None, arrived_ms: int, picture: bytes) -> Shot | None:
        """Take a picture as the next one owed; None if none is owed.

        It counts as waiting until it is `sent`. `said_ms` is the camera's own statement of when it was taken.
        """
        with self._lock:
            self._settle(arrived_ms)
            if not self._wanted(arrived_ms):
                return None
            self._waiting[self._number] = len(picture)
            return self._shot(taken_ms(said_ms, arrived_ms, self.interval_ms, self._latest_ms), picture)

    def sent(self, shot: Shot) -> None:
        """Record that what `take` returned waits no longer."""
        with self._lock:
            self._waiting.pop(shot.number, None)

    def missing(self, now_ms: int) -> Sequence[Shot]:
        """An empty picture for each that has become missing since the last call."""
        with self._lock:
            self._settle(now_ms)
            missing, self._missing = self._missing, []
        return missing

    def restarted(self) -> bool:
        """Whether the schedule was restarted since the last call: the clock was set, or the process slept for minutes.

        What would have been owed meanwhile is unknown and not counted: the camera owes pictures from now on.
        """
        with self._lock:
            restarted, self._restarted = self._restarted, False
        return restarted

    def _settle(self, now_ms: int) -> None:
        """Restart the schedule if the clock jumped, and count as missing what is overdue."""
        ahead = self._due_ms(0) - now_ms
        if not -_LONGEST_GAP_MS - 2 * self.interval_ms <= ahead <= 2 * self.interval_ms + _CLOCK_MS:
            self._begin_ms, self._first, self._latest_ms, self._restarted = now_ms, self._number, 0, True
        while now_ms >= self._due_ms(1) + self.interval_ms // 2:
            self._missing.append(self._shot(max(self._due_ms(0), self._latest_ms + 1), b""))

    def _due_ms(self, ahead: int) -> int:
        return time_of(self._number - self._first + ahead, self._rate, self._begin_ms)

    def _wanted(self, now_ms: int) -> bool:
        if now_ms < self._due_ms(0) - self.interval_ms // 2 or now_ms <= self._latest_ms:
            self.extra += 1
            return False
        if len(self._waiting) >= MOST_WAITING or sum(self._waiting.values()) >= LARGEST_PICTURE:
            self.crowded += 1
            return False
        return True

    def _shot(self, start_ms: int, picture: bytes) -> Shot:
        shot = Shot(self._number, start_ms, picture)
        self._number, self._latest_ms = self._number + 1, start_ms
        return shot
