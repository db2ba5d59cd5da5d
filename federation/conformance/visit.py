"""A visit of a partner to a node: requests, and what came of them, kept for the checks that follow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
from joserfc.jwk import OKPKey

from errors import OperatorError
from federation.access.assertion import assertion
from federation.agreements.document import Agreement, Terms
from federation.identity.document import Identity, open_identity
from federation.publications.entries import PublicationEntry, entry_of
from federation.publications.heads import SignedHead, open_head
from federation.strict_json import BadJson, loads

_MOST_PAGES = 1000
_MOST_WAITS = 3
"""For one request."""
LONGEST_WAIT_S = 60
_LONGEST_LIMIT_S = 3600
_PATIENCE_S = 600
"""Of a visit, in all."""
TOKEN_FORM = {
    "grant_type": "client_credentials",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}


class NotAsPromised(OperatorError):
    """The node does not do what docs/wire.md says; the text says what it did."""


class NotTried(OperatorError):
    """A check could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who tries a node: the private access key and the identity's thumbprint of one party of an agreement."""

    access_key: OKPKey
    thumbprint: str
    agreement: Agreement


@dataclass(slots=True)
class Visit:
    """A visit. `url` ends with a slash; without `guest` only what is public can be tried. `clock` gives the time in ms
    since 1970, UTC, and `wait` lets seconds pass.

    `most_bytes` and `deadline_s` bound one answer; after one that takes too long, nothing more is asked. After a 429 or
    503 it waits as `Retry-After` says, a few times; if that does not help, nothing more is asked either. At most
    `most_requests` a minute are made to reach a limit.
    """

    http: httpx.AsyncClient
    url: str
    clock: Callable[[], int]
    guest: Guest | None = None
    most_bytes: int = 64 * 2**20
    deadline_s: float = 30.0
    most_requests: int = 120
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    _given_up: str = ""
    _waited_s: int = 0
    _token: str | None = None
    _identity: Identity | None = None
    _head: SignedHead | None = None
    _entries: list[tuple[PublicationEntry, bytes]] = field(default_factory=list)

    @property
    def now_ms(self) -> int:
        """The time, in ms since 1970, UTC."""
        return self.clock()

    @property
    def partner(self) -> Guest:
        """The guest. Raises `NotTried` if there is none."""
        if self.guest is None:
            raise NotTried("needs an agreement and an access key")
        return self.guest

    @property
    def terms(self) -> Terms:
        """What the node gives, and how much of it. Raises `NotTried` if that is nothing."""
        partner = self.partner
        own = partner.agreement.party(partner.thumbprint)
        terms = partner.agreement.received_by(own.city)
        if terms is None:
            raise NotTried("the agreement gives nothing in this direction")
        return terms

    @property
    def granted(self) -> tuple[str, ...]:
        """The metrics that the node gives. Raises `NotTried` if there is none."""
        return self.terms.metrics

    async def get(self, path: str, *, token: str | None = None, **headers: str) -> httpx.Response:
        """The answer to GET, read whole. Headers are named with underscores. Raises `NotAsPromised`."""
        return await self.request("GET", path, headers=_headers(token, headers))

    async def get_once(self, path: str, *, token: str | None = None, **headers: str) -> httpx.Response:
        """The same, whatever the answer is: 429 and 503 are not waited for."""
        return await self._once("GET", path, _headers(token, headers), None)

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer to a request, read whole, with a limit of time and size. Raises `NotAsPromised`."""
        return await self._patiently(f"{method} /{path}", lambda: self._once(method, path, headers, data))

    async def read(self, path: str, **headers: str) -> httpx.Response:
        """The answer to GET with a token."""
        return await self.get(path, token=await self.token(), **headers)

    async def ask_token(self, **changed: str) -> httpx.Response:
        """The answer to a request for a token, by a new assertion unless another is given."""
        return await self._patiently("POST /v1/token", lambda: self._ask_token_once(changed))

    async def _ask_token_once(self, changed: Mapping[str, str]) -> httpx.Response:
        partner = self.partner
        audience = partner.agreement.other(partner.thumbprint).thumbprint
        form = {
            **TOKEN_FORM,
            "client_assertion": assertion(partner.access_key, partner.thumbprint, audience, self.now_ms),
            "scope": partner.agreement.id,
            **changed,
        }
        return await self._once("POST", "v1/token", None, {name: value for name, value in form.items() if value})

    async def _patiently(self, asked: str, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """What comes of asking, again after the time that a 429 or 503 names."""
        for waits in range(_MOST_WAITS + 1):
            answer = await ask()
            if answer.status_code not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                return answer
            wait_s = seconds_to_wait(asked, answer)
            if wait_s > LONGEST_WAIT_S or self._waited_s + wait_s > _PATIENCE_S:
                raise NotTried(f"{asked} answers with {answer.status_code}, to be asked again after {wait_s} s")
            if waits < _MOST_WAITS:
                self._waited_s += wait_s
                await self.wait(wait_s)
        self._given_up = f"{asked} answered with {answer.status_code} again and again"
        raise NotAsPromised(f"{asked} answers with {answer.status_code}, also after Retry-After, {_MOST_WAITS} times")

    async def _once(
        self, method: str, path: str, headers: Mapping[str, str] | None, data: Mapping[str, str] | None
    ) -> httpx.Response:
        if self._given_up:
            raise NotTried(self._given_up)
        content = bytearray()
        try:
            async with asyncio.timeout(self.deadline_s):
                async with self.http.stream(method, self.url + path, headers=headers, data=data) as response:
                    async for part in response.aiter_raw():
                        content += part
                        if len(content) > self.most_bytes:
                            raise NotAsPromised(f"{method} /{path} answers with more than {self.most_bytes:,} bytes")
        except TimeoutError:
            self._given_up = "the node took too long before"
            raise NotAsPromised(f"{method} /{path} takes longer than {self.deadline_s:g} s") from None
        except httpx.TransportError as error:
            raise NotAsPromised(f"{method} /{path}: {str(error) or type(error).__name__}") from None
        left = {name: value for name, value in response.headers.items() if name != "content-encoding"}
        expect("content-encoding" not in response.headers, f"{method} /{path} is encoded, which nobody asked for")
        return httpx.Response(response.status_code, headers=left, content=bytes(content))

    async def token(self) -> str:
        """The token of this visit. Raises `NotTried` if the node gives none."""
        if self._token is None:
            answer = await self.ask_token()
            if answer.status_code != 200:
                raise NotTried(f"needs a token, and /v1/token answered with {answer.status_code}")
            self._token = str(json_of(answer)["access_token"])
        return self._token

    async def identity(self) -> Identity:
        """The node's identity: the one that the agreement names, if there is one."""
        if self._identity is None:
            answer = await self.get("v1/identity")
            expect(answer.status_code == 200, f"/v1/identity answers with {answer.status_code}")
            partner = self.guest
            pinned = partner.agreement.other(partner.thumbprint).thumbprint if partner else None
            self._identity = open_identity(answer.text, pinned=pinned, now_ms=self.now_ms)
        return self._identity

    async def head(self) -> SignedHead:
        """The node's head, as it was at the first time."""
        if self._head is None:
            self._head = await self.newest_head()
        return self._head

    async def newest_head(self) -> SignedHead:
        """The node's head, as it is now."""
        answer = await self.read("v1/head")
        expect(answer.status_code == 200, f"/v1/head answers with {answer.status_code}")
        return open_head(answer.text, await self.identity(), self.now_ms)

    async def entries(self) -> list[tuple[PublicationEntry, bytes]]:
        """All entries, with their lines, in the order in which they are given."""
        if not self._entries:
            for line in await self.pages("v1/entries?limit=1000"):
                self._entries.append((entry_of(line), line))
        return self._entries

    async def pages(self, path: str) -> list[bytes]:
        """The lines of all pages, from the first to the empty one at the end."""
        found: list[bytes] = []
        following: str | None = None
        for _ in range(_MOST_PAGES):
            answer = await self.read(path if following is None else f"{path}&after={following}")
            lines = lines_of(answer)
            expect("sistercity-next" in answer.headers, f"/{path} has no Sistercity-Next")
            expect(not lines or answer.headers["sistercity-next"] != following, f"/{path}: its cursor stands still")
            following = answer.headers["sistercity-next"]
            found += lines
            if not lines:
                return found
        raise NotAsPromised(f"/{path} has no end")


