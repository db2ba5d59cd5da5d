"""From the fields of lines to columns of numbers, in which a fault stands where a field can't be read."""

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import numpy as np

from ingest.files.reasons import CONTRADICTION, INTERVAL, NO_INTERVAL, QUALITY, REPEATED_HOUR, TIME, UNIT, UNREADABLE
from ingest.tables.faults import LEAST, Memo, Numbers, fault, numbers
from ingest.tables.fields import Fields
from ingest.tables.layout import TableLayout, joined
from ingest.tables.numbers import BLANKS, AmountsOf
from ingest.tables.profile import OnlyPart, Profile, QualityPart, RepeatedColumn
from ingest.tables.times import MONTHS, Clock
from ingest.tables.units import known, scale
from schemas.batch import ACTUAL
from schemas.catalogue import Metric

ESTIMATED = 0
_MOST_DIGITS = 6
_LONGEST_MS = 366 * 86_400_000


def mark(faults: Numbers, column: Numbers) -> None:
    """Note the faults of a column where none has been noted: 0 in `faults` is none."""
    np.copyto(faults, column, where=(faults == 0) & (column < LEAST))


class Sources:
    """The source of each line."""

    def __init__(self, profile: Profile, layout: TableLayout) -> None:
        self._part = profile.source
        self._places = [layout.place(name) for name in self._part.columns if name != "stream"] if self._part else []

    def of(self, fields: Fields, stream: str = "") -> tuple[Sequence[str] | None, Numbers | None]:
        """The ids, and the faults where one of the columns is empty; None and None if the command names the source."""
        if self._part is None:
            return None, None
        around = " \t\u00a0" + self._part.strip
        parts = [[text.strip(around) for text in fields.column(place)] for place in self._places]
        faults = None
        if any("" in part for part in parts):
            empty = np.array([not all(texts) for texts in zip(*parts, strict=True)])
            faults = np.where(empty, fault(UNREADABLE), 0).astype(np.int64)
        if len(parts) == 1 and self._part.text == _braced(self._part.columns[0]):
            return parts[0], faults
        form = self._part.text
        columns = [name for name in self._part.columns if name != "stream"]
        if stream:
            form = form.replace("{stream}", stream.replace("{", "{{").replace("}", "}}"))
        for place, name in enumerate(columns):
            form = form.replace(_braced(name), _braced(str(place)))
        return [form.format(*texts) for texts in zip(*parts, strict=True)], faults


class TimeColumns:
    """The time of each line, as it is written, in milliseconds."""

    def __init__(self, profile: Profile, layout: TableLayout, clock: Clock) -> None:
        self._part = profile.time
        self._clock = clock
        self._places = [layout.place(name) for name in self._part.columns]
        self._sequence = _place(layout, self._part.sequence)
        self._month, self._year = _place(layout, self._part.month), _place(layout, self._part.year)
        repeated = self._part.repeated
        self._which = layout.place(repeated.column) if isinstance(repeated, RepeatedColumn) else None
        self._numbers = Memo(_sequence)
        self._months = Memo(_month_of)
        self._said = Memo(self._month_said)
        self._latest: dict[str, int] = {}
        """Source -> its latest time so far, around days on which the clock changes."""

    def texts(self, fields: Fields) -> Sequence[str]:
        return joined(fields, self._places)

    def of(self, fields: Fields, sources: Sequence[str] | None, others: Numbers) -> Numbers:
        """Milliseconds since 1970, UTC, or faults. Lines where `others` is not 0 are left out of the order."""
        texts = self.texts(fields)
        found = self._clock.many(texts)
        if self._part.repeated not in ("refuse", "first"):
            self._settle(found, texts, fields, sources, others)
        if self._sequence is not None:
            place = self._sequence
            added = numbers(self._numbers, fields.column(place))
            found = np.where(added < LEAST, added, np.where(found < LEAST, found, found + added))
        if self._month is not None and self._year is not None:
            agrees = numbers(self._months, joined(fields, [self._month, self._year]))
            said = numbers(self._said, texts)
            wrong = np.where(agrees < LEAST, agrees, np.where(agrees == said, 0, fault(CONTRADICTION)))
            found = np.where((wrong != 0) & ((found > LEAST) | (agrees < LEAST)), wrong, found)
        return found

    def _month_said(self, text: str) -> int:
        local = self._clock.local(text)
        return fault(TIME) if local is None else local.year * 12 + local.month

    def _settle(
        self, found: Numbers, texts: Sequence[str], fields: Fields, sources: Sequence[str] | None, others: Numbers
    ) -> None:
        """Which of the two hours a time in a repeated one is of."""
        if not any(((found >= begin) & (found < end)).any() for begin, end in self._clock.changing):
            return
        both = self._clock.both
        if self._which is not None:
            for row, text in enumerate(texts):
                if text in both:
                    found[row] = self._by_column(fields.line(row)[self._which], *both[text])
            return
        names = sources if sources is not None else [""] * len(texts)
        for row, (text, source) in enumerate(zip(texts, names, strict=True)):
            if others[row]:
                continue
            pair = both.get(text)
            if pair is not None:
                latest = self._latest.get(source, -1)
                found[row] = next((moment for moment in pair if moment > latest), fault(REPEATED_HOUR))
            if found[row] > LEAST:
                self._latest[source] = int(found[row])

    def _by_column(self, text: str, first: int, second: int) -> int:
        repeated = self._part.repeated
        assert isinstance(repeated, RepeatedColumn)
        if text.strip() in repeated.first:
            return first
        return second if text.strip() in repeated.second else fault(REPEATED_HOUR)


