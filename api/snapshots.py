"""Snapshots of the database for handlers: a pool of read-only connections that lives as long as the app."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import ConnectionPool

from store.database import Connection, DatabaseUrl
from store.publication_log import snapshots

_MOST_CONNECTIONS = 8
_WAIT_S = 3.0


class SnapshotPool:
    """Connections for reading, from `open` to `close`. The database may come later, or go and return."""

    def __init__(self, database_url: DatabaseUrl) -> None:
        self._url = database_url
        self._pool: ConnectionPool[Connection] | None = None

    def open(self) -> None:
        """Start connecting, without waiting for it."""
        self._pool = snapshots(self._url, most=_MOST_CONNECTIONS, wait_s=_WAIT_S)
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, until the context ends.

        Raises `psycopg.OperationalError` if the database does not answer, or no connection is free, within 3 seconds.
        """
        if self._pool is None:
            raise psycopg.OperationalError("the app is not running")
        with self._pool.connection() as connection:
            yield connection
