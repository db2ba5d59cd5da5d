"""Readings of one source that cannot both be true: intervals that overlap, or two values for one interval."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ingest.files.reading import NotSuchFile, Parsed
from ingest.files.reasons import CONTRADICTION, OVERLAP
from ingest.identity import normal

MOST_CLASHES = 100_000

Key = tuple[str, str | None]
"""Metric, and source in its normal form."""


@dataclass(slots=True)
class _Stretch:
    """Readings of one source that lie over each other, so far: from the first one's start to the latest end."""

    start: int
    end: int
    interval: int
    quality: int
    value: int
    reason: str | None = None

    def holds(self, start: int) -> bool:
        return start < self.end or start == self.start

    def add(self, parsed: Parsed) -> None:
        self.end = max(self.end, parsed.start_ms + parsed.interval_ms)
        if (parsed.start_ms, parsed.interval_ms) != (self.start, self.interval):
            self.reason = OVERLAP
        elif self.reason != OVERLAP and parsed.quality > self.quality:  # an actual reading beats estimates (R6)
            self.quality, self.value, self.reason = parsed.quality, parsed.value, None
        elif self.reason is None and parsed.quality == self.quality and parsed.value != self.value:
            self.reason = CONTRADICTION


class Clashes:
    """Finds them in readings in the order of time. A repeated reading is none, nor is an estimate beside an actual one.

    All readings of a stretch in which two overlap are refused, whichever came first: which of them is true, only the
    operator knows.
    """

    def __init__(self, readings: Iterable[Parsed]) -> None:
        """Raises `NotSuchFile` if there are more than `MOST_CLASHES` of them."""
        self._found: dict[Key, list[_Stretch]] = {}
        self._count = 0
        open_: dict[Key, _Stretch] = {}
        for parsed in readings:
            key = _key(parsed)
            stretch = open_.get(key)
            if stretch is not None and stretch.holds(parsed.start_ms):
                stretch.add(parsed)
                continue
            if stretch is not None:
                self._close(key, stretch)
            start, interval = parsed.start_ms, parsed.interval_ms
            open_[key] = _Stretch(start, start + interval, interval, parsed.quality, parsed.value)
        for key, stretch in open_.items():
            self._close(key, stretch)

    def reason(self, parsed: Parsed) -> str | None:
        """Why the reading is refused, or None."""
        stretches = self._found.get(_key(parsed))
        if stretches is None:
            return None
        place = bisect_right(stretches, parsed.start_ms, key=lambda stretch: stretch.start)
        return stretches[place - 1].reason if place and stretches[place - 1].holds(parsed.start_ms) else None

    def _close(self, key: Key, stretch: _Stretch) -> None:
        if stretch.reason is None:
            return
        self._count += 1
        if self._count > MOST_CLASHES:
            raise NotSuchFile(f"more than {MOST_CLASHES} times have readings that contradict each other")
        self._found.setdefault(key, []).append(stretch)


def _key(parsed: Parsed) -> Key:
    return parsed.metric, None if parsed.source is None else normal(parsed.source)