class AmountColumns:
    """The amounts of texts, by their unit and the length of their interval."""

    def __init__(self, profile: Profile, metric: Metric) -> None:
        self._profile = profile
        self._metric = metric
        self._memos: dict[tuple[str, int], AmountsOf] = {}

    def of(self, unit: str, interval_ms: int) -> AmountsOf:
        """Text -> smallest units or a fault."""
        key = unit, interval_ms
        if key not in self._memos:
            if len(self._memos) >= 100:
                self._memos.clear()
            factor = scale(self._metric, unit, interval_ms)
            self._memos[key] = AmountsOf(self._profile.shape, self._profile.value, factor)
        return self._memos[key]

    def each(self, texts: Sequence[str], units: Sequence[str], intervals: Sequence[int]) -> Numbers:
        """As `of`, for units and intervals of each line; an unknown unit is a fault."""
        names = {unit: known(unit, self._metric) for unit in set(units)}
        return np.fromiter(
            (
                fault(UNIT) if (name := names[unit]) is None else self.of(name, interval).texts[text]
                for text, unit, interval in zip(texts, units, intervals, strict=True)
            ),
            np.int64,
            len(texts),
        )


def intervals(profile: Profile) -> Callable[[str], int]:
    """Text -> the length of an interval in milliseconds, or a fault."""
    part = profile.interval

    def decode(text: str) -> int:
        text = text.strip(BLANKS)
        if text in part.words:
            return part.words[text]
        if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS or not part.unit_ms:
            return fault(NO_INTERVAL)
        length = int(text) * part.unit_ms
        return length if 0 < length <= _LONGEST_MS else fault(INTERVAL if length else NO_INTERVAL)

    return decode


def qualities(part: QualityPart) -> Callable[[str], int]:
    """Text -> measured or estimated, or a fault; the longest beginning decides."""
    meanings = {**dict.fromkeys(part.actual, ACTUAL), **dict.fromkeys(part.estimated, ESTIMATED)}
    beginnings = sorted(meanings, key=len, reverse=True)

    def decode(text: str) -> int:
        text = text.strip(BLANKS)
        for beginning in beginnings:
            if text.startswith(beginning) if beginning else not text:
                return meanings[beginning]
        return fault(QUALITY)

    return decode


def accepted(part: OnlyPart) -> Callable[[str], int]:
    """Text -> 0, or the fault of a line that is not read."""

    def decode(text: str) -> int:
        text = text.strip(BLANKS)
        return 0 if text in part.texts or text.startswith(part.beginnings) else fault(part.reason)

    return decode


def zone_of(name: str, city: ZoneInfo) -> ZoneInfo:
    """The zone that a profile or an operator names."""
    return city if name == "city" else ZoneInfo("UTC" if name == "text" else name)


def _braced(name: str) -> str:
    return "{" + name + "}"


def _place(layout: TableLayout, column: str) -> int | None:
    return layout.place(column) if column else None


def _sequence(text: str) -> int:
    text = text.strip(BLANKS)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else fault(UNREADABLE)


def _month_of(text: str) -> int:
    name, _, year = text.strip(BLANKS).rpartition(" ")
    name = name.strip(BLANKS).lower()
    if name not in MONTHS or not (year.isascii() and year.isdigit() and len(year) == 4):
        return fault(UNREADABLE)
    return int(year) * 12 + MONTHS.index(name) + 1
