"""Connecting to PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from errors import OperatorError

Connection = psycopg.Connection[TupleRow]
AsyncConnection = psycopg.AsyncConnection[TupleRow]
DatabaseUrl = str | Callable[[], str]
"""A URL, or what gives it whenever a connection is made: its password may have changed since the last time."""

_CONNECT_TIMEOUT_S = 10
_NETWORK: dict[str, Any] = {
    # Without these, a connection whose other end has vanished is given up after a quarter of an hour.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Parameters of libpq; those of the URL come first."""
_SESSION = {
    "timezone": "UTC",
    # A client that hangs in a transaction must not hold its locks for long: others wait for them.
    "idle_in_transaction_session_timeout": "20s",
    "lock_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_REFUSALS = ("authentication failed for user", "is not permitted to log in")


class DatabaseRefused(OperatorError):
    """PostgreSQL does not accept this user or its password; trying again with them would not help."""


def url_of(database_url: DatabaseUrl) -> str:
    """The URL as it is now. Raises what gives it raises."""
    return database_url if isinstance(database_url, str) else database_url()


def connect(database_url: DatabaseUrl, *, name: str = "sistercity", wait_s: int = _CONNECT_TIMEOUT_S) -> Connection:
    """A connection in autocommit mode; transactions are explicit (`with connection.transaction()`).

    `name` shows in pg_stat_activity. Raises `DatabaseRefused`, and `psycopg.OperationalError` if the server does not
    answer within `wait_s`.
    A server that vanishes later, without a word, is given up after half a minute.
    """
    with refusals():
        return psycopg.connect(
            make_conninfo(**{**_NETWORK, **conninfo_to_dict(url_of(database_url))}),
            autocommit=True,
            connect_timeout=wait_s,
            application_name=name,
            options=" ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
        )


async def connect_async(
    database_url: DatabaseUrl, *, name: str, wait_s: int, statement_limit_ms: int
) -> AsyncConnection:
    """As `connect`, for a program that waits in its event loop; a statement takes `statement_limit_ms` at most."""
    session = _SESSION | {"statement_timeout": str(statement_limit_ms)}
    with refusals():
        return await psycopg.AsyncConnection.connect(
            make_conninfo(**{**_NETWORK, **conninfo_to_dict(url_of(database_url))}),
            autocommit=True,
            connect_timeout=wait_s,
            application_name=name,
            options=" ".join(f"-c {name}={value}" for name, value in session.items()),
        )


@contextmanager
def refusals() -> Iterator[None]:
    """Turns a failed attempt to connect into `DatabaseRefused` if the server refuses who asks.

    libpq keeps the error's code to itself, so the server's words decide; those of a server that speaks another language
    than English remain `psycopg.OperationalError`.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        words, connection = str(error), error.pgconn
        missing = connection is not None and connection.needs_password
        if not missing and not any(refusal in words for refusal in _REFUSALS):
            raise
        reason = "no password is set" if missing else words.rpartition("FATAL:")[2].strip()
        raise DatabaseRefused(
            f"PostgreSQL refuses this node: {reason}. The password is the setting SISTERCITY_DATABASE_PASSWORD or the"
            " file sistercity_database_password among the secrets, and is read whenever a connection is made"
        ) from None


def require_answer(connection: Connection) -> None:
    """Return if the database answers. Raises psycopg's errors."""
    connection.execute("SELECT")


def database_named(server_url: str, name: str) -> str:
    """URL of another database of the same server."""
    return make_conninfo(server_url, dbname=name)


def create_database(server_url: str, name: str) -> str:
    """Create the database `name` unless it exists, and return its URL. Raises psycopg's errors."""
    with connect(server_url) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not found:
            with suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):  # another process was first
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return database_named(server_url, name)


def with_password(database_url: str, password: str) -> str:
    """The URL with this password, which settings keep apart. Raises `psycopg.ProgrammingError` if it is no URL."""
    return make_conninfo(database_url, password=password)
