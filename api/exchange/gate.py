"""The gate of the partner API: whose token it is, whether a limit is reached, and the record of what was given.

Tokens that this process has seen before are looked up on a connection of their own, all others on a second one, and who
asks for a token waits for a third: a crowd of strangers waits there, for a while and up to a number, and delays no
partner. Limits are checked before the database is asked, as soon as a token is known.
"""

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from federation.access.audit import Given
from federation.access.batching import Batches
from federation.access.quotas import Quotas
from federation.access.recording import AuditWriter
from federation.access.tokens import check_request, issue_token
from store.access import STATEMENT_LIMIT_MS, Access, agreements_of, token_connections, token_hash
from store.agreed import BodyPage, PageAsked
from store.audit import AuditHead
from store.database import AsyncConnection, Connection, DatabaseUrl, connect_async
from store.given_pages import ExpectedPage

_ASKING_AT_ONCE = 2
MOST_STRANGERS = 64
"""That wait or are looked at: more are refused."""
_MOST_KNOWN = 10_000
_READS_AT_ONCE = 4
"""Of one agreement, whatever it allows: half of the connections that answers are read with."""
_WAIT_S = 3

T = TypeVar("T")


def now_ms() -> int:
    """The time, in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class Crowded(Exception):
    """Too many strangers are waiting: refused without a look."""


@dataclass(slots=True)
class Passage:
    """One request that has passed the gate; `Gate.leave` must follow. `turn` is held until the answer begins; `key` is
    the hash of the token."""

    access: Access
    key: bytes
    turn: asyncio.Semaphore
    metric: str | None = None
    first: int | None = None
    last: int | None = None
    hashed: tuple[bytes, str] | None = None
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
    """Used from one event loop, while its context is open. `clock` gives milliseconds since 1970, UTC."""

    def __init__(self, database_url: DatabaseUrl, clock: Callable[[], int] = now_ms) -> None:
        def connect(name: str) -> Callable[[], Awaitable[AsyncConnection]]:
            return lambda: connect_async(
                database_url, name=f"sistercity {name}", wait_s=_WAIT_S, statement_limit_ms=STATEMENT_LIMIT_MS
            )

        self.now_ms = clock
        self._audit = AuditWriter(connect("audit"))
        self._partners: Batches[bytes, Access | None] = Batches(connect("tokens"), agreements_of)
        self._strangers: Batches[bytes, Access | None] = Batches(connect("unknown tokens"), agreements_of)
        self._strangers_here = 0
        self._issuing = token_connections(database_url, most=_ASKING_AT_ONCE, wait_s=_WAIT_S)
        self._issuers = CapacityLimiter(_ASKING_AT_ONCE)
        self._known: OrderedDict[bytes, Access] = OrderedDict()
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_READS_AT_ONCE))
        self._quotas = Quotas(lambda: clock() / 1000)

    async def __aenter__(self) -> "Gate":
        self._issuing.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is not recorded yet, and close every connection."""
        for used in (self._audit, self._partners, self._strangers):
            await used.close()
        self._issuing.close()

    async def enter(self, token: str) -> Passage | None:
        """Let a request pass; None if the token opens nothing now, whatever the reason.

        Raises `LimitReached`, `Crowded` and `psycopg.OperationalError`.
        """
        key = token_hash(token)
        known = self._known.get(key)
        if known is None:
            with self._stranger():
                access = await self._strangers.ask(key)
        else:
            self._quotas.check(known)
            access = await self._partners.ask(key)
        if access is None:
            self._known.pop(key, None)
            return None
        return self._entered(key, access)

    async def enter_asking(
        self, token: str, ask: Callable[[bytes], Awaitable[tuple[Access, T] | None]]
    ) -> tuple[Passage, T] | None:
        """The same, with a look at what is asked for: `ask` gives both, for the token's hash, in one statement.

        The turn is taken before. A token that this process has not seen is looked up by itself before that.
        """
        key = token_hash(token)
        known = self._known.get(key)
        passage = await self.enter(token) if known is None else self._entered(key, known)
        if passage is None:
            return None
        try:
            await passage.take_turn()
            found = await ask(key)
        except BaseException:
            self.leave(passage)
            raise
        if found is None:
            self._known.pop(key, None)
            self.leave(passage)
            return None
        passage.access, looked_at = found  # as renewed meanwhile: its limits hold from the next request on
        self._remember(key, passage.access)
        return passage, looked_at

    def _entered(self, key: bytes, access: Access) -> Passage:
        self._remember(key, access)
        self._quotas.enter(access)
        return Passage(access, key, self._turns[access.agreement])

    def known(self, key: bytes) -> Access | None:
        """What a token, by its hash, opened when it was looked up last; whether it still does is for the database."""
        return self._known.get(key)

    def enter_known(self, key: bytes, access: Access) -> Passage:
        """Let a request pass whose token and page `record_page` looks up. Raises `LimitReached`."""
        return self._entered(key, access)

    def give_back(self, passage: Passage) -> None:
        """Let the request enter once more: it has left, and was not answered."""
        self._quotas.give_back(passage.access)

    def leave(self, passage: Passage) -> None:
        """The answer was sent, or the partner has gone."""
        passage.answer_begins()
        self._quotas.leave(passage.access)

    async def record(self, passage: Passage, given: Given) -> AuditHead:
        """Record an answer that is about to be sent. Raises `psycopg.OperationalError`: then it must not be sent."""
        head = await self._audit.record(passage.access.agreement, given)
        self._quotas.count_bytes(passage.access, given.bytes)
        return head

    async def record_page(self, passage: Passage, asked: PageAsked, page: BodyPage, given: Given) -> AuditHead | None:
        """Record an answer with a page that was found before, if that may still be read: both in one statement.

        None if it may not, or may have changed. Raises the same.
        """
        head = await self._audit.record_page(ExpectedPage(asked, passage.access, page.content), given)
        if head is not None:
            self._quotas.count_bytes(passage.access, given.bytes)
        return head

    async def token(self, assertion: str, agreement: str) -> str:
        """A token for who signed the assertion. Raises `BadAssertion`, `UnknownAgreement`, `LimitReached`, `Crowded`
        and `psycopg.OperationalError`.
        """
        with self._stranger():
            asked = await self._issue(lambda connection: check_request(connection, assertion, agreement, self.now_ms()))
            self._quotas.check_token(asked.access)
            token = await self._issue(lambda connection: issue_token(connection, asked))
        self._quotas.count_token(asked.access)
        self._remember(token_hash(token), asked.access)
        return token

    def _remember(self, key: bytes, access: Access) -> None:
        self._known[key] = access
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    @contextmanager
    def _stranger(self) -> Iterator[None]:
        if self._strangers_here >= MOST_STRANGERS:
            raise Crowded
        self._strangers_here += 1
        try:
            yield
        finally:
            self._strangers_here -= 1

    async def _issue(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._issuing.connection() as connection:
                return work(connection)

        return await to_thread.run_sync(run, limiter=self._issuers)
