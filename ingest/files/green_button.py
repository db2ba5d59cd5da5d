"""Green Button files: a customer's electricity from the utility, ESPI (NAESB REQ.21) in an Atom feed.

An entry's IntervalBlock belongs to a MeterReading (its link `up`), and the MeterReading names its ReadingType (a link
`related`), which holds unit, power of ten, direction of flow and accumulation. So the file is read twice: first for
these, then for the readings. A feed with one ReadingType, or a document without a feed, needs no links.

Accepted are watt-hours, and watts averaged over their interval, that were delivered to the customer. One import is one
metering channel: the first of the feed that can be used.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, ClassVar

from ingest.files.clocks import within
from ingest.files.markup import feed
from ingest.files.reading import KEPT_BYTES, MISSING, UNREADABLE, NotSuchFile, Outcome, Parsed
from schemas.batch import ACTUAL, ESTIMATED
from store.deliveries import Refused

METRIC = "energy.import"
LONGEST_S = 3_600

UNIT = "unit"
"""Neither electrical energy nor power, or without a ReadingType."""
FLOW_DIRECTION = "flow-direction"
"""Energy that the customer fed in, net energy, or reactive energy."""
ACCUMULATION = "accumulation"
"""A cumulative register, not the energy of an interval."""
QUALIFIER = "qualifier"
"""A minimum or maximum of the interval, not its energy."""
INTERVAL = "interval"
"""Longer than an hour, the metric's window."""
OTHER_METER = "other-meter"
"""Of another channel than the imported one."""

MOST_LINKS = 200_000
MOST_LINKED = 16 << 20
"""Limits on the links, types and entries that are kept, and on the characters of the links."""

_ESPI = "http://naesb.org/espi "
_ATOM = "http://www.w3.org/2005/Atom "
_ENTRY, _LINK = f"{_ATOM}entry", f"{_ATOM}link"
_METER, _TYPE = f"{_ESPI}MeterReading", f"{_ESPI}ReadingType"
_BLOCK, _READING = f"{_ESPI}IntervalBlock", f"{_ESPI}IntervalReading"

_WATT, _WATT_HOUR = "38", "72"
_MILLIJOULES_PER_WATT_SECOND = 1_000
_ESTIMATED = frozenset({"8", "9", "12"})  # by a reference day, by interpolation, projected
_OF_A_TYPE = frozenset(
    {"uom", "commodity", "powerOfTenMultiplier", "flowDirection", "accumulationBehaviour", "dataQualifier"}
)
_OF_A_READING = frozenset({"start", "duration", "value", "quality"})
_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)
_POWER = re.compile(r"[+-]?\d{1,2}", re.ASCII)
_LARGEST_POWER = 12


@dataclass(frozen=True, slots=True)
class GreenButton:
    """Implements `FileFormat`: readings of the source that the command names.

    Positions are the IntervalReadings' places in the file, from 1. A file that is not well-formed to its end gives no
    reading at all.
    """

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "interval readings"

    def read(self, path: Path) -> Iterator[Outcome]:
        links = _Links(path.name)
        for _ in feed(path, links):
            pass
        with path.open("rb") as original:
            readings = _Readings(_Channels(links), original)
            with closing(feed(path, readings)) as parts:
                for _ in parts:
                    yield from readings.taken()


@dataclass(frozen=True, slots=True)
class _ReadingType:
    """The scale of a ReadingType's readings; or in `reason`, why they can't be used."""

    reason: str | None
    power_of_ten: int
    by_second: bool

    def factor(self, seconds: int) -> Fraction:
        """Millijoules per unit of the value, in an interval of so many seconds."""
        per_second = _MILLIJOULES_PER_WATT_SECOND * (seconds if self.by_second else 3_600)
        return per_second * Fraction(10) ** self.power_of_ten


_NO_TYPE = _ReadingType(UNIT, 0, False)


