"""All tables of a database as text, from one snapshot, and back into empty tables of the same version.

The text is PostgreSQL's own (`COPY ... TO`), one line a row, in UTF-8: any PostgreSQL reads it, and no program beside
this one is needed. Nothing is held in memory but a row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from errors import OperatorError
from store.database import Connection, connect
from store.inspection import version
from store.migrations import MIGRATION_LOCK, migrate, names_of_ours

_RESTORE_LOCK = 0x5157E2C18
"""Key of the advisory lock that lets one process restore at a time."""
_PUBLIC = "relnamespace = 'public'::regnamespace"


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table's name, and the names of its columns in their order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """Where a column's generated numbers are: its table and name, the last number, and whether that was given."""

    table: str
    column: str
    last: int
    given: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is in the database at one moment. `postgres` is the server's version; `version` that of the tables."""

    version: str
    postgres: str
    log: str
    position: int
    has_ledger: bool
    tables: tuple[TableShape, ...]
    counters: tuple[Counter, ...]


RowsOf = Callable[[TableShape], Iterable[bytes]]
"""Gives the rows of a table as text, in pieces."""


class NothingToCopy(OperatorError):
    """The database has no tables of ours."""


class RestoreRefused(OperatorError):
    """The database is not one into which a backup may be put; nothing was changed."""


@contextmanager
def snapshot(connection: Connection) -> Iterator[Snapshot]:
    """Within, everything that `copied` reads is of one moment, and nobody migrates. Raises `NothingToCopy`."""
    connection.execute("SELECT pg_advisory_lock_shared(%s)", (MIGRATION_LOCK,))
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _described(connection)
    finally:
        connection.execute("SELECT pg_advisory_unlock_shared(%s)", (MIGRATION_LOCK,))


def copied(connection: Connection, table: TableShape) -> Iterator[bytes]:
    """The rows of a table as text, in pieces that end with a row or anywhere."""
    query = sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(table.name), _listed(table.columns))
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        yield from map(bytes, rows)


def check_empty(database_url: str) -> None:
    """Raise `RestoreRefused` if the database holds anything."""
    with connect(database_url, name="sistercity restore") as connection:
        if version(connection) is None:
            if tables := _tables(connection):
                raise RestoreRefused(f"the database has tables, {tables[0].name} among them, that are not of ours")
            return
        _refuse_filled(connection)


def restore(
    database_url: str,
    tables_version: str,
    tables: Mapping[TableShape, int],
    counters: Iterable[Counter],
    rows_of: RowsOf,
) -> Sequence[str]:
    """Make the tables of `tables_version`, and fill them with `rows_of` each, all in one transaction or not at all.

    `tables` says how many rows each has. Returns the names of tables that are not ours, and were left out. Raises
    `RestoreRefused` if the database is not empty, and psycopg's errors; then it is empty, and may be restored again.
    """
    with connect(database_url, name="sistercity restore") as connection:
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (_RESTORE_LOCK,)).fetchone()
        if taken is None or not taken[0]:
            raise RestoreRefused("another process restores this database now")
        check_empty(database_url)
        if version(connection) not in (None, tables_version):
            _drop_empty_tables(connection)
        migrate(database_url, tables_version)
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            left_out = _fill(connection, tables_version, tables, rows_of)
            for counter in (each for each in counters if each.table not in left_out):
                connection.execute(
                    "SELECT setval(pg_get_serial_sequence(quote_ident(%s), %s), %s, %s)",
                    (counter.table, counter.column, counter.last, counter.given),
                )
        connection.execute("ANALYZE")
    return left_out


