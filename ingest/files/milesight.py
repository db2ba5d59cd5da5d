"""The payload of Milesight's ultrasonic bin sensors (EM310-UDL, EM400-UDL and -MUD, EM500-UDL).

It is a few blocks of channel, type and value. What is common to them is read; a block of an unknown kind ends the
reading, because its length is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ingest.files.reasons import CONTRADICTION, PAYLOAD, UNKNOWN_BLOCK

Tilt = Literal["normal", "tilt"]

_BATTERY = (0x01, 0x75)
_DISTANCES = ((0x03, 0x82), (0x04, 0x82), (0x84, 0x82), (0x83, 0xE9))
"""Of EM310 and EM500; of EM400; both with an alarm, which follows the distance."""
_TILTS = ((0x04, 0x00), (0x05, 0x00))
"""Of EM310, of EM400."""
_STORED = (0x20, 0xCE)
"""A distance of an earlier time, which EM500 sends again after it had no connection."""
_POSITIONS: tuple[Tilt, ...] = ("normal", "tilt")
_BYTES: Mapping[tuple[int, int], int] = {
    _BATTERY: 1,
    **dict(zip(_DISTANCES, (2, 2, 3, 5), strict=True)),
    **dict.fromkeys(_TILTS, 1),
    _STORED: 6,
    # EM400: temperature, the same with an alarm, the place of the NB-IoT models.
    **{(0x03, 0x67): 2, (0x83, 0x67): 3, (0x06, 0x88): 9},
    # Sent when a device joins the network: versions, class, serial number.
    **{
        (0xFF, kind): size
        for kind, size in {0x01: 1, 0x08: 6, 0x09: 2, 0x0A: 2, 0x0B: 1, 0x0F: 1, 0x16: 8, 0xFE: 1, 0xFF: 2}.items()
    },
}


class BadPayload(ValueError):
    """Bytes that are none of such a sensor; `reason` is a reason of `ingest.files.reasons`."""

    def __init__(self, text: str, reason: str = PAYLOAD) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Measured:
    """What a sensor measured; absent values are None.

    `battery` is a percentage, `distance_mm` from the sensor to the surface below it, `stored` the number of distances
    of earlier times, `unknown` whether a block of an unknown kind followed.
    """

    battery: int | None
    distance_mm: int | None
    position: Tilt | None
    stored: int
    unknown: bool


def measured(blocks: bytes) -> Measured:
    """Read blocks up to the first of an unknown kind. Raises `BadPayload`."""
    values: dict[tuple[int, int], bytes] = {}
    stored = 0
    at = 0
    unknown = False
    while at < len(blocks):
        kind = (blocks[at], blocks[at + 1]) if at + 1 < len(blocks) else None
        unknown = kind is not None and kind not in _BYTES
        if unknown:
            break
        end = at + 2 + (_BYTES[kind] if kind is not None else 0)
        if kind is None or end > len(blocks):
            raise BadPayload("the payload ends within a block")
        value = blocks[at + 2 : end]
        if kind == _STORED:
            stored += 1
        elif values.setdefault(kind, value) != value:
            raise BadPayload("the payload has two values of one kind", CONTRADICTION)
        at = end
    distances = {values[kind][:2] for kind in _DISTANCES if kind in values}
    tilts = {values[kind][0] for kind in _TILTS if kind in values}
    if len(distances) > 1 or len(tilts) > 1:
        raise BadPayload("the payload has two distances or positions", CONTRADICTION)
    if unknown and not distances:
        raise BadPayload("a block of an unknown kind comes before any distance", UNKNOWN_BLOCK)
    if tilts - {0, 1}:
        raise BadPayload(f"{tilts} is no position")
    return Measured(
        values[_BATTERY][0] if _BATTERY in values else None,
        int.from_bytes(distances.pop(), "little") if distances else None,
        _POSITIONS[tilts.pop()] if tilts else None,
        stored,
        unknown,
    )
