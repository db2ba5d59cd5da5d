"""Accounts for every answer to a partner: it leaves after its line of the audit was written, with the chain's end."""

import logging
import re
from hashlib import sha256
from http import HTTPStatus
from random import getrandbits

import psycopg
from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.exchange.gate import Gate, Passage
from api.problems import RETRY_AFTER_S, UNAVAILABLE, UNFORESEEN, answer
from federation.access.audit import Given
from store.audit import AuditHead
from store.database import DatabaseRefused

log = logging.getLogger(__name__)

PASSAGE = "sistercity.passage"
"""Where the ASGI scope holds the `Passage` of a request that was granted."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LONGEST_PATH = 200
_UNRECORDED = ("/v1/audit",)
"""Reading the audit is not recorded: each reading would add a line to read."""
_HASHED_ON_LOOP = 2**16
"""Bytes of an answer that are hashed at once, in less time than a thread takes to begin."""


class Accounting:
    """Middleware around the routes of the partner API. Answers to partners must come in one piece."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, under an id: the partner's own `Sistercity-Request-Id`, or a new one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._gate, scope, receive, send)
        try:
            await self._app(scope, receive, exchange.send)
        except Exception:
            await exchange.fail()
            raise  # to the server's log
        finally:
            passage: Passage | None = scope.get(PASSAGE)
            if passage is not None:
                self._gate.leave(passage)


class _Exchange:
    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request = request_id(scope)
        self._start: Message | None = None
        self._answered = False

    async def fail(self) -> None:
        """Answer a request that ended in an unforeseen error, unless an answer has begun; a partner's line says that
        nothing was given.
        """
        if not self._answered:
            await answer(UNFORESEEN)(self._scope, self._receive, self.send)

    async def send(self, message: Message) -> None:
        """Pass an answer on; that to a partner with its line in the audit."""
        passage: Passage | None = self._scope.get(PASSAGE)
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"sistercity-request-id", self._request.encode())]
            if passage is not None:
                passage.answer_begins()
                if self._scope["path"] not in _UNRECORDED:
                    self._start = message
                    return
        elif self._start is not None and passage is not None:
            self._answered = True
            if message.get("more_body"):
                raise RuntimeError("an answer to a partner must come in one piece: its hash goes before it")
            start, self._start = self._start, None
            await self._send_recorded(passage, start, message)
            return
        self._answered = True
        await self._send(message)

    async def _send_recorded(self, passage: Passage, start: Message, content: Message) -> None:
        body: bytes = content.get("body", b"")
        if passage.hashed is not None and passage.hashed[0] is body:
            page = passage.hashed[1]
        elif len(body) > _HASHED_ON_LOOP:
            page = await to_thread.run_sync(lambda: sha256(body).hexdigest())
        else:
            page = sha256(body).hexdigest()
        nothing = start["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR
        metric, first, last = (None, None, None) if nothing else (passage.metric, passage.first, passage.last)
        given = Given(
            at=self._gate.now_ms(),
            request=self._request,
            path=path_of(self._scope),
            metric=metric,
            first=first,
            last=last,
            status=start["status"],
            page=page,
            bytes=len(body),
        )
        try:
            head = await self._gate.record(passage, given)
        except (psycopg.OperationalError, DatabaseRefused):
            refused = answer(UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})
            await refused(self._scope, self._receive, self._send)
            return
        start["headers"].append((b"sistercity-audit", f"{head.sequence} {head.hash}".encode()))
        await self._send(start)
        await self._send(content)
        log_given(given, passage.access.agreement, head)


def log_given(given: Given, agreement: str, head: AuditHead) -> None:
    """Say in the log what was sent, and which line of the audit says so."""
    log.info(
        "%s %d, %d bytes, agreement %s",
        *(given.path, given.status, given.bytes, agreement),
        extra={"request": given.request, "audit": head.sequence},
    )


def request_id(scope: Scope) -> str:
    """The id of a request: the partner's own, or a new one."""
    for name, value in scope["headers"]:
        if name == b"sistercity-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return f"{getrandbits(64):016x}"  # seeded anew in each forked process; it only tells requests apart


def path_of(scope: Scope) -> str:
    """The path as it was sent: percent-encoded, so that an audit line holds nothing that changes how it is read."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "replace")
    return raw.decode("ascii", "replace")[:_LONGEST_PATH]
