"""Which pictures a running camera owes by its rate, which came, and which did not."""

from collections.abc import Sequence
from threading import Lock

from ingest.cameras.jpeg import LARGEST_PICTURE
from ingest.cameras.live.timestamps import believed
from ingest.cameras.sources import Shot, interval_of, time_of

MOST_WAITING = 4
"""Pictures of one camera that wait to be sent; all together, all but the last have less than one message may."""

_LONGEST_GAP_MS = 600_000
_CLOCK_MS = 1_000


class Owed:
    """One picture an interval, from `begin_ms` on, by the clock of whoever calls. Two threads may use it.

    A picture counts for the next one that is owed if it comes at most half an interval before that is due, so that a
    camera may be as uneven as its network. What comes earlier is more than was owed; what has not come half an interval
    after the next one was due does not come at all.
    """

    def __init__(self, rate: float, begin_ms: int) -> None:
        self.interval_ms = interval_of(rate)
        self.extra = 0
        """Pictures that came, but were more than the camera owed."""
        self.crowded = 0
        """Pictures that were owed, but those before still waited to be sent."""
        self._rate = rate
        self._begin_ms = begin_ms
        self._first = 0
        self._number = 0
        self._latest_ms = 0
        self._waiting: dict[int, int] = {}
        self._missing: list[Shot] = []
        self._anew = False
        self._lock = Lock()

    @property
    def due_ms(self) -> int:
        """When the next picture is due."""
        with self._lock:
            return self._due_ms(0)

    def wanted(self, now_ms: int) -> bool:
        """Whether a picture that comes now is owed and finds room; one that does not is counted here."""
        with self._lock:
            self._settle(now_ms)
            return self._wanted(now_ms)

    def take(self, said_ms: int | None, arrived_ms: int, picture: bytes) -> Shot | None:
        """A picture that came for the next one that is owed; None if another came first, or if none is owed.

        It waits until it is `sent`. `said_ms` is when it was taken by what the camera says.
        """
        with self._lock:
            self._settle(arrived_ms)
            if not self._wanted(arrived_ms):
                return None
            self._waiting[self._number] = len(picture)
            return self._shot(believed(said_ms, arrived_ms, self.interval_ms, self._latest_ms), picture)

    def sent(self, shot: Shot) -> None:
        """What `take` gave waits no longer."""
        with self._lock:
            self._waiting.pop(shot.number, None)

    def missing(self, now_ms: int) -> Sequence[Shot]:
        """An empty picture for each that has not come by now; each is told once."""
        with self._lock:
            self._settle(now_ms)
            told, self._missing = self._missing, []
        return told

    def began_anew(self) -> bool:
        """Whether, since this was asked last, the clock was set, or nobody looked for minutes.

        What would have been owed meanwhile is not known and not counted: the camera owes from then on.
        """
        with self._lock:
            told, self._anew = self._anew, False
        return told

    def _settle(self, now_ms: int) -> None:
        """What has not come by now does not come."""
        ahead = self._due_ms(0) - now_ms
        if not -_LONGEST_GAP_MS - 2 * self.interval_ms <= ahead <= 2 * self.interval_ms + _CLOCK_MS:
            self._begin_ms, self._first, self._latest_ms, self._anew = now_ms, self._number, 0, True
        while now_ms >= self._due_ms(1) + self.interval_ms // 2:
            self._missing.append(self._shot(max(self._due_ms(0), self._latest_ms + 1), b""))

    def _due_ms(self, further: int) -> int:
        return time_of(self._number - self._first + further, self._rate, self._begin_ms)

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
