"""Uplinks of ultrasonic bin sensors (Milesight EM310-UDL) in the JSON of five LoRaWAN network servers.

The envelope holds device and time; the payload is a few bytes in base64 or hexadecimal digits: blocks of channel, type
and value. A file holds one uplink, or one on each line.
"""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal

from ingest.files.clocks import within
from ingest.files.documents import load
from ingest.files.reading import KEPT_BYTES, MISSING, UNREADABLE, NotSuchFile, Outcome, Parsed
from ingest.files.tables import lines
from schemas.batch import ACTUAL, ESTIMATED
from store.deliveries import Refused
from store.moments import milliseconds

METRIC = "waste.fill"
FULL = 10_000

SENSOR_FAULT = "sensor-fault"
FARTHEST_MM = 4_500
"""The sensor's range. It reports 0 without an echo from within it."""

LARGEST_UPLINK = 1 << 20
LONGEST_LINE = 64 << 10

Tilt = Literal["normal", "tilt"]


class BadUplink(ValueError):
    """Not an uplink of such a sensor in a known envelope; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """An uplink: `device` is the sensor's EUI in lower case, `time_ms` when it was received, milliseconds since 1970.

    `battery` is a percentage, `distance_mm` from the sensor to the surface below it. Absent values are None.
    """

    device: str
    time_ms: int
    battery: int | None
    distance_mm: int | None
    position: Tilt | None


@dataclass(frozen=True, slots=True)
class LoraWan:
    """Implements `FileFormat`: fill levels of containers whose floor is `depth_mm` below the sensor.

    A source is a device's EUI in lower case. The level of a tilted sensor is estimated: it may measure past the
    container. Positions are the lines' numbers, and 1 in a file of one uplink.
    """

    depth_mm: int

    dataset: ClassVar[str] = "waste.fill-levels"
    noun: ClassVar[str] = "uplinks"

    def read(self, path: Path) -> Iterator[Outcome]:
        for position, content in _uplinks(path):
            yield self._outcome(position, content)

    def _outcome(self, position: int, content: bytes) -> Outcome:
        kept = content[:KEPT_BYTES]
        try:
            uplink = decode_uplink(content)
        except BadUplink:
            return Refused(position, UNREADABLE, kept)
        if uplink.distance_mm is None:
            return Refused(position, MISSING, kept)
        if not 0 < uplink.distance_mm <= FARTHEST_MM:
            return Refused(position, SENSOR_FAULT, kept)
        quality = ESTIMATED if uplink.position == "tilt" else ACTUAL
        value = fill_level(uplink.distance_mm, self.depth_mm)
        return Parsed(position, uplink.device, METRIC, uplink.time_ms, 0, value, quality, kept)


def fill_level(distance_mm: int, depth_mm: int) -> int:
    """Fill level in hundredths of a percent, from 0 to `FULL`; halves are rounded to even."""
    return min(max(round(Fraction(FULL * (depth_mm - distance_mm), depth_mm)), 0), FULL)


def decode_uplink(content: bytes) -> Uplink:
    """Read an uplink in any of the known envelopes. Raises `BadUplink`."""
    try:
        document = load(content)
    except ValueError as error:
        raise BadUplink(f"not JSON: {error}") from None
    envelope = next((known for known in _ENVELOPES if _at(document, known.device) is not None), None)
    if envelope is None:
        raise BadUplink("none of the known envelopes")
    device = _at(document, envelope.device)
    payload = _at(document, envelope.payload)
    time_ms = _time(_at(document, envelope.time))
    if not isinstance(device, str) or not _EUI.fullmatch(device):
        raise BadUplink("the device has no EUI of 16 hexadecimal digits")
    if time_ms is None:
        raise BadUplink("the time is none")
    if not isinstance(payload, str):
        raise BadUplink("the payload is no text")
    try:
        blocks = envelope.decode(payload)
    except ValueError as error:
        raise BadUplink(f"the payload can't be decoded: {error}") from None
    return _uplink(device.lower(), time_ms, blocks)


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The paths of device, time and payload in an envelope, from the outside to the inside."""

    device: tuple[str, ...]
    time: tuple[str, ...]
    payload: tuple[str, ...]
    decode: Callable[[str], bytes]


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ENVELOPES = (
    # The Things Stack, community and commercial
    _Envelope(
        ("end_device_ids", "dev_eui"),
        ("uplink_message", "received_at"),
        ("uplink_message", "frm_payload"),
        _from_base64,
    ),
    _Envelope(("deviceInfo", "devEui"), ("time",), ("data",), _from_base64),  # ChirpStack
    _Envelope(("devEUI",), ("time",), ("data",), _from_base64),  # Milesight's own gateways
    _Envelope(("EUI",), ("ts",), ("data",), bytes.fromhex),  # LORIOT, from the device (rx) or with its gateways (gw)
)
_EUI = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
# One of these servers omits the second hyphen: 2020-0327T12:39:05.547336Z.
_TIME = re.compile(r"(\d{4})-(\d\d)-?(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)

_BATTERY = (0x01, 0x75)
_DISTANCE = (0x03, 0x82)
_POSITION = (0x04, 0x00)
_POSITIONS: tuple[Tilt, ...] = ("normal", "tilt")
_BYTES = {_BATTERY: 1, _DISTANCE: 2, _POSITION: 1} | {
    # Sent when a device joins the network: versions, class, serial number.
    (0xFF, kind): size
    for kind, size in {0x01: 1, 0x08: 6, 0x09: 2, 0x0A: 2, 0x0B: 1, 0x0F: 1, 0x16: 8, 0xFE: 1, 0xFF: 2}.items()
}


def _at(document: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _time(written: object) -> int | None:
    """Milliseconds since 1970; finer fractions are cut off."""
    if isinstance(written, int) and not isinstance(written, bool):
        return within(written)
    match = _TIME.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
    fraction = int((match[7] or "").ljust(3, "0")[:3])
    ahead = (int(match[9] or 0) * 60 + int(match[10] or 0)) * (-60_000 if match[8] == "-" else 60_000)
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return within(milliseconds(when) + fraction - ahead)


def _uplink(device: str, time_ms: int, blocks: bytes) -> Uplink:
    """Read blocks up to the first of an unknown kind, whose length is unknown."""
    values: dict[tuple[int, int], int] = {}
    at = 0
    while at < len(blocks):
        kind = (blocks[at], blocks[at + 1]) if at + 1 < len(blocks) else None
        if kind is not None and kind not in _BYTES:
            break
        end = at + 2 + _BYTES[kind] if kind is not None else at + 2
        if kind is None or end > len(blocks):
            raise BadUplink("the payload ends within a block")
        values[kind] = int.from_bytes(blocks[at + 2 : end], "little")
        at = end
    position = values.get(_POSITION)
    if position is not None and position >= len(_POSITIONS):
        raise BadUplink(f"{position} is no position")
    return Uplink(
        device,
        time_ms,
        values.get(_BATTERY),
        values.get(_DISTANCE),
        None if position is None else _POSITIONS[position],
    )


def _uplinks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Position and content of each uplink. Raises `NotSuchFile` if it is neither one JSON object nor one a line."""
    with path.open("rb") as file:
        whole = file.read(LARGEST_UPLINK + 1)
        if len(whole) <= LARGEST_UPLINK and _is_object(whole):
            yield 1, whole
            return
        file.seek(0)
        checked = False
        for line in lines(file, LONGEST_LINE):
            if not line.content.strip():
                continue
            if not checked and not (line.whole and _is_object(line.content)):
                raise NotSuchFile(f"{path.name}: is neither one JSON object nor one on each line")
            checked = True
            yield line.number, line.content
        if not checked:
            raise NotSuchFile(f"{path.name}: is empty")


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(load(content), dict)
    except ValueError:
        return False
