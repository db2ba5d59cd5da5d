"""Pages of bodies that were given before: one statement says that they may still be read, and records that they are.

Partners ask for the same pages again and again: until there is news, and one after the other once there is. So the
answer is made as it was before, with its line of the audit, and the database is asked whether the page is still what
this token may read now. If it is, the line is committed by the same statement, and the answer leaves; if not, or where
anything else is unusual, nothing was recorded, and the request goes the ordinary way.
"""

from hashlib import sha256
from typing import NamedTuple

import psycopg
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.caching import names
from api.exchange.access import GRANTED, bearer
from api.exchange.accounting import log_given, path_of, request_id
from api.exchange.bodies import page_tag, told
from api.exchange.gate import Gate, Passage
from api.exchange.plain_pages import plainly_asked
from api.exchange.stored_pages import PageReader
from federation.access.audit import Given
from federation.access.quotas import LimitReached
from store.access import token_hash
from store.agreed import BodiesAsked, BodyPage, PageAsked
from store.database import DatabaseRefused

_NOTHING = sha256().hexdigest()
"""The hash of an answer without content."""


class _Repeated(NamedTuple):
    """A request whose answer is known, unless the database says otherwise."""

    passage: Passage
    asked: PageAsked
    page: BodyPage
    answer: Response
    given: Given


class RepeatedPages:
    """Middleware around everything that reads and records a request in the ordinary way."""

    def __init__(self, inside: ASGIApp, gate: Gate, stored: PageReader, path: str) -> None:
        self._inside = inside
        self._gate = gate
        self._stored = stored
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain question that was answered before; pass on everything else."""
        query = plainly_asked(scope, self._path)
        repeated = None if query is None else self._repeated(scope, *query)
        if repeated is None or not await self._give(repeated, send):
            await self._inside(scope, receive, send)

    def _repeated(self, scope: Scope, metric: str, after: int, limit: int) -> _Repeated | None:
        headers = dict(reversed(scope["headers"]))  # of several of a name, the first
        token = bearer(headers.get(b"authorization", b"").decode("latin-1"))
        key = token_hash(token or "")
        access = self._gate.known(key)
        if access is None:
            return None
        asked = BodiesAsked(access.agreement, metric, after, limit)
        found = self._stored.found_before(asked)
        if found is None:
            return None
        page, kept = found
        tag = page_tag(asked, page)
        known = b"if-none-match" in headers and names(headers[b"if-none-match"].decode("latin-1"), tag)
        answer = told(asked, page, tag, None if known else kept.content)
        given = Given(
            at=self._gate.now_ms(),
            request=request_id(scope),
            path=path_of(scope),
            metric=metric,
            first=page.first,
            last=page.last,
            status=answer.status_code,
            page=_NOTHING if known else kept.hash,
            bytes=len(answer.body),
        )
        try:
            passage = self._gate.enter_known(key, access)
        except LimitReached:
            return None
        return _Repeated(passage, PageAsked(key, metric, after, limit), page, answer, given)

    async def _give(self, repeated: _Repeated, send: Send) -> bool:
        """Whether it was given."""
        passage, _, _, answer, given = repeated
        try:
            await passage.take_turn()
            try:
                head = await self._gate.record_page(passage, repeated.asked, repeated.page, given)
            except (psycopg.Error, DatabaseRefused):  # the ordinary way says what is wrong
                head = None
            if head is not None:
                passage.answer_begins()
                GRANTED.inc()
                headers = [
                    *answer.raw_headers,
                    (b"sistercity-request-id", given.request.encode()),
                    (b"sistercity-audit", f"{head.sequence} {head.hash}".encode()),
                ]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
                await send({"type": "http.response.body", "body": answer.body})
                log_given(given, passage.access.agreement, head)
                return True
        finally:
            self._gate.leave(passage)
        self._gate.give_back(passage)
        return False