def _reading_type(fields: Mapping[str, str]) -> _ReadingType:
    """The ReadingType with these fields, by their local names."""
    power = fields.get("powerOfTenMultiplier", "0")
    uom, commodity = fields.get("uom"), fields.get("commodity", "0")
    known = uom in (_WATT, _WATT_HOUR) and commodity in ("0", "1", "2")  # absent, or electricity at either voltage
    reason = None
    if not known or not _POWER.fullmatch(power) or abs(int(power)) > _LARGEST_POWER:
        return _NO_TYPE
    if fields.get("flowDirection", "0") not in ("0", "1"):
        reason = FLOW_DIRECTION
    elif fields.get("accumulationBehaviour", "4") not in (("4", "12") if uom == _WATT else ("4",)):
        reason = ACCUMULATION
    elif fields.get("dataQualifier", "0") not in ("0", "2", "12"):  # absent, average, normal
        reason = QUALIFIER
    return _ReadingType(reason, int(power), uom == _WATT)


@dataclass(slots=True)
class _Entry:
    """An entry of the feed: its links, and which ESPI elements it contains."""

    own: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)
    meter: bool = False
    types: list[_ReadingType] = field(default_factory=list)
    blocks: bool = False


class _Links:
    """First pass: the feed's MeterReadings and ReadingTypes, and the links of each entry with IntervalBlocks.

    Implements `ingest.files.markup.Events`.
    """

    def __init__(self, name: str) -> None:
        self.meters: list[_Entry] = []
        self.types: dict[str, _ReadingType] = {}
        self.all_types: list[_ReadingType] = []
        self.blocks: dict[int, tuple[str, str]] = {}
        """Number of an entry (0 outside of any) -> its links `up` and `self`."""
        self._name = name
        self._outside = _Entry()
        self._entry = self._outside
        self._entries = 0
        self._stack: list[str] = []
        self._fields: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._links = self._linked = 0

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        del at
        if not self._stack and not name.startswith((_ATOM, _ESPI)):
            raise NotSuchFile(f"{self._name}: is neither an Atom feed nor an ESPI document")
        self._stack.append(name)
        if name == _ENTRY:
            self._entries += 1
            self._entry = _Entry()
        elif name == _LINK:
            self._link(attributes.get("rel", ""), attributes.get("href", ""))
        elif name == _TYPE:
            self._fields = {}
        elif name == _METER:
            self._entry.meter = True
        elif name == _BLOCK:
            self._entry.blocks = True

    def end(self, name: str, text: str, at: int) -> None:
        del at
        self._stack.pop()
        field_name = name.removeprefix(_ESPI)
        if self._stack and self._stack[-1] == _TYPE and field_name in _OF_A_TYPE:
            self._fields[field_name] = text.strip()
        elif name == _TYPE:
            self._count()
            self._entry.types.append(_reading_type(self._fields))
        elif name == _ENTRY:
            self._close(self._entry, self._entries)
            self._entry = self._outside
        elif not self._stack:
            self._close(self._outside, 0)

    def _link(self, relation: str, target: str) -> None:
        """Keep a link of the open entry, equal texts once: most blocks belong to the same MeterReading."""
        if self._entry is self._outside or relation not in ("self", "up", "related"):
            return
        if target not in self._texts:
            self._linked += len(target)
        target = self._texts.setdefault(target, target)
        self._count()
        if relation == "self":
            self._entry.own = target
        elif relation == "up":
            self._entry.up = target
        else:
            self._entry.related.append(target)

    def _count(self) -> None:
        self._links += 1
        if self._links > MOST_LINKS or self._linked > MOST_LINKED:
            raise NotSuchFile(
                f"{self._name}: has more than {MOST_LINKS} links and entries, or {MOST_LINKED} characters in links"
            )

    def _close(self, entry: _Entry, number: int) -> None:
        if entry.meter or entry.blocks:
            self._count()
        self.all_types += entry.types
        if entry.types and entry.own:
            self.types[entry.own] = entry.types[0]
        if entry.meter and entry.own:
            self.meters.append(entry)
        if entry.blocks:
            self.blocks[number] = (entry.up, entry.own)


