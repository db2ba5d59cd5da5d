"""What ingest puts down about its own work: acknowledged messages, and readings that it refused."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from eventlog.protocol import Writer
from store import deliveries
from store.database import Connection
from store.deliveries import Delivery, Refused
from store.detectors import Detector, record_detector


class Journal(Protocol):
    """Where a run of ingest is accounted for."""

    def acknowledged(self, writer: Writer) -> None:
        """Put down all that the writer has had acknowledged so far."""

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        """Keep readings that become no message."""

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """Put down that a detector looked at pictures, the earliest of them taken then, milliseconds."""


class StoreJournal:
    """The journal in the database: `run` is one opening of a writer."""

    def __init__(self, connection: Connection, run: UUID) -> None:
        self._connection = connection
        self._run = run

    def acknowledged(self, writer: Writer) -> None:
        """See `Journal`; repeating it counts nothing twice."""
        rows = [
            Delivery(topic, partition, a.messages, a.readings, a.first_offset, a.last_offset)
            for (topic, partition), a in writer.acknowledged().items()
        ]
        deliveries.record_deliveries(self._connection, self._run, rows)

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        """See `Journal`; the same origin and position is kept once."""
        if refused:
            deliveries.refuse(self._connection, origin, refused)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """See `Journal`."""
        record_detector(self._connection, dataset, detector, since_ms)


class NoJournal:
    """For measurements and tests without a database: counts what was refused and forgets the rest."""

    def __init__(self) -> None:
        self.refused = 0

    def acknowledged(self, writer: Writer) -> None:
        """Nothing to do."""

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        """See `Journal`."""
        del origin
        self.refused += len(refused)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """Nothing to do."""
