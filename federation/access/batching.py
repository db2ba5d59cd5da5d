"""Questions to the database from an event loop, several in one statement: those that wait while one runs go together.

A thread for each question would cost more than the question: it waits for the interpreter each time it wakes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from store.database import AsyncConnection

_MOST_AT_ONCE = 256
_SLOW_S = 0.02

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class Batches(Generic[_Question, _Answer]):
    """One connection, made when it is needed and again after an error, and one statement at a time.

    `answer_all` gives an answer for each question, in their order; `most` at once. Used from one event loop.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection]],
        answer_all: Callable[[AsyncConnection, Sequence[_Question]], Awaitable[Sequence[_Answer]]],
        most: int = _MOST_AT_ONCE,
    ) -> None:
        self._most = most
        self._connect = connect
        self._answer_all = answer_all
        self._connection: AsyncConnection | None = None
        self._waiting: list[tuple[_Question, asyncio.Future[_Answer]]] = []
        self._running: asyncio.Task[None] | None = None
        self._began = 0.0

    def is_slow(self) -> bool:
        """Whether a statement has been running for 20 ms: who can go another way should not wait for it."""
        return self._running is not None and asyncio.get_running_loop().time() - self._began >= _SLOW_S

    async def ask(self, question: _Question) -> _Answer:
        """The answer. Raises what `connect` and `answer_all` raise. Who goes away leaves the question behind."""
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._running is None:
            self._began = asyncio.get_running_loop().time()
            self._running = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Answer what waits, and close the connection."""
        if self._running is not None:
            await self._running
        await self._drop_connection()

    async def _run(self) -> None:
        try:
            while self._waiting:
                self._began = asyncio.get_running_loop().time()
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._running = None

    async def _answer(self, batch: list[tuple[_Question, asyncio.Future[_Answer]]]) -> None:
        try:
            if self._connection is None:
                self._connection = await self._connect()
            answers = await self._answer_all(self._connection, [question for question, _ in batch])
        except Exception as error:  # whoever waits gets it; the next batch begins anew
            await self._drop_connection()
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
