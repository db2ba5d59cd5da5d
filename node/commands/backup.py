"""`sistercity backup` and `sistercity restore`: the city's database and ledger in one file, and back."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.clock import now_ms
from node.settings import settings

if TYPE_CHECKING:
    from node.backup.archive import BackupReader, NotTaken


def backup(
    target: Annotated[Path, typer.Argument(help="file to write, or a folder, where it is named by city and time")],
) -> None:
    """Back up database and ledger into one file, while the city runs. Keys and Kafka's messages are not taken."""
    from importlib.metadata import version

    from federation.wire import rfc3339
    from node.backup.taking import take_backup
    from store.database import url_of

    city = wiring.city().id
    taken_at = rfc3339(now_ms())
    path = target / f"{city}-{taken_at[:19].replace(':', '').replace('-', '')}Z.zip" if target.is_dir() else target
    try:
        made = take_backup(
            *(url_of(wiring.known_database_url()), city, wiring.ledger_path(city), path),
            taken_at=taken_at,
            software=version("sistercity"),
            not_taken=list(_not_taken()),
        )
    except OSError as error:
        raise wiring.CommandError(f"no backup was made: {error}") from None
    rows = sum(table.rows for table in made.tables)
    size = path.stat().st_size
    typer.echo(f"{path}: {rows:,} rows of {len(made.tables)} tables, up to publication {made.position}, {size:,} bytes")
    if made.ledger is None and made.has_ledger:
        typer.echo(f"without the ledger, which is not at {wiring.ledger_path(city)}: copy it where it is")
    for each in made.not_taken:
        typer.echo(f"not taken: {each.what}, {each.path}{'' if each.here else ' (not on this machine)'}")


def restore(
    file: Annotated[Path, typer.Argument(help="a file of `sistercity backup`")],
    ledger_of_backup: Annotated[
        bool,
        typer.Option(help="the ledger is lost, and nothing was published after the backup: take the one in the backup"),
    ] = False,
    without_ledger: Annotated[
        bool, typer.Option(help="leave the ledger to me: nothing is published before it is there, or its loss accepted")
    ] = False,
) -> None:
    """Restore a backup into an empty database, and bring it to the newest tables. Checks all of it first."""
    from node.backup.archive import opened
    from node.backup.restoring import check_backup, restore_backup

    city = wiring.city().id
    path = wiring.ledger_path(city)
    with opened(file) as given:
        check_backup(given, city)
        _check_ledger(given, path, of_backup=ledger_of_backup, without=without_ledger)
        left_out = restore_backup(given, wiring.new_database_url(), path if ledger_of_backup else None)
        made = given.manifest
    for name in left_out:
        typer.echo(f"left out: table {name}, which is not of sistercity")
    rows = sum(table.rows for table in made.tables)
    typer.echo(f"restored: {rows:,} rows of {made.taken_at}, up to publication {made.position}")
    for each in made.not_taken:
        typer.echo(f"not in the backup: {each.what}, {each.path}")
    _say_ledger(city, path)
    _revoke_again()


def _check_ledger(backup: "BackupReader", path: Path, *, of_backup: bool, without: bool) -> None:
    """Raise `CommandError` unless it is clear what remembers what was published after the backup."""
    made = backup.manifest
    if of_backup and without:
        raise wiring.CommandError("--ledger-of-backup and --without-ledger contradict each other")
    if of_backup and made.ledger is None:
        raise wiring.CommandError("there is no ledger in this backup")
    if of_backup and path.exists():
        raise wiring.CommandError(
            f"there is a ledger at {path}, which knows what was published after the backup, or was put there by a"
            " restore that was interrupted: restore without --ledger-of-backup"
        )
    if path.exists() or of_backup or without or not made.has_ledger:
        return
    raise wiring.CommandError(
        f"there is no ledger at {path}, so nobody here knows what was published after {made.taken_at}. Bring back the"
        " ledger that was last written, and restore again. If nothing was published since, as when the publisher had"
        " been stopped before the backup: --ledger-of-backup. If the ledger is lost: --without-ledger, then `sistercity"
        " pull`, and `sistercity publish --resume-after-loss`"
    )


def _say_ledger(city: str, path: Path) -> None:
    """Say what the publisher will say of the ledger."""
    from federation.publications.recovery import ledger_fault

    with wiring.database("restore") as connection:
        fault = ledger_fault(connection, path, city)
    typer.echo(f"ledger: {fault or 'agrees; `sistercity publish` enters what the backup lacks as lost'}")


def _revoke_again() -> None:
    """Revoke what was revoked after the backup, as the file of revocations says; name what is in force now."""
    from store.agreements import in_force

    path = wiring.revocations_path()
    with wiring.database("restore") as connection:
        for done in wiring.revoked_again(connection):
            typer.echo(f"{path}: {done}")
        agreements = in_force(connection)
    for agreement in agreements:
        typer.echo(f"in force: agreement {agreement.id} with {agreement.city}")
    if agreements and not path.exists():
        typer.echo(
            f"there is no {path}, so nobody here knows what was revoked after the backup: bring the file back, or"
            " revoke again before `serve-partners` starts (`sistercity agreement revoke`)"
        )


def _not_taken() -> "Iterator[NotTaken]":
    """Keys, passwords and files of the operator's own: they are kept apart from backups."""
    from node.backup.archive import NotTaken
    from node.identity_files import document_path, identity_key_path, key_path

    chosen = settings()
    files = {
        "identity key": identity_key_path(),
        "identity document": document_path(),
        "publish key": key_path("publish"),
        "access key": key_path("access"),
        "city file": None if chosen.city is None or not Path(chosen.city).exists() else Path(chosen.city),
        "cameras": chosen.cameras,
        "certificate of serve-partners": chosen.exchange_cert_file,
        "key of serve-partners": chosen.exchange_key_file,
        "key for Kafka": chosen.kafka_key_file,
    }
    for what, path in files.items():
        if path is not None:
            yield NotTaken(what, str(path), path.exists())
