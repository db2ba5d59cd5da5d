"""Waiting for a PostgreSQL that is about to start, in commands that run once."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.wiring import CommandError

if TYPE_CHECKING:
    from store.database import DatabaseUrl

_HALF_MADE = ("does not exist", "no pg_hba.conf entry")
"""What the server says of a database or a rule that its first start was to make."""
_REMEDY = (
    "Its server answers, so if this is its first start, that start was interrupted and has left a data folder that is"
    " half made. It holds nothing yet: stop PostgreSQL, delete its data folder or volume, and start it again (in"
    " containers: docker compose down, docker volume rm PROJECT_postgres-data, docker compose up). If the database was"
    " in use before, delete nothing: make the database and the user of SISTERCITY_DATABASE_URL, or correct that setting"
)


def wait_for_database(
    url: "DatabaseUrl", wait_s: float, clock: Callable[[], float] = time.monotonic, pause_s: float = 1.0
) -> None:
    """Return when a query on the database is answered.

    Raises `CommandError` after `wait_s` seconds, and at once if the server refuses the user or its password.
    """
    import psycopg

    from store.database import DatabaseRefused, connect

    until, told = clock() + wait_s, False
    while True:
        try:
            with connect(url, name="sistercity waits") as connection:
                connection.execute("SELECT")
            return
        except DatabaseRefused as error:
            raise CommandError(f"{error}. {_REMEDY}") from None
        except psycopg.OperationalError as error:
            if clock() >= until:
                raise CommandError(_in_words(str(error), wait_s)) from None
            if not told:
                print(f"sistercity: waiting up to {wait_s:g} s for the database: {error}", file=sys.stderr)
                told = True
        time.sleep(pause_s)


def _in_words(error: str, wait_s: float) -> str:
    words = f"the database was not ready within {wait_s:g} s: {error}"
    return f"{words}. {_REMEDY}" if any(said in error for said in _HALF_MADE) else words
