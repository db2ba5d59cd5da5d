"""Readings over HTTP: whose token it is, then the body, then an answer when the log has it.

A body is read only for a sender who has shown its token, and only while there is room for it: bodies in memory have a
limit together, unpacked ones, too.
"""

import asyncio
import hashlib
import hmac
import json
import math
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import answer, problem
from federation.wire import Problem

REQUESTS = Counter("sistercity_push_requests", "Requests of senders, by status", ["status"])

LONGEST = 16 << 20
"""Bytes of a body, as it is sent and unpacked."""
MOST_TOGETHER = 64 << 20
AT_ONCE = 64
"""Requests of one source that are being answered."""
_BODY_S = 20.0
_ANSWER_S = 60.0
_BLOCK = 64 << 10
_MOST_MEMBERS = 10_000
_LONGEST_KEY = 200
_SOON, _LATER = "1", "5"
_CLOSE = {"Connection": "close"}

UNKNOWN = problem(401, "unknown-sender", "Not a sender's token", "Send `Authorization: Bearer` with a source's token.")
NO_ROUTE = problem(404, "no-such-route", "No such address", "Readings go by POST to /v1/readings.")
METHOD = problem(405, "method", "Only POST", "Readings go by POST to /v1/readings.")
LONG = problem(413, "too-long", "The body is too long", f"Send at most {LONGEST >> 20} MB, unpacked.")
TYPE = problem(415, "media-type", "Not a type that this source sends", "See docs/push.md for the types of a source.")
CODING = problem(415, "content-coding", "Not a known coding", "Send the body as it is, or with Content-Encoding: gzip.")
GZIP = problem(422, "gzip", "Not gzip", "The body is not whole, is no gzip, or has more than 10,000 members of it.")
SLOW = problem(408, "too-slow", "The body came too slowly", "Send it at once.")
KEY = problem(422, "key", "The key was used", "This Idempotency-Key came with another body: use a new one.")
KEY_FORM = problem(422, "key-form", "Not a key", f"An Idempotency-Key is 1 to {_LONGEST_KEY} printable characters.")
MANY = problem(429, "too-many", "Too many requests", "This source has too many requests: wait, and send more in each.")
AWAY = problem(503, "unavailable", "Try again later", "The readings are not taken. Send them again: they count once.")


class Taken(Protocol):
    """What became of a body; see `ingest.live.inbox.DeliveryAnswer`."""

    @property
    def taken(self) -> bool: ...
    @property
    def words(self) -> str: ...
    @property
    def refused(self) -> Sequence[tuple[int, str]]: ...
    @property
    def count(self) -> int: ...
    @property
    def key_used(self) -> bool: ...


class Inlet(Protocol):
    """Where bodies go; see `ingest.live.inbox.Inbox`."""

    def put(self, content: bytes, name: str, answer: Callable[[Taken], None], key: str) -> bool: ...