def _fill(
    connection: Connection, tables_version: str, tables: Mapping[TableShape, int], rows_of: RowsOf
) -> Sequence[str]:
    """Fill the tables in an order in which what a row refers to is there before it."""
    ours = {table.name for table in _tables(connection)}
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(_listed(sorted(ours))))
    if version(connection) != tables_version:
        raise RestoreRefused("another process has migrated the tables meanwhile: stop all roles, and restore again")
    _refuse_filled(connection)
    connection.execute("DELETE FROM publication_log")
    shapes = {table.name: table for table in tables if table.name != "alembic_version"}
    for name in _in_order(connection, ours & shapes.keys()):
        # A trigger that stamps or counts has done so for these rows before.
        table = sql.Identifier(name)
        connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
        query = sql.SQL("COPY {} ({}) FROM STDIN").format(table, _listed(shapes[name].columns))
        with connection.cursor() as cursor:
            with cursor.copy(query) as copy:
                for piece in rows_of(shapes[name]):
                    copy.write(piece)
            count = cursor.rowcount
        if count != tables[shapes[name]]:
            raise RestoreRefused(f"the backup has {count} rows of {name}, and its manifest says {tables[shapes[name]]}")
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(table))
    return sorted(shapes.keys() - ours)


def _in_order(connection: Connection, names: set[str]) -> Sequence[str]:
    rows = connection.execute(
        "SELECT child.relname, parent.relname FROM pg_constraint"
        " JOIN pg_class child ON child.oid = conrelid JOIN pg_class parent ON parent.oid = confrelid"
        f" WHERE contype = 'f' AND conrelid <> confrelid AND child.{_PUBLIC}"
    )
    needs: dict[str, set[str]] = {name: set() for name in sorted(names)}
    for child, parent in rows:
        if child in needs and parent in needs:
            needs[child].add(parent)
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise RestoreRefused(f"tables refer to each other in a circle: {error.args[1]}") from None


def _described(connection: Connection) -> Snapshot:
    at = version(connection)
    row = connection.execute("SHOW server_version").fetchone()
    if at is None or row is None:
        raise NothingToCopy("the database has no tables of ours: there is nothing to back up")
    log = connection.execute("SELECT to_jsonb(publication_log) FROM publication_log").fetchone()
    if log is None:
        raise NothingToCopy("publication_log has no row: the table was emptied, and no backup of it would be whole")
    known = {"id": "", "position": 0, "ledger": False} | log[0]
    tables = tuple(_tables(connection))
    counters = tuple(_counters(connection))
    return Snapshot(at, str(row[0]), known["id"], known["position"], known["ledger"], tables, counters)


def _tables(connection: Connection) -> list[TableShape]:
    rows = connection.execute(
        "SELECT relname, array_agg(attname ORDER BY attnum) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        f" WHERE {_PUBLIC} AND relkind = 'r' AND relpersistence = 'p'"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        " GROUP BY relname ORDER BY relname"
    )
    return [TableShape(name, tuple(map(str, columns))) for name, columns in rows]


def _counters(connection: Connection) -> Iterator[Counter]:
    rows = connection.execute(
        "SELECT relname, attname, pg_get_serial_sequence(quote_ident(relname), attname)"
        f" FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE {_PUBLIC} AND relkind = 'r'"
        " AND attidentity <> '' ORDER BY 1, 2"
    ).fetchall()
    for table, column, sequence in rows:
        where = sql.Identifier(*sequence.replace('"', "").split("."))
        found = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(where)).fetchone()
        assert found is not None
        yield Counter(table, column, *found)


def _refuse_filled(connection: Connection) -> None:
    for table in _tables(connection):
        if table.name == "alembic_version":
            continue
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
            sql.Identifier(table.name), sql.SQL("position > 0" if table.name == "publication_log" else "true")
        )
        found = connection.execute(query).fetchone()
        if found is not None and found[0]:
            raise RestoreRefused(
                f"the database is not empty: {table.name} has rows. A backup is restored into a new database (CREATE"
                " DATABASE), which SISTERCITY_DATABASE_URL names. If a restore was interrupted at its very end,"
                " `sistercity migrate` completes it"
            )


def _drop_empty_tables(connection: Connection) -> None:
    """Drop the tables, views and functions of another version of ours, which hold nothing. Those of others stay."""
    ours = names_of_ours()
    with connection.transaction():
        tables = _listed([table.name for table in _tables(connection) if table.name in ours])
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
        _refuse_filled(connection)
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(tables))
        functions = connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND proname = ANY(%s)",
            (sorted(ours),),
        ).fetchall()
        for (signature,) in functions:
            connection.execute(f"DROP FUNCTION {signature} CASCADE")


def _listed(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
