"""What must become of a log's messages, by fastavro and dicts: the rules R1, R4, R6 and R7 once more, slowly.

It shares no code with the project but the committed schemas.
"""

import io
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import fastavro

from eventlog.protocol import Acknowledged, TopicPartition
from ingest.simulated.faults import ExpectedReadings

FUTURE = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rules:
    """What the catalogue says of a metric, written down once more. `longest` is None for readings of a moment."""

    low: float
    high: float
    window: str
    lateness: timedelta
    longest: timedelta | None


RULES = {
    "energy.import": Rules(0, 3.6e15, "hour", timedelta(hours=1), timedelta(hours=1)),
    "energy.solar": Rules(-3.6e15, 3.6e15, "hour", timedelta(hours=1), timedelta(hours=1)),
    "waste.fill": Rules(0, 1e4, "hour", timedelta(hours=1), None),
    "waste.collected": Rules(0, 1e8, "day", timedelta(hours=6), None),
    "waste.tonnage": Rules(0, 1e12, "month", timedelta(days=14), timedelta(days=31, hours=1)),
}

_AVRO = Path(__file__).parents[2] / "schemas" / "avro"
_SCHEMAS = {
    number: fastavro.parse_schema(json.loads((_AVRO / f"{name}.v1.avsc").read_text(encoding="utf-8")))
    for number, name in {1: "energy.readings", 2: "waste.fill-levels", 3: "waste.collections"}.items()
}


@dataclass(frozen=True)
class Sent:
    partition: int
    appended: int
    key: bytes | None
    value: bytes
    readings: int


@dataclass
class RecordingWriter:
    """Keeps what is sent, in order; `clock` is the log's own."""

    count: int
    clock: int
    sent: list[Sent] = field(default_factory=list)
    flushes: int = 0

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        del topic
        self.sent.append(Sent(crc32(key) % self.count, self.clock, key, value, readings))

    def send_to(self, topic: str, partition: int, value: bytes) -> None:
        del topic
        self.sent.append(Sent(partition, self.clock, None, value, 0))

    def flush(self) -> None:
        self.flushes += 1

    def partitions(self, topic: str) -> int:
        del topic
        return self.count

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        return {}

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True)
class Outcome:
    """What the rules make of a log."""

    expected: ExpectedReadings
    aggregated: int
    open: int
    estimates_that_won: int


def read(value: bytes) -> dict[str, Any] | None:
    """The batch, or None if the message is dead."""
    schema = _SCHEMAS.get(int.from_bytes(value[1:5], "big"))
    if value[:1] != b"\x00" or schema is None:
        return None
    body = io.BytesIO(value[5:])
    try:
        batch: Any = fastavro.schemaless_reader(body, schema, None)
    except Exception:
        return None
    return batch if body.read() == b"" else None


def outcome(sent: list[Sent], zone: str) -> Outcome:
    """The account of one topic."""
    found: dict[str, int] = defaultdict(int)
    for partition in {message.partition for message in sent}:
        _partition([message for message in sent if message.partition == partition], ZoneInfo(zone), found)
    readings = found["readings"]
    assert readings == sum(message.readings for message in sent)
    assert readings == sum(found[name] for name in ("aggregated", "duplicate", "late", "rejected", "open"))
    expected = ExpectedReadings(
        len(sent), readings, found["duplicate"], found["late"], found["rejected"], found["dead"], refused=0
    )
    return Outcome(expected, found["aggregated"], found["open"], found["estimates"])


def _partition(sent: list[Sent], zone: ZoneInfo, found: dict[str, int]) -> None:
    latest = EPOCH
    windows: dict[tuple[str, datetime], dict[tuple[Any, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for message in sent:
        batch = read(message.value)
        if batch is None:
            found["dead"] += 1
            continue
        assert message.key == (str(batch["area"]).encode() if batch["rows"] else None)
        before = latest
        if not batch["rows"]:
            latest = max(latest, batch["start"])
        for row in batch["rows"]:
            found["readings"] += 1
            begins = batch["start"] + timedelta(milliseconds=row["after"])
            if _rejected(batch, row["value"], begins, EPOCH + timedelta(milliseconds=message.appended)):
                found["rejected"] += 1
                continue
            latest = max(latest, begins)
            metric = batch["metric"]
            ends = _window_end(RULES[metric].window, begins, zone)
            if ends <= before - RULES[metric].lateness:
                found["late"] += 1
                continue
            windows[metric, ends][row["source"], begins].append(row["quality"][0])
    for (metric, ends), readings in windows.items():
        if ends > latest - RULES[metric].lateness:
            found["open"] += sum(map(len, readings.values()))
            continue
        found["aggregated"] += len(readings)
        found["duplicate"] += sum(len(qualities) - 1 for qualities in readings.values())
        found["estimates"] += sum(max(qualities) == 0 for qualities in readings.values())


def _window_end(window: str, begins: datetime, zone: ZoneInfo) -> datetime:
    """When the window ends that a time lies in, in UTC. No clock of a tested zone is ever moved."""
    local = begins.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if window == "hour":
        end = local + timedelta(hours=1)
    elif window == "day":
        end = local.replace(hour=0) + timedelta(days=1)
    else:
        end = (local.replace(hour=0, day=1) + timedelta(days=32)).replace(day=1)
    return end.astimezone(UTC)


def _rejected(batch: dict[str, Any], value: float, begins: datetime, appended: datetime) -> bool:
    rules = RULES[batch["metric"]]
    interval = timedelta(milliseconds=batch["interval"])
    fits = not interval if rules.longest is None else timedelta(0) < interval <= rules.longest
    whole = math.isfinite(value) and value == int(value) and rules.low <= value <= rules.high
    return not (fits and whole and begins + interval <= appended + FUTURE)
