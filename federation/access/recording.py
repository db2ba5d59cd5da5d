"""Writes the audit: one thread, which takes whatever has come meanwhile and writes it in one statement."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

import psycopg

from federation.access.audit import Given, audit_row, end_of
from store.audit import AuditHead, AuditMoved, append_audit, audit_heads
from store.database import Connection

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 256


class AuditStopped(Exception):
    """The node is stopping: nothing is recorded, and nothing may be given any more."""


@dataclass(frozen=True, slots=True)
class _Entry:
    agreement: str
    given: Given
    written: Future[AuditHead]


class AuditWriter:
    """Records what is given, from `start` to `stop`. `connect` makes its connection to the database.

    Several processes may write to one chain: the one whose line comes second makes it anew.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._heads: dict[str, AuditHead] = {}
        self._entries: SimpleQueue[_Entry | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what was handed over, and end."""
        if self._thread is not None:
            self._entries.put(None)
            self._thread.join()
            self._thread = None

    def record(self, agreement: str, given: Given) -> Future[AuditHead]:
        """Hand over a line. The result is the chain's end with it, once it is committed.

        It raises `psycopg.OperationalError` if the database does not answer, and `AuditStopped`.
        """
        entry = _Entry(agreement, given, Future())
        entry.written.set_running_or_notify_cancel()  # whoever waits may go away; the line is written all the same
        if self._thread is None:
            entry.written.set_exception(AuditStopped())
        else:
            self._entries.put(entry)
        return entry.written

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._entries.get()]
            while len(batch) < _MOST_AT_ONCE and not self._entries.empty():
                batch.append(self._entries.get())
            stopping = None in batch
            self._write([entry for entry in batch if entry is not None])
        self._drop_connection()

    def _write(self, batch: list[_Entry]) -> None:
        try:
            ends = self._append(batch) if batch else []
        except Exception as error:  # whoever waits gets it; the next batch begins anew
            if not isinstance(error, psycopg.OperationalError):
                log.exception("the audit was not written")
            self._drop_connection()
            for entry in batch:
                entry.written.set_exception(error)
        else:
            for entry, end in zip(batch, ends, strict=True):
                entry.written.set_result(end)

    def _append(self, batch: list[_Entry]) -> list[AuditHead]:
        if self._connection is None:
            self._connection = self._connect()
        agreements = {entry.agreement for entry in batch}
        while True:
            unknown = agreements - self._heads.keys()
            if unknown:
                self._heads |= audit_heads(self._connection, unknown)
            heads: dict[str, AuditHead | None] = {name: self._heads.get(name) for name in agreements}
            rows, ends = [], []
            for entry in batch:
                row = audit_row(entry.given, entry.agreement, heads[entry.agreement])
                heads[entry.agreement] = end = end_of(row)
                rows.append(row)
                ends.append(end)
            try:
                append_audit(self._connection, rows)
            except AuditMoved:
                for name in agreements:
                    self._heads.pop(name, None)
                continue
            self._heads |= {name: head for name, head in heads.items() if head is not None}
            return ends

    def _drop_connection(self) -> None:
        """Whether a statement took effect is unknown then, so where the chains end is asked anew."""
        self._heads.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