class _Channels:
    """The metering channel of each entry's blocks, and its ReadingType."""

    def __init__(self, links: _Links) -> None:
        only = links.all_types[0] if len(links.all_types) == 1 else _NO_TYPE
        owners: dict[str, str] = {}
        types: dict[str, _ReadingType] = {"": only}
        for meter in links.meters:
            for link in (meter.own, f"{meter.own}/IntervalBlock", *meter.related):
                owners.setdefault(link, meter.own)
            types[meter.own] = next((links.types[link] for link in meter.related if link in links.types), only)
        self._types = types
        self._owner = {number: owners.get(up) or owners.get(own) or "" for number, (up, own) in links.blocks.items()}
        usable = (self._owner[number] for number in sorted(self._owner))
        self._chosen = next((owner for owner in usable if types[owner].reason is None), None)

    def of(self, entry: int) -> tuple[_ReadingType, str | None]:
        """The type of an entry's readings, and the reason why they can't be used, None if they can."""
        owner = self._owner.get(entry, "")
        reading_type = self._types[owner]
        if reading_type.reason is None and owner != self._chosen:
            return reading_type, OTHER_METER
        return reading_type, reading_type.reason


class _Readings:
    """Second pass: the IntervalReadings. Implements `ingest.files.markup.Events`."""

    def __init__(self, channels: _Channels, original: BinaryIO) -> None:
        self._channels = channels
        self._original = original
        self._outcomes: list[Outcome] = []
        self._stack: list[str] = []
        self._entries = 0
        self._in_entry = False
        self._count = 0
        self._begin = 0
        self._fields: dict[str, str] = {}
        self._estimated = False

    def taken(self) -> list[Outcome]:
        """The outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        del attributes
        self._stack.append(name)
        if name == _ENTRY:
            self._entries += 1
            self._in_entry = True
        elif name == _READING:
            self._begin, self._fields, self._estimated = at, {}, False

    def end(self, name: str, text: str, at: int) -> None:
        self._stack.pop()
        if name == _ENTRY:
            self._in_entry = False
        elif name == _READING:
            self._count += 1
            entry = self._entries if self._in_entry else 0
            self._outcomes.append(self._outcome(*self._channels.of(entry), self._original_bytes(at)))
        elif _READING in self._stack[-2:] and (field_name := name.removeprefix(_ESPI)) in _OF_A_READING:
            self._fields[field_name] = text.strip()
            self._estimated |= field_name == "quality" and text.strip() in _ESTIMATED

    def _original_bytes(self, end: int) -> bytes:
        """The bytes of an element in the file, up to its end tag, at most `KEPT_BYTES`."""
        self._original.seek(self._begin)
        return self._original.read(min(end - self._begin, KEPT_BYTES))

    def _outcome(self, reading_type: _ReadingType, reason: str | None, original: bytes) -> Outcome:
        position = self._count
        if reason is not None:
            return Refused(position, reason, original)
        start, duration, value = (self._fields.get(name, "") for name in ("start", "duration", "value"))
        if not value:
            return Refused(position, MISSING, original)
        if not _SECONDS.fullmatch(start) or not _SECONDS.fullmatch(duration) or not _NUMBER.fullmatch(value):
            return Refused(position, UNREADABLE, original)
        begins, seconds = within(int(start) * 1_000), int(duration)
        if seconds > LONGEST_S:
            return Refused(position, INTERVAL, original)
        amount = int(value) * reading_type.factor(seconds)
        if begins is None or seconds == 0 or amount.denominator != 1:
            return Refused(position, UNREADABLE, original)
        quality = ESTIMATED if self._estimated else ACTUAL
        return Parsed(position, None, METRIC, begins, seconds * 1_000, amount.numerator, quality, original)
