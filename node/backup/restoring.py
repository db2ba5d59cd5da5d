"""Restoring a backup into an empty database, and putting its ledger where there is none."""

from collections.abc import Sequence
from pathlib import Path

from federation.whole_files import put_whole
from node.backup.archive import LEDGER, BackupFault, BackupReader
from store.inspection import known_versions
from store.migrations import migrate
from store.snapshot import check_empty, restore


def check_backup(backup: BackupReader, city: str) -> None:
    """Read all of a backup. Raises `BackupFault` if it is damaged, another city's, or of a later version."""
    manifest = backup.manifest
    if manifest.city != city:
        raise BackupFault(f"this is a backup of {manifest.city}, and SISTERCITY_CITY names {city}")
    if manifest.tables_version not in known_versions():
        raise BackupFault(
            f"the backup has tables of version {manifest.tables_version}, which this version does not know: install"
            f" sistercity {manifest.software}, or a newer one"
        )
    backup.check()


def restore_backup(backup: BackupReader, database_url: str, ledger: Path | None = None) -> Sequence[str]:
    """Fill the empty database, and bring it to the newest tables. Returns the tables that were left out, not ours.

    To be called after `check_backup`. With `ledger`, that of the backup is put there first: a database that was filled
    and has no ledger could not be restored again. An interruption leaves the database empty, or whole and to be
    migrated. Raises `RestoreRefused`, `BackupFault` and psycopg's errors.
    """
    check_empty(database_url)
    if ledger is not None:
        _put_ledger(backup, ledger)
    manifest = backup.manifest
    left_out = restore(
        *(database_url, manifest.tables_version, manifest.shapes(), manifest.counters),
        lambda table: backup.read(table.name),
    )
    migrate(database_url)
    return left_out


def _put_ledger(backup: BackupReader, path: Path) -> None:
    """Put the ledger of the backup at `path`. Raises `BackupFault`: one is there, or it failed."""
    if path.exists():
        raise BackupFault(f"there is a ledger at {path}: it may know more than the backup, and is never replaced")
    try:
        put_whole(path, backup.read(LEDGER))
    except OSError as error:
        raise BackupFault(f"the ledger can't be put at {path}, and nothing was restored: {error}") from None
