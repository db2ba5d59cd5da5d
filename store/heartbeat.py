"""Whether the database answers, asked for again and again over a connection that nothing else waits for."""

import asyncio
import logging
from typing import Protocol

import psycopg

from store.database import DatabaseRefused, DatabaseUrl, refusals, url_of

logger = logging.getLogger(__name__)

_EVERY_S = 2.0
_ANSWER_S = 3.0


class HeartbeatListener(Protocol):
    """Whoever is told how the database answers."""

    def report(self, failure: str | None) -> None:
        """It answered (None), or did not, for the reason that `failure` names."""

    def refused(self, error: DatabaseRefused) -> None:
        """It does not accept this process's user or password."""


class Heartbeat:
    """Asks the database from `beat` on, as a task of the event loop. `alive` is its newest answer."""

    def __init__(self, database_url: DatabaseUrl, listener: HeartbeatListener | None = None) -> None:
        self._url = database_url
        self._listener = listener
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
            except DatabaseRefused as error:
                self._say(str(error))
                if self._listener is not None:
                    self._listener.refused(error)
            except (psycopg.Error, TimeoutError, OSError) as error:
                self._say(f"the database did not answer: {error or type(error).__name__}")
            await asyncio.sleep(_EVERY_S)

    async def _ask_on_one_connection(self) -> None:
        async with asyncio.timeout(_ANSWER_S):
            with refusals():
                connection = await psycopg.AsyncConnection.connect(
                    url_of(self._url),
                    autocommit=True,
                    application_name="sistercity health",
                    connect_timeout=int(_ANSWER_S),
                )
        async with connection:
            while True:
                async with asyncio.timeout(_ANSWER_S):
                    await connection.execute("SELECT FROM publication_log")
                self._say(None)
                await asyncio.sleep(_EVERY_S)

    def _say(self, failure: str | None) -> None:
        if failure is not None and (self._alive or not self._asked.is_set()):
            logger.warning("%s; asking again every %.0f s", failure, _EVERY_S)
        elif failure is None and self._asked.is_set() and not self._alive:
            logger.info("the database answers again")
        self._alive = failure is None
        if self._listener is not None:
            self._listener.report(failure)
        self._asked.set()
