"""GET from another city, with a deadline, a limit of size and retries with back-off.

Nothing is taken on trust: redirects, content encodings and media types other than JSON are refused.
"""

import asyncio
import logging
import random
import ssl
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import httpx

from federation.partners.limits import PartnerError

log = logging.getLogger(__name__)

_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500))
_LONGEST_ETAG = 200
_ACCEPTED = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, HTTPStatus.GONE)


@dataclass(frozen=True, slots=True)
class UnsignedLimits:
    """Limits of what a partner may cost. Times are seconds.

    `deadline_s` bounds one request with its answer, `bytes` the answer. A request is tried `attempts` times; before the
    nth retry it waits for a random part of `backoff_s` * 2^(n-1), at most `backoff_cap_s`. A page has at
    most `publications`, and a pull reads at most `pages` pages.
    """

    bytes: int = 32 * 2**20
    deadline_s: float = 120.0
    silence_s: float = 30.0
    attempts: int = 5
    backoff_s: float = 0.5
    backoff_cap_s: float = 30.0
    publications: int = 100
    pages: int = 10_000


@dataclass(frozen=True, slots=True)
class UnsignedAnswer:
    """A partner's answer: 200 with its body and ETag, or 304 or 410 without."""

    status: int
    body: bytes
    etag: str | None


class _Temporary(Exception):
    """A failure that may be over at the next attempt."""


def client(limits: UnsignedLimits) -> httpx.AsyncClient:
    """A client for `fetch`: follows no redirect, and ignores proxies and other settings of the environment."""
    return httpx.AsyncClient(
        verify=_trusted(),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(limits.silence_s),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sistercity"},
    )


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that a partner's certificate may come from. Reading them takes longer than most requests."""
    return httpx.create_ssl_context(trust_env=False)


async def fetch(client: httpx.AsyncClient, url: httpx.URL, etag: str | None, limits: UnsignedLimits) -> UnsignedAnswer:
    """GET `url`. Raises `PartnerError` after the last attempt, or at once if another attempt would not help."""
    for attempt in range(limits.attempts):
        try:
            async with asyncio.timeout(limits.deadline_s):
                return await _get(client, url, etag, limits)
        except (httpx.TransportError, TimeoutError, _Temporary) as error:
            reason = str(error) or type(error).__name__
            if attempt + 1 == limits.attempts:
                raise PartnerError("unreachable", f"{url}: {reason}, {limits.attempts} times") from error
            wait = random.uniform(0, min(limits.backoff_cap_s, limits.backoff_s * 2**attempt))
            log.info("%s: %s; trying again in %.1f s", url, reason, wait)
            await asyncio.sleep(wait)
    raise PartnerError("unreachable", f"{url}: no attempt was allowed")


async def _get(client: httpx.AsyncClient, url: httpx.URL, etag: str | None, limits: UnsignedLimits) -> UnsignedAnswer:
    headers = {} if etag is None else {"If-None-Match": etag}
    async with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status in _RETRIED or status >= 500:
            raise _Temporary(f"status {status}")
        if response.is_redirect and status != HTTPStatus.NOT_MODIFIED:
            raise PartnerError("redirect", f"{url} redirects (status {status}); give the address that it redirects to")
        if status not in _ACCEPTED:
            raise PartnerError("refused", f"{url} answered with status {status}")
        if status != HTTPStatus.OK:
            return UnsignedAnswer(status, b"", None)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or response.headers.get("content-encoding", "identity") != "identity":
            raise PartnerError("not-json", f"{url} answered with {media_type or 'no media type'}, not plain JSON")
        return UnsignedAnswer(status, await _body(response, limits.bytes), _etag(response))


async def _body(response: httpx.Response, most: int) -> bytes:
    parts = bytearray()
    async for part in response.aiter_raw():
        parts += part
        if len(parts) > most:
            raise PartnerError("too-large", f"{response.url} sends more than {most} bytes")
    return bytes(parts)


def _etag(response: httpx.Response) -> str | None:
    """The answer's ETag if it can be sent back in a header; None if it is too long or not ASCII."""
    etag = response.headers.get("etag")
    return etag if etag is not None and etag.isascii() and len(etag) <= _LONGEST_ETAG else None
