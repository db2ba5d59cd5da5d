"""Fill levels from the LoRaWAN uplinks of ultrasonic bin sensors.

A file holds one uplink, a list of them, or one on each line. The sensor is in the container's lid, so the level follows
from the distance that it measures and the depth of the container, which the register or the operator
knows.
"""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ingest.files.documents import load, read_bounded
from ingest.files.lines import lines
from ingest.files.milesight import BadPayload, Tilt, measured
from ingest.files.reading import KEPT_BYTES, Empty, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import HISTORY, MISSING, MORE_BLOCKS, NO_DEPTH, NOT_AN_UPLINK, SENSOR_FAULT, UNREADABLE
from ingest.files.uplinks import BadUplink, read_uplink
from ingest.register import UNKNOWN_SOURCE
from schemas.batch import ACTUAL, ESTIMATED
from store.deliveries import Refused

METRIC = "waste.fill"
FULL = 10_000

FARTHEST_MM = 10_000
"""The range of the sensor that sees furthest, the EM500-UDL. A sensor reports 0 without an echo from within its
range."""

LARGEST_LIST = 64 << 20
LARGEST_UPLINK = 1 << 20
LONGEST_LINE = 64 << 10


@dataclass(frozen=True, slots=True)
class Uplink:
    """An uplink: `device` is the sensor's EUI in lower case, `time_ms` when it was received, milliseconds since 1970.

    `battery` is a percentage, `distance_mm` from the sensor to the surface below it. Absent values are None. `stored`
    is the number of distances of earlier times that it holds, too; `unknown`: a block of an unknown kind follows.
    """

    device: str
    time_ms: int
    battery: int | None
    distance_mm: int | None
    position: Tilt | None
    stored: int = 0
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class LoraWan:
    """Implements `FileFormat`: fill levels of containers.

    `depth_mm` is from the sensor to the container's floor, `depths` the same by device. A depth without a device is for
    the files of one device only: a file of several does not say which of them it is for. Before both goes what
    `registered` gives for a device and a time: 0 if the register has no depth of it, None if it has no such source.
    A source is a device's EUI in lower case. The level of a tilted sensor is estimated: it may measure past the
    container. Positions are the lines' numbers, and places in a list from 1.
    """

    depth_mm: int | None = None
    depths: Mapping[str, int] = field(default_factory=dict)
    registered: Callable[[str, int], int | None] = field(default=lambda device, time_ms: 0, repr=False)
    _without: list[str] = field(default_factory=list, init=False, repr=False)
    """The device that `depth_mm` was used for."""

    dataset: ClassVar[str] = "waste.fill-levels"
    noun: ClassVar[str] = "uplinks"

    def read(self, path: Path) -> Iterator[Outcome]:
        for position, document in _documents(path):
            yield from self._outcomes(path, position, document)

    def _outcomes(self, path: Path, position: int, document: "bytes | _Listed") -> Iterator[Outcome]:
        kept = document[:KEPT_BYTES] if isinstance(document, bytes) else document.original()
        try:
            uplink = decode_uplink(document) if isinstance(document, bytes) else _decoded(document.item)
        except BadUplink as error:
            yield Refused(position, error.reason, kept)
            return
        if uplink is None:
            yield Empty(NOT_AN_UPLINK)
            return
        for _ in range(uplink.stored):
            yield Empty(HISTORY)
        if uplink.unknown:
            yield Empty(MORE_BLOCKS)
        if uplink.distance_mm is None:
            if not uplink.stored:
                yield Refused(position, MISSING, kept)
            return
        known = self.registered(uplink.device, uplink.time_ms)
        depth = self._depth(path, uplink.device, known or 0)
        if not 0 < uplink.distance_mm <= FARTHEST_MM:
            yield Refused(position, SENSOR_FAULT, kept)
        elif depth is None:
            yield Refused(position, UNKNOWN_SOURCE if known is None else NO_DEPTH, kept)
        else:
            quality = ESTIMATED if uplink.position == "tilt" else ACTUAL
            value = fill_level(uplink.distance_mm, depth)
            yield Parsed(position, uplink.device, METRIC, uplink.time_ms, 0, value, quality, kept)

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


def fill_level(distance_mm: int, depth_mm: int) -> int:
    """Fill level in hundredths of a percent, from 0 to `FULL`; halves are rounded to even."""
    return min(max(round(Fraction(FULL * (depth_mm - distance_mm), depth_mm)), 0), FULL)


def decode_uplink(content: bytes) -> Uplink | None:
    """Read a sensor's uplink in any of the known envelopes; None for another event. Raises `BadUplink`."""
    try:
        document = load(content)
    except ValueError as error:
        raise BadUplink(f"not JSON: {error}", UNREADABLE) from None
    return _decoded(document)


def _decoded(document: object) -> Uplink | None:
    sent = read_uplink(document)
    if sent is None:
        return None
    try:
        found = measured(sent.payload)
    except BadPayload as error:
        raise BadUplink(str(error), error.reason) from None
    return Uplink(
        sent.device, sent.time_ms, found.battery, found.distance_mm, found.position, found.stored, found.unknown
    )


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
        file.seek(0)
        checked = False
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
