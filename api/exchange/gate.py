"""The gate of the partner API: whose token it is, whether a limit is reached, and the record of what was given.

Tokens are checked on threads and connections of their own. Those that this process has seen before pass through one
lane; all others, and whoever asks for a token, pass through a narrow second one: a crowd of strangers waits there and
delays no partner. Limits are checked before the database is asked, as soon as a token is known.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread

from federation.access.audit import Given
from federation.access.quotas import Quotas
from federation.access.recording import AuditWriter
from federation.access.tokens import check_request, issue_token
from store.access import Access, agreement_of, token_connections, token_hash
from store.audit import AuditHead
from store.database import Connection, connect

_PARTNERS_AT_ONCE = 4
_STRANGERS_AT_ONCE = 2
MOST_STRANGERS = 64
"""That wait or are looked at: more are refused."""
_MOST_KNOWN = 10_000
_READS_AT_ONCE = 4
"""Of one agreement, whatever it allows: half of the connections that answers are read with."""
_WAIT_S = 3

T = TypeVar("T")


class Crowded(Exception):
    """Too many strangers are waiting: refused without a look."""


@dataclass(slots=True)
class Passage:
    """One request that has passed the gate; `Gate.leave` must follow. `turn` is held until the answer begins."""

    access: Access
    turn: asyncio.Semaphore
    metric: str | None = None
    first: int | None = None
    last: int | None = None
    reading: bool = False

    async def take_turn(self) -> None:
        """Wait until few enough requests of this agreement are being read for, without a thread or a connection."""
        await self.turn.acquire()
        self.reading = True

    def answer_begins(self) -> None:
        """Give the turn back: from here on only the partner's network is waited for."""
        if self.reading:
            self.reading = False
            self.turn.release()


class Gate:
    """Used from one event loop, from `open` to `close`. `clock` gives milliseconds since 1970, UTC."""

    def __init__(self, database_url: str, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.now_ms = clock
        self._connections = token_connections(database_url, most=_PARTNERS_AT_ONCE + _STRANGERS_AT_ONCE, wait_s=_WAIT_S)
        self._audit = AuditWriter(lambda: connect(database_url, name="sistercity audit", wait_s=_WAIT_S))
        self._partners = CapacityLimiter(_PARTNERS_AT_ONCE)
        self._strangers = CapacityLimiter(_STRANGERS_AT_ONCE)
        self._strangers_here = 0
        self._known: OrderedDict[bytes, Access] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._quotas = Quotas()

    def open(self) -> None:
        """Start connecting, without waiting for it."""
        self._connections.open(wait=False)
        self._audit.start()

    def close(self) -> None:
        """Write what is not recorded yet, and close every connection."""
        self._audit.stop()
        self._connections.close()

    async def enter(self, token: str) -> Passage | None:
        """Let a request pass; None if the token opens nothing now, whatever the reason.

        Raises `LimitReached`, `Crowded` and `psycopg.OperationalError`.
        """
        key = token_hash(token)
        known = self._known.get(key)
        if known is None:
            access = await self._as_stranger(lambda connection: agreement_of(connection, token))
        else:
            self._quotas.check(known)
            access = await self._on_thread(lambda connection: agreement_of(connection, token), self._partners)
        if access is None:
            self._known.pop(key, None)
            return None
        self._remember(key, access)
        self._quotas.enter(access)
        turn = self._turns.setdefault(access.agreement, asyncio.Semaphore(_READS_AT_ONCE))
        return Passage(access, turn)

    def leave(self, passage: Passage) -> None:
        """The answer was sent, or the partner has gone."""
        passage.answer_begins()
        self._quotas.leave(passage.access)

    async def record(self, passage: Passage, given: Given) -> AuditHead:
        """Record an answer that is about to be sent. Raises `psycopg.OperationalError`: then it must not be sent."""
        head = await asyncio.wrap_future(self._audit.record(passage.access.agreement, given))
        self._quotas.count_bytes(passage.access, given.bytes)
        return head

    async def token(self, assertion: str, agreement: str) -> str:
        """A token for who signed the assertion. Raises `BadAssertion`, `UnknownAgreement`, `LimitReached`, `Crowded`
        and `psycopg.OperationalError`.
        """
        asked = await self._as_stranger(
            lambda connection: check_request(connection, assertion, agreement, self.now_ms())
        )
        self._quotas.check_token(asked.access)
        token = await self._as_stranger(lambda connection: issue_token(connection, asked))
        self._quotas.count_token(asked.access)
        self._remember(token_hash(token), asked.access)
        return token

    def _remember(self, key: bytes, access: Access) -> None:
        self._known[key] = access
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    async def _as_stranger(self, work: Callable[[Connection], T]) -> T:
        if self._strangers_here >= MOST_STRANGERS:
            raise Crowded
        self._strangers_here += 1
        try:
            return await self._on_thread(work, self._strangers)
        finally:
            self._strangers_here -= 1

    async def _on_thread(self, work: Callable[[Connection], T], lane: CapacityLimiter) -> T:
        def run() -> T:
            with self._connections.connection() as connection:
                return work(connection)

        return await to_thread.run_sync(run, limiter=lane)
