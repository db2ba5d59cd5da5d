"""A command that runs once waits for a PostgreSQL that is starting, and names the remedy of one that is half made."""

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from node.waiting import wait_for_database
from node.wiring import CommandError
from store.database import connect

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_a_server_that_never_answers_is_named_after_the_time():
    with pytest.raises(CommandError, match="the database was not ready within 0 s: connection failed"):
        wait_for_database(NOWHERE, 0)


def test_who_waits_is_told_once(capsys):
    seconds = iter([0, 1, 2])
    with pytest.raises(CommandError, match="not ready within 2 s"):
        wait_for_database(NOWHERE, 2, clock=lambda: next(seconds), pause_s=0)
    assert capsys.readouterr().err.count("waiting up to 2 s for the database") == 1


@pytest.mark.services
def test_a_database_that_answers_is_not_waited_for(database_url):
    wait_for_database(database_url, 0)


@pytest.mark.services
def test_a_refused_password_is_not_waited_for(server_url, database_url):
    with connect(database_url) as connection:
        name = f"keeper_{connection.info.dbname}"
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(name)))
        beginning = iter([0])
        try:
            with pytest.raises(CommandError, match="refuses this node: password authentication failed"):
                url = make_conninfo(database_url, user=name, password="wrong")
                wait_for_database(url, 60, clock=lambda: next(beginning))
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.mark.services
def test_what_an_interrupted_first_start_leaves_is_named_with_its_remedy(server_url):
    with pytest.raises(CommandError, match=r"does not exist\. .* interrupted .* delete its data folder"):
        wait_for_database(make_conninfo(server_url, dbname="never_made"), 0)
