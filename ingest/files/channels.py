"""The metering channels of a Green Button feed: which blocks belong to which MeterReading, and its ReadingType.

An entry's IntervalBlock belongs to a MeterReading (its link `up`), and the MeterReading names its ReadingType (a link
`related`). A feed with one ReadingType, or a document without a feed, needs no links.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.files.reading import NotSuchFile
from ingest.files.reading_types import OF_A_TYPE, UNKNOWN_TYPE, ReadingType, reading_type
from ingest.files.reasons import DEMAND, OTHER_METER

MOST_LINKS = 200_000
MOST_LINKED = 16 << 20
"""Limits on the links, types and entries that are kept, and on the characters of the links."""

ESPI = "http://naesb.org/espi "
ATOM = "http://www.w3.org/2005/Atom "
ENTRY, LINK = f"{ATOM}entry", f"{ATOM}link"
METER, TYPE = f"{ESPI}MeterReading", f"{ESPI}ReadingType"
BLOCK = f"{ESPI}IntervalBlock"

_USAGE_POINT = re.compile(r"(.*/UsagePoint/[^/]+)(?:/.*)?")


@dataclass(slots=True)
class _Entry:
    """An entry of the feed: its links, and which ESPI elements it contains."""

    own: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)
    meter: bool = False
    types: list[ReadingType] = field(default_factory=list)
    blocks: bool = False


class Links:
    """The feed's MeterReadings and ReadingTypes, and the links of each entry with IntervalBlocks.

    Implements `ingest.files.markup.Events`. Raises `NotSuchFile` for what is no such feed, or contradicts itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.meters: list[_Entry] = []
        self.types: dict[str, ReadingType] = {}
        self.all_types: list[ReadingType] = []
        self.blocks: dict[int, tuple[str, str]] = {}
        """Number of an entry (0 outside of any) -> its links `up` and `self`."""
        self._outside = _Entry()
        self._entry = self._outside
        self._entries = 0
        self._stack: list[str] = []
        self._fields: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._links = self._linked = 0

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        del at
        if not self._stack and not name.startswith((ATOM, ESPI)):
            raise NotSuchFile(f"{self.name}: is neither an Atom feed nor an ESPI document")
        self._stack.append(name)
        if name == ENTRY:
            self._entries += 1
            self._entry = _Entry()
        elif name == LINK:
            self._link(attributes.get("rel", ""), attributes.get("href", ""))
        elif name == TYPE:
            self._fields = {}
        elif name == METER:
            self._entry.meter = True
        elif name == BLOCK:
            self._entry.blocks = True

    def end(self, name: str, text: str, at: int) -> None:
        del at
        self._stack.pop()
        field_name = name.removeprefix(ESPI)
        if self._stack and self._stack[-1] == TYPE and field_name in OF_A_TYPE:
            if self._fields.setdefault(field_name, text.strip()) != text.strip():
                raise NotSuchFile(f"{self.name}: a ReadingType has two values of {field_name}")
        elif name == TYPE:
            self._count()
            self._entry.types.append(reading_type(self._fields))
        elif name == ENTRY:
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
                f"{self.name}: has more than {MOST_LINKS} links and entries, or {MOST_LINKED} characters in links"
            )

    def _close(self, entry: _Entry, number: int) -> None:
        if entry.meter or entry.blocks:
            self._count()
        self.all_types += entry.types
        for found in entry.types if entry.own else ():
            if self.types.setdefault(entry.own, found) != found:
                raise NotSuchFile(f"{self.name}: two ReadingTypes at the address {entry.own} contradict each other")
        if entry.meter and entry.own:
            self.meters.append(entry)
        if entry.blocks:
            self.blocks[number] = (entry.up, entry.own)


class MeteringChannels:
    """The metering channel of each entry's blocks, and its ReadingType. Channels have the addresses of MeterReadings.

    `chosen` is the one that the operator names by its address or the address's last part. Raises `NotSuchFile` if there
    is none, or more than one, of that name, or if a MeterReading has two types that contradict each other.
    """

    def __init__(self, links: Links, chosen: str | None = None) -> None:
        self._name = links.name
        only = links.all_types[0] if len(links.all_types) == 1 else UNKNOWN_TYPE
        owners: dict[str, str] = {}
        self._types: dict[str, ReadingType] = {"": only}
        for meter in links.meters:
            for link in (meter.own, f"{meter.own}/IntervalBlock", *meter.related):
                owners.setdefault(link, meter.own)
            found = {links.types[link] for link in meter.related if link in links.types} or {only}
            if len(found | ({self._types[meter.own]} if meter.own in self._types else set())) > 1:
                raise NotSuchFile(
                    f"{self._name}: the MeterReading {meter.own} has ReadingTypes that contradict each other"
                )
            self._types[meter.own] = found.pop()
        self._owner = {number: owners.get(up) or owners.get(own) or "" for number, (up, own) in links.blocks.items()}
        usable = [owner for owner in dict.fromkeys(self._owner.values()) if self._types[owner].reason is None]
        energy = [owner for owner in usable if not self._types[owner].power]
        self._demand = frozenset(usable) - frozenset(energy) if energy and chosen is None else frozenset()
        self.imported: Sequence[str] = self._named(chosen, usable) if chosen is not None else energy or usable
        """The addresses of the channels that are read. Several must be parts of one: see `refuse_several`."""

    def of(self, entry: int) -> tuple[str, ReadingType, str | None]:
        """An entry's channel, its type, and the reason why its readings can't be used, None if they can."""
        owner = self._owner.get(entry, "")
        found = self._types[owner]
        if found.reason is not None or owner in self.imported:
            return owner, found, found.reason
        return owner, found, DEMAND if owner in self._demand else OTHER_METER

    @property
    def of_one_place(self) -> bool:
        """Whether no two of the imported channels are known to belong to different usage points."""
        places = {match[1] for owner in self.imported if (match := _USAGE_POINT.fullmatch(owner))}
        return len(places) < 2

    def refuse_several(self) -> NotSuchFile:
        """The error for channels that measure at the same time, or at different places."""
        listed = ", ".join(owner or "one without links" for owner in self.imported[:10])
        return NotSuchFile(
            f"{self._name}: has {len(self.imported)} meters or channels ({listed}): choose one with --meter"
        )

    def _named(self, chosen: str, usable: Sequence[str]) -> Sequence[str]:
        found = [owner for owner in usable if owner == chosen or owner.endswith(f"/{chosen}")]
        if len(found) != 1:
            listed = ", ".join(owner for owner in usable[:10] if owner) or "none with an address"
            raise NotSuchFile(f"{self._name}: {len(found)} usable channels are named {chosen!r}; there are: {listed}")
        return found