@dataclass(slots=True)
class Sender:
    """One source: SHA-256 of its tokens, the media types that it sends, requests a second; 429 beyond."""

    name: str
    tokens: Sequence[bytes]
    types: Collection[str]
    inlet: Inlet
    rate: float
    running: int = 0
    _credit: float = 0.0
    _asked: float = -math.inf

    def may(self, now: float) -> bool:
        """Whether one more request is within its rate, which then is used."""
        self._credit = min(max(self.rate, 1.0), self._credit + (now - self._asked) * self.rate)
        self._asked = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class _Refused(Exception):
    def __init__(self, answer: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.answer, self.headers = answer, headers


class PushApp:
    """An ASGI app. `clock` gives seconds; a body may take `body_s` of them."""

    def __init__(
        self, senders: Sequence[Sender], clock: Callable[[], float] = time.monotonic, body_s: float = _BODY_S
    ) -> None:
        self._senders = senders
        self._clock = clock
        self._body_s = body_s
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        status = 202
        try:
            sender = self._sender(scope)
            body = await self._answered(sender, scope, receive)
            response: ASGIApp = _Json(202, body)
        except _Refused as refused:
            status = refused.answer.status
            response = answer(refused.answer, refused.headers)
        REQUESTS.labels(str(status)).inc()
        await response(scope, receive, send)

    def _sender(self, scope: Scope) -> Sender:
        if scope["path"] != "/v1/readings":
            raise _Refused(NO_ROUTE)
        kind, _, token = _header(scope, b"authorization").partition(" ")
        given = hashlib.sha256(token.strip().encode("latin-1")).digest()
        # Every hash is compared, so that the time says nothing of which one was nearly it.
        fitting = [
            sender for sender in self._senders if sum(hmac.compare_digest(given, token) for token in sender.tokens)
        ]
        if kind.lower() != "bearer" or not fitting:
            raise _Refused(UNKNOWN, {"WWW-Authenticate": "Bearer"})
        if scope["method"] != "POST":
            raise _Refused(METHOD, {"Allow": "POST"})
        return fitting[0]

    async def _answered(self, sender: Sender, scope: Scope, receive: Receive) -> bytes:
        """The body of the answer, when the log has the readings. Raises `_Refused`."""
        media = _header(scope, b"content-type").partition(";")[0].strip().lower()
        coding = _header(scope, b"content-encoding").strip().lower()
        key = _header(scope, b"idempotency-key")
        if media not in sender.types:
            raise _Refused(TYPE, {"Accept": ", ".join(sorted(sender.types))})
        if coding not in ("", "identity", "gzip"):
            raise _Refused(CODING, {"Accept-Encoding": "gzip"})
        if key and not (len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
            raise _Refused(KEY_FORM)
        if sender.running >= AT_ONCE or not sender.may(self._clock()):
            raise _Refused(MANY, {"Retry-After": _SOON})
        sender.running += 1
        held = _Held(self)
        try:
            content = await _read(receive, held, _length(scope), self._body_s)
            if coding == "gzip":
                content = _unpacked(content, held)
            return await self._taken(sender, key, content)
        finally:
            sender.running -= 1
            held.release()

    async def _taken(self, sender: Sender, key: str, content: bytes) -> bytes:
        found = await _asked(sender.inlet, content, key)
        if found.key_used:
            raise _Refused(KEY)
        if not found.taken:
            detail = f"Nothing of it is taken: {found.words}"
            raise _Refused(problem(422, "unreadable", "The body cannot be read", detail))
        refused = [{"position": position, "reason": reason} for position, reason in found.refused]
        return json.dumps({"refused_count": found.count, "refused": refused}).encode()


class _Held:
    """The bytes that one request holds, as a part of what all may hold."""

    def __init__(self, app: PushApp) -> None:
        self._app = app
        self._bytes = 0

    def add(self, count: int) -> None:
        """Raises `_Refused` if there is no room."""
        if self._bytes + count > LONGEST * 2:
            raise _Refused(LONG, _CLOSE)
        if self._app._bytes + count > MOST_TOGETHER:
            raise _Refused(AWAY, {"Retry-After": _SOON, **_CLOSE})  # the rest of the body is not read
        self._bytes += count
        self._app._bytes += count

    def release(self) -> None:
        self._app._bytes -= self._bytes
        self._bytes = 0


class _Json:
    def __init__(self, status: int, body: bytes) -> None:
        self._status, self._body = status, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(self._body)).encode())]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


async def _asked(inlet: Inlet, content: bytes, key: str) -> Taken:
    """What became of it. Raises `_Refused` if the log is away, or there is no room."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Taken] = loop.create_future()

    def settle(found: Taken) -> None:
        if not future.done():
            future.set_result(found)

    def answered(found: Taken) -> None:
        loop.call_soon_threadsafe(settle, found)

    name = key or hashlib.sha256(content).hexdigest()[:32]
    if not inlet.put(content, name, answered, key):
        raise _Refused(AWAY, {"Retry-After": _LATER})
    try:
        async with asyncio.timeout(_ANSWER_S):
            found = await future
    except TimeoutError:
        raise _Refused(AWAY, {"Retry-After": _LATER}) from None
    if not found.taken and not found.words and not found.key_used:
        raise _Refused(AWAY, {"Retry-After": _LATER})
    return found


async def _read(receive: Receive, held: _Held, length: int | None, limit_s: float) -> bytes:
    if length is not None and length > LONGEST:
        raise _Refused(LONG, _CLOSE)
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Refused(SLOW, _CLOSE)  # the client has gone
                part = message.get("body", b"")
                held.add(len(part))
                body += part
                if len(body) > LONGEST:
                    raise _Refused(LONG, _CLOSE)
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise _Refused(SLOW, _CLOSE) from None


def _unpacked(content: bytes, held: _Held) -> bytes:
    """The content of gzip, one member or several. Raises `_Refused` beyond `LONGEST`, or if it is none.

    Each member that ends leaves a copy of what follows it, so the content goes in blocks, and members have a limit.
    """
    found = bytearray()
    members = 0
    unpacking = None
    for begin in range(0, len(content), _BLOCK):
        left = content[begin : begin + _BLOCK]
        while left:
            if unpacking is None:
                members += 1
                unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                found += unpacking.decompress(left, LONGEST + 1 - len(found))
            except zlib.error:
                raise _Refused(GZIP) from None
            if len(found) > LONGEST:
                raise _Refused(LONG, _CLOSE)
            left = unpacking.unused_data
            if unpacking.eof:
                unpacking = None
            if members > _MOST_MEMBERS:
                raise _Refused(GZIP)
    if unpacking is not None:
        raise _Refused(GZIP)
    held.add(len(found))
    return bytes(found)


def _header(scope: Scope, wanted: bytes) -> str:
    """A header's value; empty if there is none, or more than one."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return values[0] if len(values) == 1 else ""


def _length(scope: Scope) -> int | None:
    text = _header(scope, b"content-length")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
