"""Readings of one source that cannot all be true: overlaps, two values for one interval, intervals too short."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ingest.facts import POWER
from ingest.files.reading import NotSuchFile, Parsed
from ingest.files.reasons import CONTRADICTION, OVERLAP, SPACING
from ingest.identity import normal

MOST_CLASHES = 100_000
_LEAST_SPACINGS = 3
_MOST_SPACINGS = 1_000
"""Different ones that are told apart; all others count as one gap."""

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


class _Spacings:
    """How far apart the readings of a source of energy are, where that is further than the interval of the first."""

    def __init__(self) -> None:
        self._gaps: Counter[int] = Counter()
        self._all = 0

    def add(self, before: _Stretch, start: int) -> None:
        apart = start - before.start
        self._all += 1
        if apart > before.interval:
            self._gaps[apart if apart in self._gaps or len(self._gaps) < _MOST_SPACINGS else -1] += 1

    @property
    def contradict(self) -> bool:
        """Whether most readings are evenly spaced, but further apart than they are long."""
        most = max((count for apart, count in self._gaps.items() if apart > 0), default=0)
        return self._all >= _LEAST_SPACINGS and most * 2 > self._all


class Clashes:
    """Finds them in readings in the order of time. A repeated reading is none, nor is an estimate beside an actual one.

    All readings of a stretch in which two overlap are refused, whichever came first: which of them is true, only the
    operator knows. So are all of a source of energy whose intervals are shorter than the spacing of most of them.
    """

    def __init__(self, readings: Iterable[Parsed]) -> None:
        """Raises `NotSuchFile` if there are more than `MOST_CLASHES` of them."""
        self._found: dict[Key, list[_Stretch]] = {}
        self._count = 0
        open_: dict[Key, _Stretch] = {}
        self._spacings: dict[Key, _Spacings] = {}
        for parsed in readings:
            key = _key(parsed)
            stretch = open_.get(key)
            if stretch is not None and stretch.holds(parsed.start_ms):
                stretch.add(parsed)
                continue
            if stretch is not None:
                self._close(key, stretch)
                if parsed.metric in POWER.metrics:
                    self._spacings.setdefault(key, _Spacings()).add(stretch, parsed.start_ms)
            start, interval = parsed.start_ms, parsed.interval_ms
            open_[key] = _Stretch(start, start + interval, interval, parsed.quality, parsed.value)
        for key, stretch in open_.items():
            self._close(key, stretch)
        self._too_short = {key for key, spacings in self._spacings.items() if spacings.contradict}

    def reason(self, parsed: Parsed) -> str | None:
        """Why the reading is refused, or None."""
        if not self._found and not self._too_short:
            return None
        key = _key(parsed)
        stretches = self._found.get(key, [])
        place = bisect_right(stretches, parsed.start_ms, key=lambda stretch: stretch.start)
        if place and stretches[place - 1].holds(parsed.start_ms):
            return stretches[place - 1].reason
        return SPACING if key in self._too_short else None

    def _close(self, key: Key, stretch: _Stretch) -> None:
        if stretch.reason is None:
            return
        self._count += 1
        if self._count > MOST_CLASHES:
            raise NotSuchFile(f"more than {MOST_CLASHES} times have readings that contradict each other")
        self._found.setdefault(key, []).append(stretch)


def _key(parsed: Parsed) -> Key:
    return parsed.metric, None if parsed.source is None else normal(parsed.source)
