"""Databases for tests: each is as a copy of one template, and most are an earlier test's, emptied.

PostgreSQL copies about a thousand files for a new database and writes everyone's pages to disk before it does; what a
test leaves is a few rows. A database whose structure was changed, or which has grown, is dropped instead.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from store.database import connect, create_database, database_named
from store.migrations import migrate

Table = tuple[str, str]
"""Schema and name."""

_GROWN_BYTES = 8 * 2**20
"""More than this over the template's size: a copy is cheaper, and a scan would pass too many dead rows."""

_TABLES = (
    "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema$)' ORDER BY 1, 2"
)

_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

_STRUCTURE: Sequence[LiteralString] = (
    "SELECT oid, relname, relnamespace, relkind, relowner, relacl::text, reloptions, relhastriggers, relrowsecurity"
    " FROM pg_class WHERE oid >= 16384 AND relkind <> 't' ORDER BY oid",
    "SELECT attrelid, attnum, attname, atttypid, attnotnull, attisdropped, attacl::text"
    " FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 ORDER BY 1, 2",
    "SELECT oid, proname, prosrc, proacl::text, proconfig FROM pg_proc WHERE oid >= 16384 ORDER BY oid",
    "SELECT oid, tgname, tgenabled FROM pg_trigger ORDER BY oid",
    "SELECT oid, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY oid",
    "SELECT oid, pg_get_viewdef(oid) FROM pg_class WHERE oid >= 16384 AND relkind IN ('v', 'm') ORDER BY oid",
    "SELECT oid, adrelid, adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef ORDER BY oid",
    "SELECT oid, nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' ORDER BY oid",
    "SELECT defaclrole, defaclnamespace, defaclobjtype, defaclacl::text FROM pg_default_acl ORDER BY 1, 2, 3",
    "SELECT seqrelid, seqstart, seqincrement, seqmax, seqmin, seqcycle FROM pg_sequence ORDER BY 1",
    "SELECT oid, extname FROM pg_extension ORDER BY oid",
    f"SELECT setrole, setconfig FROM pg_db_role_setting WHERE setdatabase = {_DATABASE} ORDER BY 1",
    "SELECT datacl::text, datconnlimit, datallowconn FROM pg_database WHERE datname = current_database()",
)
"""What a test may change besides rows."""


class Databases:
    """The databases of one worker on a server. `name` begins the names of all of them."""

    def __init__(self, server_url: str, name: str) -> None:
        self._server_url, self._name = server_url, name
        self._numbers = itertools.count()
        self._free: list[str] = []
        self._template = f"template_{name}"
        migrate(create_database(server_url, self._template))
        self._server = psycopg.connect(server_url, autocommit=True)
        with connect(database_named(server_url, self._template)) as connection:
            self._structure = _structure(connection)
            self._filled = {table: rows for table in _tables(connection) if (rows := _rows(connection, table))}

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """URL of a database with all tables, under a name that no other had: who used the last one can't reach it."""
        name = f"test_{self._name}_{next(self._numbers)}"
        if self._free:
            self._run("ALTER DATABASE {} RENAME TO {}", self._free.pop(), name)
        else:
            self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, self._template)
        yield database_named(self._server_url, name)
        if self._left(name):
            free = f"free_{name}"
            self._run("ALTER DATABASE {} RENAME TO {}", name, free)
            if self._emptied(free):
                self._free.append(free)
                return
            name = free
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def close(self) -> None:
        """End the connection to the server."""
        self._server.close()

    def _run(self, statement: LiteralString, *names: str) -> None:
        self._server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _left(self, name: str) -> bool:
        """Whether nobody is connected to a database any more. What a test left connected is ended."""
        ended = self._server.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        ).fetchall()
        found = self._server.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        return found is not None and all(gone for (gone,) in ended)

    def _emptied(self, name: str) -> bool:
        """Make a database as the template is; whether that could be done."""
        with connect(database_named(self._server_url, name)) as connection:
            if _grown(connection, self._template) or _structure(connection) != self._structure:
                return False
            with connection.transaction():
                # No trigger and no foreign key: some tables refuse that their rows are deleted.
                connection.execute("SET LOCAL session_replication_role = replica")
                for table in _used(connection, self._filled):
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*table)))
                for table, rows in self._filled.items():
                    _refill(connection, table, rows)
                connection.execute(
                    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)"
                    " FROM pg_sequences WHERE last_value IS NOT NULL"
                )
        return True


def _structure(connection: psycopg.Connection[TupleRow]) -> list[list[TupleRow]]:
    return [connection.execute(query).fetchall() for query in _STRUCTURE]


def _grown(connection: psycopg.Connection[TupleRow], template: str) -> bool:
    found = connection.execute(
        "SELECT pg_database_size(current_database()) - pg_database_size(%s) > %s", (template, _GROWN_BYTES)
    ).fetchone()
    assert found is not None
    return bool(found[0])


def _tables(connection: psycopg.Connection[TupleRow]) -> list[Table]:
    return [(schema, name) for schema, name in connection.execute(_TABLES)]


def _rows(connection: psycopg.Connection[TupleRow], table: Table) -> bytes:
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*table))) as copy,
    ):
        return b"".join(bytes(part) for part in copy)


def _used(connection: psycopg.Connection[TupleRow], filled: Mapping[Table, bytes]) -> Sequence[Table]:
    """The tables with rows, except those that have rows in the template."""
    tables = [table for table in _tables(connection) if table not in filled]
    asked = sql.SQL(", ").join(sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(*table)) for table in tables)
    row = connection.execute(sql.SQL("SELECT {}").format(asked)).fetchone()
    assert row is not None
    return [table for table, used in zip(tables, row, strict=True) if used]


def _refill(connection: psycopg.Connection[TupleRow], table: Table, rows: bytes) -> None:
    if _rows(connection, table) == rows:
        return
    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*table)))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(*table))) as copy,
    ):
        copy.write(rows)
