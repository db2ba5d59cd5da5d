"""Ingest's record of its own work: acknowledged messages, refused readings, detectors in use."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from prometheus_client import Counter

from eventlog.protocol import Writer
from store import arrivals, deliveries
from store.arrivals import FinishedArrival
from store.database import Connection
from store.deliveries import Refused
from store.detectors import Detector, record_detector

REFUSED = Counter("sistercity_ingest_refused", "Readings that became no message, by reason", ["reason"])

ARRIVAL_DAYS = 400
"""How long it is remembered what a live source delivered: the same content is not sent again so long."""
_PRUNED_AT_ONCE = 10_000


class Journal(Protocol):
    """The record of one run of ingest."""

    def acknowledged(self, writer: Writer) -> None:
        """Record all that the writer has had acknowledged so far. Repeating it counts nothing twice."""

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        """Keep readings that become no message; the same origin and position is kept once."""

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """Record that a detector examined pictures, the earliest taken at `since_ms`, milliseconds since 1970."""


class StoreJournal:
    """Implements `Journal` in the database; `run` identifies one opening of a writer."""

    def __init__(self, connection: Connection, run: UUID) -> None:
        self._connection = connection
        self._run = run

    def acknowledged(self, writer: Writer) -> None:
        deliveries.record_deliveries(self._connection, self._run, writer.acknowledged().items())

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        if refused:
            deliveries.refuse(self._connection, origin, refused)
        for reading in refused:
            REFUSED.labels(reading.reason).inc()

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        record_detector(self._connection, dataset, detector, since_ms)


class NoJournal:
    """Implements `Journal` for measurements and tests without a database: counts what was refused."""

    def __init__(self) -> None:
        self.refused = 0

    def acknowledged(self, writer: Writer) -> None:
        """No record is kept."""

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        del origin
        self.refused += len(refused)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """No record is kept."""


class Arrivals(Protocol):
    """The record of what live sources delivered, by the checksum of its content."""

    def is_done(self, source: str, checksum: bytes) -> bool:
        """Whether the log has what this source delivered with this checksum."""

    def record(self, source: str, done: Sequence[FinishedArrival]) -> None:
        """Record what the log has. Repeating it changes nothing."""

    def prune(self, source: str, present: Collection[str]) -> None:
        """Forget what is old, except for the names in `present`, which are still there."""


class StoreArrivals:
    """Implements `Arrivals` in the database; what is older than `days` is forgotten."""

    def __init__(self, connection: Connection, days: int = ARRIVAL_DAYS) -> None:
        self._connection = connection
        self._days = days

    def is_done(self, source: str, checksum: bytes) -> bool:
        return arrivals.is_done(self._connection, source, checksum)

    def record(self, source: str, done: Sequence[FinishedArrival]) -> None:
        arrivals.record_arrivals(self._connection, source, done)

    def prune(self, source: str, present: Collection[str]) -> None:
        arrivals.prune_arrivals(self._connection, source, present, self._days, _PRUNED_AT_ONCE)


class NoArrivals:
    """Implements `Arrivals` for sources without end: what is repeated is sent again, and counts once (R6)."""

    def is_done(self, source: str, checksum: bytes) -> bool:
        del source, checksum
        return False

    def record(self, source: str, done: Sequence[FinishedArrival]) -> None:
        """No record is kept."""

    def prune(self, source: str, present: Collection[str]) -> None:
        """There is nothing to forget."""
