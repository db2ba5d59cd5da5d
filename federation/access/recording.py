"""Writes the audit: whatever has to be recorded meanwhile, in one statement.

A page that was found before is recorded by the statement that says whether it may still be read, which saves a wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex
from time import time_ns

from federation.access.audit import Given, audit_row, end_of
from federation.access.batching import Batches
from store.agreed import keep_plan
from store.audit import AuditHead, AuditMoved, AuditRow, append_audit, audit_heads
from store.database import AsyncConnection, DatabaseUrl, connect_async
from store.given_pages import ExpectedPage, record_pages

_PAGES_AT_ONCE = 128


class AuditWriter:
    """Records what is given. `connect` makes its connections to the database. Used from one event loop.

    Several may write to one chain: the one whose line comes second makes it anew.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection]]) -> None:
        async def connect_for_pages() -> AsyncConnection:
            connection = await connect()
            await keep_plan(connection)
            return connection

        self._ends: dict[str, AuditHead] = {}
        self._answers: Batches[tuple[str, Given], AuditHead] = Batches(connect, self._append)
        self._pages: Batches[tuple[ExpectedPage, Given], AuditHead | None] = Batches(
            connect_for_pages, self._append_pages, most=_PAGES_AT_ONCE
        )

    async def record(self, agreement: str, given: Given) -> AuditHead:
        """The end of the agreement's chain with a line for `given`, once that is committed.

        The line is written even if whoever waits goes away. Raises `psycopg.OperationalError` if the database does not
        answer.
        """
        return await self._answers.ask((agreement, given))

    async def record_page(self, expected: ExpectedPage, given: Given) -> AuditHead | None:
        """The same for a page that was found before, if it is still what may be read; else no line is written.

        None then, or where it would take long to find out. Raises the same.
        """
        return None if self._pages.is_slow() else await self._pages.ask((expected, given))

    async def close(self) -> None:
        """Write what was handed over, and end."""
        await self._answers.close()
        await self._pages.close()

    async def _append(self, connection: AsyncConnection, batch: Sequence[tuple[str, Given]]) -> list[AuditHead]:
        while True:
            rows, ends = await self._following(connection, batch)
            try:
                await append_audit(connection, rows)
            except AuditMoved:
                continue
            self._ends |= {row.agreement: end for row, end in zip(rows, ends, strict=True)}
            return ends

    async def _append_pages(
        self, connection: AsyncConnection, batch: Sequence[tuple[ExpectedPage, Given]]
    ) -> list[AuditHead | None]:
        rows, ends = await self._following(connection, [(page.access.agreement, given) for page, given in batch])
        pages = [(page, row) for (page, _), row in zip(batch, rows, strict=True)]
        try:
            added = await record_pages(connection, pages)
        except AuditMoved:
            added = set()
        self._ends |= {row.agreement: end for row, end in zip(rows, ends, strict=True) if row.agreement in added}
        return [end if row.agreement in added else None for row, end in zip(rows, ends, strict=True)]

    async def _following(
        self, connection: AsyncConnection, batch: Sequence[tuple[str, Given]]
    ) -> tuple[list[AuditRow], list[AuditHead]]:
        """The lines for these, and the ends of their chains with each. Until the lines are known to be written, where
        the chains end is not known either.
        """
        agreements = {agreement for agreement, _ in batch}
        known = {agreement: self._ends.pop(agreement) for agreement in agreements if agreement in self._ends}
        if unknown := agreements - known.keys():
            known |= await audit_heads(connection, unknown)
        rows, ends = [], []
        for agreement, given in batch:
            rows.append(audit_row(given, agreement, known.get(agreement)))
            known[agreement] = end_of(rows[-1])
            ends.append(known[agreement])
        return rows, ends


def record_file(database_url: DatabaseUrl, agreement: str, path: Path) -> AuditHead:
    """Record a file that is given under an agreement: `path` is `bundle` in its line, `page` the file's SHA-256.

    Raises `psycopg.OperationalError`: then the file must not be given.
    """
    with path.open("rb") as file:
        page = file_digest(file, "sha256").hexdigest()
    now, size = time_ns() // 1_000_000, path.stat().st_size
    given = Given(now, token_hex(8), "bundle", None, None, None, 200, page, size)

    async def write() -> AuditHead:
        writer = AuditWriter(
            lambda: connect_async(database_url, name="sistercity audit", wait_s=10, statement_limit_ms=30_000)
        )
        try:
            return await writer.record(agreement, given)
        finally:
            await writer.close()

    return asyncio.run(write())
