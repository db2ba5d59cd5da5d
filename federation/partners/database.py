"""The database as the puller uses it: from threads, a few connections for all partners."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from store.database import Connection, DatabaseUrl, connect

THREADS = 4

T = TypeVar("T")


class Threads:
    """Runs what would hold up the event loop: statements, parsing, hashing. At most `THREADS` at a time.

    Connections are kept for the next call; one with which a call failed is closed.
    """

    def __init__(self, database_url: DatabaseUrl) -> None:
        self._url = database_url
        self._idle: list[Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pull")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for connection in self._idle:
            connection.close()

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a call, made in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def with_database(self, call: Callable[[Connection], T]) -> T:
        """The result of a call with a connection. Raises psycopg's errors too."""
        return await self.run(lambda: self.connected(call))

    def connected(self, call: Callable[[Connection], T]) -> T:
        """As `with_database`, for who runs in a thread already."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._url, name="sistercity pull")
        try:
            found = call(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return found
