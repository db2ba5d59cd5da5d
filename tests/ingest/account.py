"""What ingest sends, recorded, and the account that it must come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from eventlog.memory import MemoryRecord
from eventlog.protocol import Acknowledged, TopicPartition
from ingest.simulated.faults import ExpectedReadings
from schemas.catalogue import catalogue
from tests import oracle

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
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
class Account:
    """The account of one topic after processing."""

    expected: ExpectedReadings
    aggregated: int
    open: int
    estimates_that_won: int


def read(value: bytes) -> dict[str, Any] | None:
    """The batch, its start as a datetime, or None if the message is dead."""
    batch = oracle.read(value)
    return None if isinstance(batch, str) else {**batch, "start": EPOCH + timedelta(milliseconds=batch["start"])}


def outcome(sent: list[Sent], zone: str) -> Account:
    """What the messages of one topic must come to, by the rules."""
    for message in sent:
        batch = read(message.value)
        if batch is not None:
            assert message.key == (str(batch["area"]).encode() if batch["rows"] else None)
    total = oracle.Outcome()
    for partition in {message.partition for message in sent}:
        records = _records([message for message in sent if message.partition == partition])
        total += oracle.outcome(records, dict(catalogue()), zone)
    assert total.readings == sum(message.readings for message in sent)
    accounted = total.aggregated + total.duplicate + total.late + len(total.rejected) + total.open
    assert total.readings == accounted
    expected = ExpectedReadings(
        len(sent), total.readings, total.duplicate, total.late, len(total.rejected), len(total.dead), refused=0
    )
    return Account(expected, total.aggregated, total.open, total.estimates)


def _records(sent: list[Sent]) -> list[MemoryRecord]:
    return [MemoryRecord(offset, message.appended, message.key, message.value) for offset, message in enumerate(sent)]
