"""What the role of the partners' server may read and write: exactly what is listed, in every relation and column."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from store.database import Connection, connect
from store.partner_role import READS, WRITES, partner_login

pytestmark = pytest.mark.services

INSIDE = ("cells", "sources", "contributors", "publications", "published_cells", "partner_cells")


@pytest.fixture(scope="module")
def owner(module_database_url: str) -> Iterator[Connection]:
    with connect(module_database_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def role(module_database_url: str, owner: Connection) -> Iterator[Connection]:
    with connect(partner_login(owner, module_database_url)) as connection:
        yield connection


def columns(owner: Connection) -> dict[str, list[str]]:
    """Every relation that holds rows, in every schema that is not PostgreSQL's own, with its columns."""
    rows = owner.execute(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY attnum) FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND attnum > 0 AND NOT attisdropped"
        " AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema' GROUP BY c.relname"
    )
    return dict(rows.fetchall())


def allowed(role: Connection, statement: sql.Composed) -> bool:
    try:
        role.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.Error:  # it may, and the statement is wrong for other reasons
        return True
    return True


def test_the_role_reads_these_columns_and_no_others(owner: Connection, role: Connection) -> None:
    everything = columns(owner)
    assert READS.keys() | set(INSIDE) <= everything.keys()
    found = {
        relation: readable
        for relation, names in everything.items()
        if (
            readable := [
                name
                for name in names
                if allowed(role, sql.SQL("SELECT {} FROM {} LIMIT 0").format(*map(sql.Identifier, (name, relation))))
            ]
        )
    }
    assert found == {
        relation: sorted(named, key=everything[relation].index) if named else everything[relation]
        for relation, named in READS.items()
    }


def test_the_role_writes_these_tables_and_changes_nothing_that_was_written(owner: Connection, role: Connection) -> None:
    rights = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    found: dict[str, set[str]] = {}
    for relation in columns(owner):
        for right in rights:
            of_columns = ", has_any_column_privilege(%(name)s, %(right)s)" if right in rights[:2] else ", false"
            terms = {"name": f'"{relation}"', "right": right}
            row = role.execute(f"SELECT has_table_privilege(%(name)s, %(right)s){of_columns}", terms).fetchone()
            if any(row):
                found.setdefault(relation, set()).add(right)
    assert found == {relation: set(named.split(", ")) for relation, named in WRITES.items()}


def test_the_role_makes_nothing_and_becomes_nobody_else(owner: Connection, role: Connection) -> None:
    user = owner.info.user
    for statement in (
        sql.SQL("CREATE TABLE mine (x integer)"),
        sql.SQL("CREATE ROLE another"),
        sql.SQL("SET ROLE {}").format(sql.Identifier(user)),
        sql.SQL("COPY catalogues TO PROGRAM 'cat'"),
    ):
        assert not allowed(role, sql.Composed([statement])), statement
