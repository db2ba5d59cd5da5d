"""Green Button files: a customer's electricity from the utility, ESPI (NAESB REQ.21) in an Atom feed.

The file is read twice: first for the links and types, then for the readings. Accepted are watt-hours, and watts
averaged over their interval, that were delivered to the customer. One import is one meter. Energy is preferred to
power. Several channels of one meter are added if they take turns, as those for the hours of a tariff do; if not, the
operator chooses.
"""

import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np

from ingest.files.channels import ENTRY, ESPI, Links, MeteringChannels
from ingest.files.clocks import within
from ingest.files.markup import feed
from ingest.files.reading import KEPT_BYTES, Empty, Note, Outcome, Parsed
from ingest.files.reading_types import ESTIMATED_QUALITIES, ReadingType
from ingest.files.reasons import (
    CONTRADICTION,
    INTERVAL,
    MISSING,
    NO_INTERVAL,
    NUMBER,
    REPEATED_ZERO,
    TIME,
    UNREADABLE,
)
from schemas.batch import ACTUAL, ESTIMATED
from store.deliveries import Refused

METRIC = "energy.import"
LONGEST_S = 3_600

MOST_READINGS = 2_000_000
"""Of a file with several channels, which are compared in memory."""

_READING = f"{ESPI}IntervalReading"
_OF_A_READING = frozenset({"start", "duration", "value"})
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,24})?", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class GreenButton:
    """Implements `FileFormat`: readings of the source that the command names.

    `meter` is the address of the MeterReading to read, or its last part; `interval_s` the length of an interval where
    the file says none. Positions are the IntervalReadings' places in the file, from 1. A file that is not well-formed
    to its end gives no reading at all.
    """

    meter: str | None = None
    interval_s: int | None = None

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "interval readings"

    def read(self, path: Path) -> Iterator[Outcome]:
        links = Links(path.name)
        for _ in feed(path, links):
            pass
        channels = MeteringChannels(links, self.meter)
        turns = None
        if len(channels.imported) > 1:
            turns = _Turns(channels, self.interval_s)
            for _ in feed(path, turns):
                pass
            turns.check()
            yield Note(f"{path.name}: channels that take turns are added: {', '.join(channels.imported)}")
        with path.open("rb") as original:
            readings = _Readings(channels, self.interval_s, turns, original)
            with closing(feed(path, readings)) as parts:
                for _ in parts:
                    yield from readings.taken()


@dataclass(slots=True)
class _Reading:
    """An IntervalReading as it stands in the file, by the local names of its fields."""

    begin: int
    fields: dict[str, str]
    qualities: set[str]
    contradiction: bool = False

    def seconds(self, reading_type: ReadingType, given: int | None) -> int | None:
        """The length of its interval: its own, its type's, or the operator's; 0 if none says it, None if unreadable."""
        said = self.fields.get("duration", "")
        if said and not _SECONDS.fullmatch(said):
            return None
        return int(said or 0) or reading_type.interval_s or given or 0

    def start_ms(self) -> int | None:
        start = self.fields.get("start", "")
        return within(int(start) * 1_000) if _SECONDS.fullmatch(start) else None


