"""Writes the audit: whatever has to be recorded meanwhile, in one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex
from time import time_ns

from federation.access.audit import Given, audit_row, end_of
from federation.access.batching import Batches
from store.audit import AuditHead, AuditMoved, append_audit, audit_heads
from store.database import AsyncConnection, DatabaseUrl, connect_async


class AuditWriter:
    """Records what is given. `connect` makes its connection to the database. Used from one event loop.

    Several processes may write to one chain: the one whose line comes second makes it anew.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection]]) -> None:
        self._heads: dict[str, AuditHead] = {}
        self._batches: Batches[tuple[str, Given], AuditHead] = Batches(connect, self._append)

    async def record(self, agreement: str, given: Given) -> AuditHead:
        """The end of the agreement's chain with a line for `given`, once that is committed.

        The line is written even if whoever waits goes away. Raises `psycopg.OperationalError` if the database does not
        answer.
        """
        return await self._batches.ask((agreement, given))

    async def close(self) -> None:
        """Write what was handed over, and end."""
        await self._batches.close()

    async def _append(self, connection: AsyncConnection, batch: Sequence[tuple[str, Given]]) -> list[AuditHead]:
        agreements = {agreement for agreement, _ in batch}
        # Until the lines are known to be written, where the chains end is not known either.
        known = {agreement: self._heads.pop(agreement) for agreement in agreements if agreement in self._heads}
        while True:
            if unknown := agreements - known.keys():
                known |= await audit_heads(connection, unknown)
            heads, rows, ends = dict(known), [], []
            for agreement, given in batch:
                rows.append(audit_row(given, agreement, heads.get(agreement)))
                heads[agreement] = end_of(rows[-1])
                ends.append(heads[agreement])
            try:
                await append_audit(connection, rows)
            except AuditMoved:
                known = {}
                continue
            self._heads |= heads
            return ends


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
