"""Fill levels of Wyndham's solar compactor bins: a GeoJSON snapshot of all bins, a feature for each.

A level is 0 to 10, in tenths of the bin; parts of a tenth are read, and rounded to hundredths of a percent. The time is
local, without a zone. ALERT at level 0 means a failed sensor: an empty bin raises no alert.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, TypeGuard
from zoneinfo import ZoneInfo

from ingest.files.clocks import instant
from ingest.files.documents import load, read_bounded
from ingest.files.reading import KEPT_BYTES, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import MISSING, NUMBER, SENSOR_FAULT, TIME, UNREADABLE
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "waste.fill"
SMALLEST_PER_TENTH = 1_000

LARGEST_FILE = 64 << 20

_LARGEST_SERIAL = 10**18
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SmartBins:
    """Implements `FileFormat`: times in this zone; a bin's source is its serial number in decimal digits.

    Positions are the features' places in the file, from 1.
    """

    zone: ZoneInfo

    dataset: ClassVar[str] = "waste.fill-levels"
    noun: ClassVar[str] = "bins"

    def read(self, path: Path) -> Iterator[Outcome]:
        for position, feature in enumerate(_features(path), 1):
            yield self._outcome(position, feature)

    def _outcome(self, position: int, feature: object) -> Outcome:
        properties = feature.get("properties") if isinstance(feature, dict) else None
        found = self._reading(properties) if isinstance(properties, dict) else UNREADABLE
        if isinstance(found, str):
            return Refused(position, found, _original(feature))
        serial, start, level = found
        if level == 0 and isinstance(properties, dict) and properties["status"] == "ALERT":
            return Refused(position, SENSOR_FAULT, _original(feature))
        value = round(level * SMALLEST_PER_TENTH)
        return Parsed(position, str(serial), METRIC, start, 0, value, ACTUAL, _original(feature))

    def _reading(self, properties: Mapping[str, object]) -> tuple[int, int, Fraction] | str:
        """Serial number, time and level; or the reason, if one of them, or the status, is invalid."""
        serial, level = (properties.get(name) for name in ("serial_num", "fill_lvl"))
        written, status = (properties.get(name) for name in ("timestamp", "status"))
        if not _whole(serial, _LARGEST_SERIAL) or not isinstance(status, str):
            return UNREADABLE
        if level is None:
            return MISSING
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= 10:
            return NUMBER
        if not isinstance(written, str) or not _TIME.fullmatch(written):
            return TIME
        try:
            start = instant(datetime.fromisoformat(written), self.zone)
        except ValueError:
            return TIME
        return TIME if start is None else (serial, start, Fraction(repr(level)))


def _features(path: Path) -> list[object]:
    with path.open("rb") as file:
        content = read_bounded(file, LARGEST_FILE)
    if content is None:
        raise NotSuchFile(f"{path.name}: is larger than {LARGEST_FILE >> 20} MB")
    try:
        document = load(content)
    except ValueError as error:
        raise NotSuchFile(f"{path.name}: is not JSON: {error}") from None
    collection = document if isinstance(document, dict) else {}
    features = collection.get("features")
    if collection.get("type") != "FeatureCollection" or not isinstance(features, list):
        raise NotSuchFile(f"{path.name}: is no GeoJSON FeatureCollection")
    return features


def _whole(value: object, largest: int) -> TypeGuard[int]:
    """Whether it is a whole number from 0 to `largest`; bool is an int in Python and is excluded."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _original(feature: object) -> bytes:
    try:
        return json.dumps(feature, separators=(",", ":")).encode()[:KEPT_BYTES]
    except RecursionError:
        return b""
