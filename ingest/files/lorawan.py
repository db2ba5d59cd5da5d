"""Readings from LoRaWAN uplinks, by the codecs of their devices.

A file holds one uplink, a list of them, or one on each line. Where a sensor is in a container's lid, the level follows
from the distance that it measures and the depth of the container, which the register or the operator knows.
"""

import codecs
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import ClassVar

from ingest.codecs.device import LENGTHS, Device, FieldReading, at, load_device
from ingest.codecs.sandbox import BATCH, LONGEST_PAYLOAD, CodecResult, Payload
from ingest.files.documents import load, read_bounded
from ingest.files.lines import lines
from ingest.files.reading import KEPT_BYTES, Empty, Note, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import (
    CODEC,
    CODEC_STOPPED,
    CODEC_WARNING,
    MISSING,
    NO_CODEC,
    NO_DEPTH,
    NOT_AN_UPLINK,
    NUMBER,
    OTHER_PORT,
    PAYLOAD,
    SENSOR_FAULT,
    UNREADABLE,
)
from ingest.files.uplinks import BadUplink, Sent, read_uplink
from ingest.register import UNKNOWN_SOURCE
from schemas.batch import ACTUAL, ESTIMATED
from store.deliveries import Refused

METRIC = "waste.fill"
FULL = 10_000

LARGEST_LIST = 64 << 20
LARGEST_UPLINK = 1 << 20
LONGEST_LINE = 64 << 10
_MOST_NOTES = 5
_LARGEST = Fraction(10) ** 30
"""No number of a codec is larger: it could not be one of its unit, and would only take time."""


def _udl() -> Sequence[Device]:
    return (load_device("milesight-udl"),)


