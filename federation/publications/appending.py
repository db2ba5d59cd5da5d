"""One publication appended to ledger and database, in an order in which a crash changes nothing of it (P6).

1. The catalogue that the entry names and the draft (entry and body) are committed to the database: what is decided
   stays so.
2. The entry is written to the ledger, and waited for until it is on disk.
3. The publication is committed to the database, and the draft goes.

After a crash before 2, nothing had left, and the draft is dropped. After one before 3, the ledger has the entry, and
the draft is finished, with the same bytes.
"""

import secrets
from collections.abc import Sequence
from typing import Protocol

from psycopg.pq import TransactionStatus

from federation.publications.catalogues import CatalogueKeeper
from federation.publications.chain import ChainEnd
from federation.publications.entries import (
    PublicationEntry,
    body_bytes,
    cells_of,
    digest,
    entry_bytes,
    entry_of,
)
from federation.publications.ledger import LedgerState
from schemas.catalogue import Metric
from store.database import Connection
from store.publications import Header, Kind, PublishedCell, Window, append
from store.recovery import Draft, drop_draft, keep_draft

_SALT_BYTES = 16


class EntryLog(Protocol):
    """Where entries go before the database: `federation.publications.ledger.Ledger`."""

    state: LedgerState

    def append(self, entry: PublicationEntry, line: bytes) -> None:
        """Write an entry durably."""


class Appender:
    """Appends publications of a city, in its time zone, to its ledger and its database."""

    def __init__(self, connection: Connection, ledger: EntryLog, city: str, zone: str) -> None:
        self.connection = connection
        self._ledger = ledger
        self._city = city
        self._catalogues = CatalogueKeeper(connection, zone)

    def append(
        self,
        metric: Metric,
        window: Window,
        kind: Kind,
        cells: Sequence[PublishedCell],
        *,
        revision: int,
        published_at: int,
        topic: str,
        now_ms: int,
        reason: str | None = None,
    ) -> Header:
        """Append the next publication of a metric, and return its header; `now_ms` is when it leaves.

        `reason` is that of a withdrawal. The connection must be in no transaction: what is written to the ledger must
        have been committed before.
        """
        assert self.connection.info.transaction_status == TransactionStatus.IDLE
        state = self._ledger.state
        end = state.ends.get(metric.name, ChainEnd(0, None))
        header = Header(
            *(state.position + 1, metric.name, end.sequence + 1, window, revision, published_at),
            *(kind, reason),
        )
        body = body_bytes(header, metric.smallest_unit, cells, secrets.token_hex(_SALT_BYTES))
        entry = PublicationEntry(self._city, header, end.hash, digest(body), self._catalogues.keep(metric))
        draft = Draft(header.position, topic, now_ms, entry_bytes(entry), body)
        keep_draft(self.connection, draft)
        self._ledger.append(entry, draft.entry)
        finish(self.connection, draft)
        return header


def finish(connection: Connection, draft: Draft) -> None:
    """Append a draft to the log whose entry is in the ledger."""
    entry = entry_of(draft.entry)
    cells = cells_of(draft.body)
    with connection.transaction():
        append(
            *(connection, entry.header, draft.topic, cells),
            left_at=draft.left_at,
            entry=draft.entry,
            body=draft.body,
            body_hash=entry.body,
        )
        drop_draft(connection, draft.position)
