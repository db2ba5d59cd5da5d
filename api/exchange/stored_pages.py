"""Pages of bodies: what may be read is asked of the database at each request; bytes that were read before are kept.

What is kept is found only by the hashes of the bodies that the database has just said may be read, so that a body that
was withdrawn, revoked or is not due is in no page that can be found. It may stay in memory until newer pages displace
it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request

from api.snapshots import SnapshotPool
from federation.access.batching import Batches
from store.access import STATEMENT_LIMIT_MS, Access
from store.agreed import BodiesAsked, BodyPage, PageAsked, keep_plan, read_page, token_pages
from store.database import AsyncConnection, DatabaseUrl, connect_async

_WAIT_S = 3
_MOST_KEPT = 64 << 20
"""Bytes of all pages that a process keeps."""
_LARGEST_KEPT = 9 << 20
_ASKED_AT_ONCE = 32
_LANES = 4
"""Connections that questions are asked on. They wait for the statement before and go together, which costs each of them
much less; where it takes long, they go another way."""
_MOST_FOUND = 10_000
"""Questions whose last answer is remembered."""
_ANYBODY = ""
"""Stands for the agreement under which a question was asked last: partners ask for the same news."""


@dataclass(frozen=True, slots=True)
class KeptPage:
    """The bytes of a page, and their SHA-256 in hex."""

    content: bytes
    hash: str


class KeptPages:
    """The pages used last, up to `most` bytes in all, by `BodyPage.content`. Used from one event loop."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._pages: OrderedDict[str, KeptPage] = OrderedDict()
        self.size = 0

    def get(self, name: str) -> KeptPage | None:
        """The page of this name, if it is kept."""
        found = self._pages.get(name)
        if found is not None:
            self._pages.move_to_end(name)
        return found

    def keep(self, name: str, page: KeptPage) -> None:
        """Keep a page, and drop those that were used longest ago."""
        if name in self._pages or len(page.content) > min(_LARGEST_KEPT, self._most):
            return
        self._pages[name] = page
        self.size += len(page.content)
        while self.size > self._most:
            _, dropped = self._pages.popitem(last=False)
            self.size -= len(dropped.content)


class PageReader:
    """Finds and reads pages, from one event loop, while its context is open."""

    def __init__(self, database_url: DatabaseUrl) -> None:
        async def connected() -> AsyncConnection:
            connection = await connect_async(
                database_url, name="sistercity pages", wait_s=_WAIT_S, statement_limit_ms=STATEMENT_LIMIT_MS
            )
            await keep_plan(connection)
            return connection

        self._lanes: list[Batches[PageAsked, tuple[Access, BodyPage] | None]] = [
            Batches(connected, token_pages, most=_ASKED_AT_ONCE) for _ in range(_LANES)
        ]
        self._in_turns = cycle(self._lanes)
        self._kept = KeptPages()
        self._found: OrderedDict[BodiesAsked, BodyPage] = OrderedDict()

    async def __aenter__(self) -> "PageReader":
        return self

    async def __aexit__(self, *_: object) -> None:
        for lane in self._lanes:
            await lane.close()

    async def find(self, asked: PageAsked) -> tuple[Access, BodyPage] | None:
        """What may be read now with a token; None if it opens nothing. Raises `psycopg.OperationalError`."""
        found = await self._lane().ask(asked)
        if found is not None and found[1].agreed:
            access, page = found
            for agreement in (access.agreement, _ANYBODY):
                self._found[BodiesAsked(agreement, asked.metric, asked.after, asked.limit)] = page
            while len(self._found) > _MOST_FOUND:
                self._found.popitem(last=False)
        return found

    def found_before(self, asked: BodiesAsked) -> tuple[BodyPage, KeptPage] | None:
        """What was found last for this question, or, where it is new, for the same one under any agreement; if that was
        agreed and its bytes are kept. Whether it may be read now is for the database to say.
        """
        page = self._found.get(asked) or self._found.get(asked._replace(agreement=_ANYBODY))
        kept = None if page is None else self._kept.get(page.content)
        return None if page is None or kept is None else (page, kept)

    def _lane(self) -> Batches[PageAsked, tuple[Access, BodyPage] | None]:
        return next((lane for lane in self._lanes if not lane.is_slow()), None) or next(self._in_turns)

    async def read(self, snapshots: SnapshotPool, asked: BodiesAsked, found: BodyPage) -> tuple[BodyPage, KeptPage]:
        """A page that was just found, with its bytes; if they are not kept, the page as it is when they are read."""
        kept = self._kept.get(found.content)
        if kept is not None:
            return found, kept

        def load() -> tuple[BodyPage, KeptPage]:
            with snapshots.snapshot() as connection:
                page, bodies = read_page(connection, asked)
            content = b"".join(body + b"\n" for body in bodies)
            return page, KeptPage(content, sha256(content).hexdigest())

        page, read = await to_thread.run_sync(load)
        self._kept.keep(page.content, read)
        return page, read


async def _reader(request: Request) -> PageReader:
    reader: PageReader = request.app.state.bodies
    return reader


StoredPages = Annotated[PageReader, Depends(_reader)]
"""Pages of bodies, as they may be read now."""
