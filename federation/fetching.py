"""Asking another city: one GET with a deadline, a limit of size, retries with back-off, and nothing taken on trust.

The answer must be what was asked for: redirects, encodings and other media types are refused.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from errors import OperatorError

log = logging.getLogger(__name__)

_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500))
_LONGEST_ETAG = 200
_TAKEN = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, HTTPStatus.GONE)


class PartnerError(OperatorError):
    """A partner can't be followed: it is away, or says what it must not. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a partner may cost. Times are seconds.

    `deadline_s` bounds one request with its answer, `bytes` the answer. A request is tried `attempts` times; before the
    nth retry it waits for a random part of `backoff_s` * 2^(n-1), at most `backoff_cap_s`. `publications` are asked for
    at a time, and one pull reads at most `pages` pages.
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
class Answer:
    """What a partner answered: 200 with its body and ETag, or 304 or 410 without."""

    status: int
    body: bytes
    etag: str | None


class _Passing(Exception):
    """Something that another attempt may mend."""


def client(limits: FetchLimits) -> httpx.AsyncClient:
    """A client for `fetch`: follows no redirect, and takes nothing from the environment."""
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(limits.silence_s),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sistercity"},
    )


async def fetch(client: httpx.AsyncClient, url: httpx.URL, etag: str | None, limits: FetchLimits) -> Answer:
    """GET `url`. Raises `PartnerError` after the last attempt, or at once for an answer that a retry would not mend."""
    for attempt in range(limits.attempts):
        try:
            async with asyncio.timeout(limits.deadline_s):
                return await _get(client, url, etag, limits)
        except (httpx.TransportError, TimeoutError, _Passing) as error:
            reason = str(error) or type(error).__name__
            if attempt + 1 == limits.attempts:
                raise PartnerError("unreachable", f"{url}: {reason}, {limits.attempts} times") from error
            wait = random.uniform(0, min(limits.backoff_cap_s, limits.backoff_s * 2**attempt))
            log.info("%s: %s; trying again in %.1f s", url, reason, wait)
            await asyncio.sleep(wait)
    raise PartnerError("unreachable", f"{url}: no attempt was allowed")


async def _get(client: httpx.AsyncClient, url: httpx.URL, etag: str | None, limits: FetchLimits) -> Answer:
    headers = {} if etag is None else {"If-None-Match": etag}
    async with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status in _RETRIED or status >= 500:
            raise _Passing(f"status {status}")
        if response.is_redirect and status != HTTPStatus.NOT_MODIFIED:
            raise PartnerError("redirect", f"{url} sends us elsewhere (status {status}); give the address itself")
        if status not in _TAKEN:
            raise PartnerError("refused", f"{url} answered with status {status}")
        if status != HTTPStatus.OK:
            return Answer(status, b"", None)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or response.headers.get("content-encoding", "identity") != "identity":
            raise PartnerError("not-json", f"{url} answered with {media_type or 'no media type'}, not plain JSON")
        return Answer(status, await _body(response, limits.bytes), _etag(response))


async def _body(response: httpx.Response, most: int) -> bytes:
    parts = bytearray()
    async for part in response.aiter_raw():
        parts += part
        if len(parts) > most:
            raise PartnerError("too-large", f"{response.url} sends more than {most} bytes")
    return bytes(parts)


def _etag(response: httpx.Response) -> str | None:
    """The answer's ETag if it can be sent back as it came: a header of ours must not be theirs to break."""
    etag = response.headers.get("etag")
    return etag if etag is not None and etag.isascii() and len(etag) <= _LONGEST_ETAG else None