class _ReadingEvents(ABC):
    """Implements `ingest.files.markup.Events`: collects the fields of each IntervalReading."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._entries = 0
        self._in_entry = False
        self._reading = _Reading(0, {}, set())

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        del attributes
        self._stack.append(name)
        if name == ENTRY:
            self._entries += 1
            self._in_entry = True
        elif name == _READING:
            self._reading = _Reading(at, {}, set())

    def end(self, name: str, text: str, at: int) -> None:
        self._stack.pop()
        field_name = name.removeprefix(ESPI)
        if name == ENTRY:
            self._in_entry = False
        elif name == _READING:
            self.take(self._entries if self._in_entry else 0, self._reading, at)
        elif _READING not in self._stack[-2:]:
            pass
        elif field_name in _OF_A_READING:
            said = text.strip()
            self._reading.contradiction |= self._reading.fields.setdefault(field_name, said) != said
        elif field_name == "quality":
            self._reading.qualities.add(text.strip())

    @abstractmethod
    def take(self, entry: int, reading: _Reading, end: int) -> None:
        """A reading is complete; its end tag begins at the offset `end`. `entry` is the number of its entry, or 0."""


class _Turns(_ReadingEvents):
    """Whether the channels that are imported take turns: at no time do two of them measure something."""

    def __init__(self, channels: MeteringChannels, interval_s: int | None) -> None:
        super().__init__()
        self._channels = channels
        self._interval_s = interval_s
        self._number = {owner: number for number, owner in enumerate(channels.imported)}
        self._channel, self._start, self._end = array("i"), array("q"), array("q")
        self._zeros: set[int] = set()

    def take(self, entry: int, reading: _Reading, end: int) -> None:
        owner, reading_type, reason = self._channels.of(entry)
        value = reading.fields.get("value", "")
        start, seconds = reading.start_ms(), reading.seconds(reading_type, self._interval_s)
        if reason is not None or start is None or not seconds or not _NUMBER.fullmatch(value) or not Fraction(value):
            return
        if len(self._channel) == MOST_READINGS:
            raise self._channels.refuse_several()
        self._channel.append(self._number[owner])
        self._start.append(start)
        self._end.append(start + seconds * 1_000)

    def check(self) -> None:
        """Raises `NotSuchFile` if they do not."""
        channel = np.array(self._channel, np.int32)
        start, end = np.array(self._start, np.int64), np.array(self._end, np.int64)
        order = np.argsort(start, kind="stable")
        channel, start, end = channel[order], start[order], end[order]
        over = start[1:] < np.maximum.accumulate(end)[:-1]
        if not self._channels.of_one_place or (over & (channel[1:] != channel[:-1])).any():
            raise self._channels.refuse_several()
        self._measured = frozenset(start.tolist())

    def spare(self, start_ms: int) -> bool:
        """Whether a zero at this time is beside what another channel measures, or another zero before it."""
        if start_ms in self._measured or start_ms in self._zeros:
            return True
        self._zeros.add(start_ms)
        return False


class _Readings(_ReadingEvents):
    """The readings of the file, as outcomes."""

    def __init__(
        self, channels: MeteringChannels, interval_s: int | None, turns: _Turns | None, original: BinaryIO
    ) -> None:
        super().__init__()
        self._channels = channels
        self._interval_s = interval_s
        self._turns = turns
        self._original = original
        self._outcomes: list[Outcome] = []
        self._count = 0

    def taken(self) -> list[Outcome]:
        """The outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def take(self, entry: int, reading: _Reading, end: int) -> None:
        self._count += 1
        _, reading_type, reason = self._channels.of(entry)
        original = self._original_bytes(reading.begin, end)
        outcome = self._outcome(reading, reading_type, original) if reason is None else reason
        self._outcomes.append(Refused(self._count, outcome, original) if isinstance(outcome, str) else outcome)

    def _original_bytes(self, begin: int, end: int) -> bytes:
        """The bytes of an element in the file, up to its end tag, at most `KEPT_BYTES`."""
        self._original.seek(begin)
        return self._original.read(min(end - begin, KEPT_BYTES))

    def _outcome(self, reading: _Reading, reading_type: ReadingType, original: bytes) -> Outcome | str:
        """The reading, or the reason why it is refused."""
        value = reading.fields.get("value", "")
        start, seconds = reading.start_ms(), reading.seconds(reading_type, self._interval_s)
        faults = (
            (reading.contradiction, CONTRADICTION),
            (not value, MISSING),
            (not _NUMBER.fullmatch(value), NUMBER),
            (start is None, TIME),
            (seconds is None, UNREADABLE),
            (seconds == 0, NO_INTERVAL),
            (seconds is not None and seconds > LONGEST_S, INTERVAL),
        )
        fault = next((reason for wrong, reason in faults if wrong), None)
        if fault is not None or start is None or seconds is None:
            return fault or UNREADABLE
        amount = round(Fraction(value) * reading_type.factor(seconds))
        if amount == 0 and self._turns is not None and self._turns.spare(start):
            return Empty(REPEATED_ZERO)
        estimated = bool(reading.qualities & ESTIMATED_QUALITIES) or (reading_type.estimated and not reading.qualities)
        quality = ESTIMATED if estimated else ACTUAL
        return Parsed(self._count, None, METRIC, start, seconds * 1_000, amount, quality, original)
