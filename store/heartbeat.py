"""Whether the database answers, asked for again and again over a connection that nothing else waits for."""

import asyncio
from collections.abc import Callable

import psycopg

_EVERY_S = 2.0
_ANSWER_S = 3.0


class Heartbeat:
    """Asks the database from `beat` on, as a task of the event loop. `alive` is its newest answer.

    `report` is told of each answer, as None, and of each failure, in words.
    """

    def __init__(self, database_url: str, report: Callable[[str | None], None] = lambda failure: None) -> None:
        self._url = database_url
        self._report = report
        self._alive = False
        self._asked = asyncio.Event()

    async def alive(self) -> bool:
        """Whether the database answered when it was asked last; waits for the first time alone."""
        await self._asked.wait()
        return self._alive

    async def beat(self) -> None:
        """Ask until the task is cancelled. Every failure counts as no answer, and the next attempt connects anew."""
        while True:
            try:
                await self._ask_on_one_connection()
            except (psycopg.Error, TimeoutError, OSError) as error:
                self._say(f"the database did not answer: {error or type(error).__name__}")
            await asyncio.sleep(_EVERY_S)

    async def _ask_on_one_connection(self) -> None:
        async with asyncio.timeout(_ANSWER_S):
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, application_name="sistercity health", connect_timeout=int(_ANSWER_S)
            )
        async with connection:
            while True:
                async with asyncio.timeout(_ANSWER_S):
                    await connection.execute("SELECT FROM publication_log")
                self._say(None)
                await asyncio.sleep(_EVERY_S)

    def _say(self, failure: str | None) -> None:
        self._alive = failure is None
        self._report(failure)
        self._asked.set()
