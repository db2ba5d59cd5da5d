"""A database that a test gets is as new, whatever an earlier test did with it."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from store.database import connect
from tests.conftest import WORKER
from tests.databases import Databases

pytestmark = pytest.mark.services

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
KEPT = (
    "INSERT INTO debug_pictures (made_at, database_user, os_user, camera, taken_at, reason, sha256, regions)"
    " VALUES (now(), 'a', 'a', 1, now(), 'a', sha256('a'), 1)"
)


@pytest.fixture(scope="module")
def own(server_url: str) -> Iterator[Databases]:
    """Databases apart from those of other files."""
    with closing(Databases(server_url, f"{WORKER}_own")) as databases:
        yield databases


def content(url: str) -> list[object]:
    """Every row and the state of every sequence."""
    with connect(url) as connection:
        tables = [name for (name,) in connection.execute(TABLES)]
        rows = [
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall() for name in tables
        ]
        return [tables, rows, connection.execute(SEQUENCES).fetchall()]


def identity(url: str) -> int:
    """Which database it is, whatever its name."""
    with connect(url) as connection:
        return connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()[0]


def test_a_database_that_was_written_to_is_given_again_empty_under_another_name(own):
    with own.fresh() as url:
        before, first = content(url), identity(url)
        with connect(url) as connection:
            connection.execute("SET session_replication_role = replica")  # a picture of no camera
            connection.execute(KEPT)  # nobody may delete it
            connection.execute("UPDATE publication_log SET ledger = true")
        assert content(url) != before
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(url)
    with own.fresh() as again:
        assert (content(again), identity(again)) == (before, first)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE made (number int)",
        "ALTER TABLE sources ADD COLUMN made int",
        "ALTER TABLE debug_pictures DISABLE TRIGGER kept",
        "DROP INDEX sources_metric_number_idx",
        "GRANT SELECT ON debug_pictures TO pg_monitor",
        "CREATE OR REPLACE FUNCTION debug_pictures_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "SELECT format('ALTER DATABASE %I SET work_mem = 100', current_database()) \\gexec",
    ],
)
def test_a_database_of_another_structure_is_not_given_again(own, change):
    with own.fresh() as url, connect(url) as connection:
        first = identity(url)
        statement, executed, _ = change.partition(" \\gexec")
        found = connection.execute(statement)
        if executed:
            connection.execute(found.fetchone()[0])
    with own.fresh() as again:
        assert identity(again) != first


def test_a_database_that_has_grown_is_not_given_again(own):
    with own.fresh() as url, connect(url) as connection:
        first = identity(url)
        connection.execute(
            "INSERT INTO publication_sequences SELECT repeat('a', 200) || n, 0 FROM generate_series(1, 40000) n"
        )
    with own.fresh() as again:
        assert identity(again) != first


def test_what_a_test_left_connected_is_ended(own):
    with own.fresh() as url:
        left = connect(url)
    with own.fresh(), pytest.raises(psycopg.OperationalError):
        left.execute("SELECT")
