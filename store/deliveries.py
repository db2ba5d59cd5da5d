"""The account of writers: what the log acknowledged, and readings that never became a message."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from store.database import Connection

_RECORD_DELIVERIES = """
INSERT INTO deliveries (run, topic, partition, messages, readings, first_offset, last_offset)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run, topic, partition) DO UPDATE SET messages = excluded.messages, readings = excluded.readings,
    first_offset = excluded.first_offset, last_offset = excluded.last_offset, updated_at = now()
"""
_TOTALS = "SELECT topic, sum(messages)::bigint, sum(readings)::bigint FROM deliveries GROUP BY topic"
_REFUSE = """
INSERT INTO source_dead_letters (origin, position, reason, original)
SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::bytea[])
ON CONFLICT (origin, position) DO NOTHING
"""
# Those that another process is removing are skipped, so that no process waits for another here.
_PRUNE = """
DELETE FROM source_dead_letters WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM source_dead_letters WHERE at < now() - make_interval(days => %s)
    ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED))
"""


class Delivery(Protocol):
    """What one partition has acknowledged in one run. `eventlog.protocol.Acknowledged` is one."""

    @property
    def messages(self) -> int: ...
    @property
    def readings(self) -> int: ...
    @property
    def first_offset(self) -> int: ...
    @property
    def last_offset(self) -> int: ...


Deliveries = Iterable[tuple[tuple[str, int], Delivery]]
"""((topic, number of the partition), delivery) of each partition."""


@dataclass(frozen=True, slots=True)
class DeliveryTotals:
    """What a topic has acknowledged over all runs, as far as their senders lived to record it."""

    messages: int
    readings: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that became no message: its place in its origin, the reason as a fixed word, and its own bytes."""

    position: int
    reason: str
    original: bytes


def record_deliveries(connection: Connection, run: UUID, deliveries: Deliveries) -> None:
    """Store the state of a run, a writer from opening to closing, in place of the one stored before.

    Repeating it counts nothing twice.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            _RECORD_DELIVERIES,
            [(run, *partition, d.messages, d.readings, d.first_offset, d.last_offset) for partition, d in deliveries],
        )


def totals(connection: Connection) -> Mapping[str, DeliveryTotals]:
    """What all runs together delivered, by topic."""
    rows = connection.execute(_TOTALS)
    return {topic: DeliveryTotals(messages, readings) for topic, messages, readings in rows}


def refuse(connection: Connection, origin: str, refused: Iterable[Refused]) -> None:
    """Store readings that became no message; what is stored already for an origin and position stays as it is."""
    some = [(r.position, r.reason, r.original) for r in refused]
    if some:
        connection.execute(_REFUSE, (origin, *map(list, zip(*some, strict=True))))


def refusals(connection: Connection, origin: str) -> Mapping[str, int]:
    """How many readings of this origin became no message, by reason."""
    rows = connection.execute(
        "SELECT reason, letters FROM source_dead_letter_counts WHERE origin = %s ORDER BY reason", (origin,)
    )
    return dict(rows.fetchall())


def prune_refused(connection: Connection, days: int, most: int) -> int:
    """Remove up to `most` readings that were refused more than `days` days ago, the oldest first; returns how many.

    Counts by reason stay.
    """
    return connection.execute(_PRUNE, (days, most)).rowcount
