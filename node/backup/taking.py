"""Taking a backup of a city while it runs."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from node.backup.archive import LEDGER, BackupWriter, Manifest, NotTaken, Stored, written
from store.database import connect
from store.snapshot import copied, snapshot

_PIECE = 1 << 20


def take_backup(
    database_url: str,
    city: str,
    ledger: Path,
    target: Path,
    *,
    taken_at: str,
    software: str,
    not_taken: Sequence[NotTaken],
) -> Manifest:
    """Back up the database as it is at one moment, and then the ledger, into the file `target`; returns what is there.

    Nothing waits for it but a migration. Raises `BackupFault`, `NothingToCopy`, psycopg's errors and `OSError`.
    """
    with written(target) as writer, connect(database_url, name="sistercity backup") as connection:
        with snapshot(connection) as found:
            tables = tuple(writer.add(table.name, copied(connection, table), table.columns) for table in found.tables)
        # After the database: so the ledger in a backup is level with it, or ahead.
        kept = _add_ledger(writer, ledger)
        manifest = Manifest(
            *(city, taken_at, software, found.version, found.postgres, found.log, found.position),
            tables=tables,
            counters=found.counters,
            ledger=kept,
            has_ledger=found.has_ledger,
            not_taken=tuple(not_taken),
        )
        writer.end(manifest)
    return manifest


def _add_ledger(writer: BackupWriter, ledger: Path) -> Stored | None:
    return writer.add(LEDGER, _whole_lines(ledger)) if ledger.exists() else None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The file without a last line that is being written now."""
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size
        rest = b""
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            whole, end, rest = (rest + piece).rpartition(b"\n")
            yield whole + end