@dataclass(frozen=True, slots=True)
class LoraWan:
    """Implements `FileFormat`: readings of `devices`, by the first of them that fits an uplink's EUI.

    `depth_mm` is from a sensor to the container's floor, `depths` the same by source. A depth without a device is for
    the files of one device only: a file of several does not say which of them it is for. Before both goes what
    `registered` gives for a source and a time: 0 if the register has no depth of it, None if it has no such source.
    With `each_line` every line stands by itself, whatever the first is. Positions are the lines' numbers, and places in
    a list from 1; of an uplink's second reading and those that follow,
    100 million higher for each.
    """

    depth_mm: int | None = None
    depths: Mapping[str, int] = field(default_factory=dict)
    registered: Callable[[str, int], int | None] = field(default=lambda device, time_ms: 0, repr=False)
    devices: Sequence[Device] = field(default_factory=_udl, repr=False)
    each_line: bool = False
    _without: list[str] = field(default_factory=list, init=False, repr=False)
    """The device that `depth_mm` was used for."""

    noun: ClassVar[str] = "uplinks"

    @property
    def dataset(self) -> str:
        """The dataset of the devices, which must have one."""
        return self.devices[0].dataset

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes of a file. Raises `NotSuchFile`, and `ingest.codecs.sandbox.CodecError` for a useless codec."""
        documents = _lines(path, checked=True) if self.each_line else _documents(path)
        told: set[str] = set()
        while batch := list(islice(documents, BATCH)):
            items = [_item(position, document) for position, document in batch]
            decoded = self._decoded(items)
            for place, item in enumerate(items):
                if isinstance(item, Refused | Empty):
                    yield item
                elif place not in decoded:
                    yield Refused(item.position, NO_CODEC, item.kept)
                else:
                    device, found = decoded[place]
                    for words in filter(None, (found.error, *found.warnings)):
                        if len(told) < _MOST_NOTES and words not in told:
                            told.add(words)
                            yield Note(f"{device.codec.name} says: {words}")
                    yield from self._outcomes(path, item, device, found)

    def _decoded(self, items: "Sequence[_Uplink | Refused | Empty]") -> Mapping[int, tuple[Device, CodecResult]]:
        """By the places of the uplinks that are of a device."""
        places: dict[int, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            if isinstance(item, _Uplink):
                number = next((n for n, device in enumerate(self.devices) if device.fits(item.sent.device)), None)
                if number is not None:
                    places[number].append(place)
        found: dict[int, tuple[Device, CodecResult]] = {}
        for number, theirs in places.items():
            device = self.devices[number]
            sent = [item.sent for item in map(items.__getitem__, theirs) if isinstance(item, _Uplink)]
            payloads = [Payload(each.payload, each.port, each.time_ms) for each in sent]
            for place, decoded in zip(theirs, device.codec.decode(payloads), strict=True):
                found[place] = device, decoded
        return found

    def _outcomes(self, path: Path, item: "_Uplink", device: Device, decoded: CodecResult) -> Iterator[Outcome]:
        if device.ports and item.sent.port not in device.ports:
            yield Empty(OTHER_PORT)
            return
        if decoded.error:
            yield Refused(item.position, CODEC_STOPPED if decoded.stopped else CODEC, item.kept)
            return
        for _ in decoded.warnings:
            yield Empty(CODEC_WARNING)
        readings = 0
        for number, reading in enumerate(device.readings):
            value = at(decoded.data, reading.path)
            if value is not None:
                readings += 1
                yield self._reading(path, item, number, reading, decoded.data, value)
        if not readings and not decoded.warnings:
            yield Refused(item.position, MISSING, item.kept)

    def _reading(
        self, path: Path, item: "_Uplink", number: int, reading: FieldReading, data: Mapping[str, object], value: object
    ) -> Outcome:
        position, sent = item.position + number * 100_000_000, item.sent
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
            return Refused(position, NUMBER, item.kept)
        amount = Fraction(str(value))
        if (reading.least is not None and amount < reading.least) or (
            reading.most is not None and amount > reading.most
        ):
            return Refused(position, SENSOR_FAULT, item.kept)
        source = reading.source.replace("{device}", sent.device)
        if reading.unit in LENGTHS:
            known = self.registered(source, sent.time_ms)
            depth = self._depth(path, source, known or 0)
            if depth is None:
                return Refused(position, UNKNOWN_SOURCE if known is None else NO_DEPTH, item.kept)
            whole = fill_level(amount * LENGTHS[reading.unit], depth)
        else:
            whole = reading.value(amount)
        estimated = reading.estimated_is and at(data, reading.estimated_path) == reading.estimated_is
        length = reading.interval_ms
        start = sent.time_ms // length * length - length if length else sent.time_ms
        quality = ESTIMATED if estimated else ACTUAL
        return Parsed(position, source, reading.metric.name, start, length, whole, quality, item.kept)

    def _depth(self, path: Path, device: str, registered: int) -> int | None:
        """The depth of a device's container.

        Raises `NotSuchFile` if the register and the option differ, or if the only one could be another device's.
        """
        if registered:
            if self.depths.get(device, registered) != registered:
                raise NotSuchFile(
                    f"{path.name}: the register has a depth of {registered} mm of the container of {device}, and "
                    f"--depth-mm {self.depths[device]}: correct one of them"
                )
            return registered
        if device in self.depths or self.depth_mm is None:
            return self.depths.get(device)
        if not self._without:
            self._without.append(device)
        if self._without != [device]:
            raise NotSuchFile(
                f"{path.name}: holds uplinks of more than one device ({self._without[0]}, {device}), "
                "whose containers may differ: say --depth-mm EUI=MM for each"
            )
        return self.depth_mm


def fill_level(distance_mm: Fraction | int, depth_mm: int) -> int:
    """Fill level in hundredths of a percent, from 0 to `FULL`; halves are rounded to even."""
    return min(max(round(Fraction(FULL * (depth_mm - distance_mm)) / depth_mm), 0), FULL)


@dataclass(frozen=True, slots=True)
class _Uplink:
    position: int
    sent: Sent
    kept: bytes


def _item(position: int, document: "bytes | _Listed") -> "_Uplink | Refused | Empty":
    kept = document[:KEPT_BYTES] if isinstance(document, bytes) else document.original()
    try:
        sent = read_uplink(_loaded(document) if isinstance(document, bytes) else document.item)
    except BadUplink as error:
        return Refused(position, error.reason, kept)
    if sent is None:
        return Empty(NOT_AN_UPLINK)
    if len(sent.payload) > LONGEST_PAYLOAD:
        return Refused(position, PAYLOAD, kept)
    return _Uplink(position, sent, kept)


def _loaded(content: bytes) -> object:
    try:
        return load(content)
    except ValueError as error:
        raise BadUplink(f"not JSON: {error}", UNREADABLE) from None


@dataclass(frozen=True, slots=True)
class _Listed:
    """A document of a list."""

    item: object

    def original(self) -> bytes:
        try:
            return json.dumps(self.item, separators=(",", ":")).encode()[:KEPT_BYTES]
        except RecursionError:
            return b""


def _documents(path: Path) -> Iterator[tuple[int, bytes | _Listed]]:
    """Position and content of each document. Raises `NotSuchFile` if it is neither JSON nor JSON on each line."""
    with path.open("rb") as file:
        start = file.read(LONGEST_LINE)
        file.seek(0)
        if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            for position, item in enumerate(_list(path, read_bounded(file, LARGEST_LIST)), 1):
                yield position, _Listed(item)
            return
        whole = read_bounded(file, LARGEST_UPLINK)
        if whole is not None and _is_object(whole):
            yield 1, whole
            return
    yield from _lines(path, checked=False)


def _lines(path: Path, *, checked: bool) -> Iterator[tuple[int, bytes]]:
    """Every line; unless `checked`, the first must be an object. Raises `NotSuchFile`."""
    with path.open("rb") as file:
        for line in lines(file, LONGEST_LINE):
            if not line.content.strip():
                continue
            if not checked and not (line.whole and _is_object(line.content)):
                raise NotSuchFile(f"{path.name}: is neither JSON nor a JSON object on each line")
            checked = True
            yield line.number, line.content
        if not checked:
            raise NotSuchFile(f"{path.name}: is empty")


def _list(path: Path, content: bytes | None) -> list[object]:
    if content is None:
        raise NotSuchFile(f"{path.name}: is a list of more than {LARGEST_LIST >> 20} MB; write one uplink on each line")
    try:
        found = load(content)
    except ValueError as error:
        raise NotSuchFile(f"{path.name}: is not JSON: {error}") from None
    return found if isinstance(found, list) else []


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(load(content), dict)
    except ValueError:
        return False
