"""Readings that are more than their source can deliver or draw, by the power that the register has of it."""

from collections import defaultdict
from collections.abc import Sequence

from ingest.facts import POWER
from ingest.files.reading import Parsed
from ingest.identity import normal

MOST_TIMES = 2
"""How many times the rated power a reading may be: meters and inverters are rated for what they bear all day."""
STRAY_PERCENT = 1
"""Of a source's readings that are not zero, so many may be above it, as strays. More mean that the unit is wrong."""

LEAST_PERCENT = 1
"""Of the rated power: an import without any reading so high gets a remark. It may be of a winter's nights."""

_BINS = 64


class RatedPower:
    """Counts the power of each source's readings by powers of two, in W, before the sources are looked up.

    A file in a wrong unit has small readings, too, at night and on dark days: its readings above the limit are either
    strays, which are refused one by one, or all readings of the source are refused.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str | None], list[int]] = defaultdict(lambda: [0] * _BINS)
        self._highest: float | None = None

    def add(self, parsed: Parsed) -> None:
        """Count a reading, if it is of energy."""
        if parsed.interval_ms and parsed.metric in POWER.metrics:
            self._counts[_key(parsed)][min(_watts(parsed).bit_length(), _BINS - 1)] += 1

    def impossible(self, parsed: Parsed, power_w: int) -> bool:
        """Whether a reading is refused, where the register has this power of its source, or 0 for none."""
        if not power_w or not parsed.interval_ms or parsed.metric not in POWER.metrics:
            return False
        self._highest = max(self._highest or 0.0, _watts(parsed) / power_w)
        limit = MOST_TIMES * power_w
        return _watts(parsed) > limit or self._in_a_wrong_unit(self._counts[_key(parsed)], limit)

    def remark(self) -> str | None:
        """What is odd about readings that are all far below the power of their source; None if none were compared."""
        if self._highest is None or self._highest >= LEAST_PERCENT / 100:
            return None
        return f"no reading is {LEAST_PERCENT} % of the power in the register: check the unit, which may be too small"

    @staticmethod
    def _in_a_wrong_unit(counts: Sequence[int], limit: int) -> bool:
        above = sum(counts[limit.bit_length() + 1 :])
        return above * 100 > STRAY_PERCENT * sum(counts[1:])


def _key(parsed: Parsed) -> tuple[str, str | None]:
    return parsed.metric, None if parsed.source is None else normal(parsed.source)


def _watts(parsed: Parsed) -> int:
    """Millijoules in milliseconds are watts."""
    return abs(parsed.value) // parsed.interval_ms