def expect(holds: object, words: str) -> None:
    """Raise `NotAsPromised` with these words unless it holds."""
    if not holds:
        raise NotAsPromised(words)


def seconds_to_wait(asked: str, answer: httpx.Response) -> int:
    """What `Retry-After` says, in whole seconds. Raises `NotAsPromised`."""
    text = answer.headers.get("retry-after", "")
    status = answer.status_code
    expect(text, f"{asked} answers with {status} without Retry-After")
    said = f"{asked} answers with {status} and Retry-After {text[:50]!r}"
    expect(text.isascii() and text.isdigit() and len(text) < 10, f"{said}: no whole seconds")
    expect(1 <= int(text) <= _LONGEST_LIMIT_S, f"{said}: no limit is so long")
    return int(text)


def json_of(answer: httpx.Response, media_type: str = "application/json") -> dict[str, object]:
    """The object in an answer. Raises `NotAsPromised`."""
    given = answer.headers.get("content-type", "").partition(";")[0]
    status = answer.status_code
    expect(given == media_type, f"the answer is {given or 'of no media type'} (status {status}), not {media_type}")
    try:
        found = loads(answer.content)
    except BadJson as error:
        raise NotAsPromised(f"the answer is {error}") from None
    expect(isinstance(found, dict), "the answer is no object")
    return dict(found)


def lines_of(answer: httpx.Response) -> list[bytes]:
    """The lines of an answer of JSON Lines, without their ends. Raises `NotAsPromised`."""
    expect(answer.status_code == 200, f"a page answers with {answer.status_code}")
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    expect(media_type == "application/jsonl", f"a page is {media_type or 'of no media type'}, not application/jsonl")
    expect(not answer.content or answer.content.endswith(b"\n"), "a page ends within a line")
    return answer.content.split(b"\n")[:-1]


def problem(answer: httpx.Response, *statuses: int) -> None:
    """Raise `NotAsPromised` unless the answer is an RFC 9457 problem of one of these statuses."""
    expect(answer.status_code in statuses, f"the status is {answer.status_code}, not {' or '.join(map(str, statuses))}")
    said = json_of(answer, "application/problem+json").get("status", answer.status_code)
    expect(said == answer.status_code, "the problem names another status than the answer's")


def _headers(token: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    return named
