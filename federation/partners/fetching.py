"""One request to another city, with a deadline, limits of size and rate, and retries with back-off.

Nothing is taken on trust: redirects, content encodings and other media types than the one asked for are refused.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from federation.partners.connecting import PrivateAddress
from federation.partners.limits import MIB, QUICK_ATTEMPTS, FetchLimits, PartnerError

log = logging.getLogger(__name__)

_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500))
_LONGEST_ETAG = 200
_LONGEST_WAIT_S = 60.0
_SMALL = MIB
"""An answer that is longer needs one of `LARGE` places, and must keep `_SLOWEST`."""
LARGE = 4
_SLOWEST = 64 * 1024
"""Bytes per second of a large answer, after `_PATIENCE_S`."""
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a GET, or a POST of a `form`. `accept` is the media type that the answer must have, `most` its
    bytes. Statuses in `expected` come back without a body; others are errors. Who is not `patient` has another address
    to ask, and gives up soon."""

    url: httpx.URL
    accept: str
    most: int
    etag: str | None = None
    token: str | None = None
    form: Mapping[str, str] | None = None
    expected: tuple[int, ...] = (HTTPStatus.NOT_MODIFIED,)
    patient: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A partner's answer: 200 with its body and ETag, or one of the expected statuses without."""

    status: int
    body: bytes
    etag: str | None
    headers: httpx.Headers = field(default_factory=httpx.Headers)


class Hold:
    """A place among the large answers, which its holder keeps until what it has read is dealt with."""

    def __init__(self) -> None:
        self._held: asyncio.Semaphore | None = None

    async def take(self, places: asyncio.Semaphore) -> None:
        """Wait for a place."""
        await places.acquire()
        self._held = places

    def release(self) -> None:
        """Give the place back, if there is one."""
        if self._held is not None:
            self._held.release()
            self._held = None


class _Temporary(Exception):
    """A failure that may be over at the next attempt, after `wait_s` at the earliest."""

    def __init__(self, words: str, wait_s: float = 0.0) -> None:
        super().__init__(words)
        self.wait_s = wait_s


class Fetcher:
    """Makes requests for many partners. At most `LARGE` answers above 1 MiB are read at a time: that bounds the memory,
    whoever floods."""

    def __init__(self, http: httpx.AsyncClient, limits: FetchLimits) -> None:
        self.limits = limits
        self._http = http
        self._large = asyncio.Semaphore(LARGE)

    async def fetch(self, request: Request, hold: Hold) -> Answer:
        """The answer. Raises `PartnerError` after the last attempt, or at once if another would not help.

        `hold` gives back the place of an answer before, and keeps that of this one if it is large.
        """
        limits, url, begun = self.limits, request.url, time.monotonic()
        most = limits.attempts if request.patient else min(limits.attempts, QUICK_ATTEMPTS)
        for attempt in range(most):
            hold.release()
            try:
                async with asyncio.timeout(limits.deadline_s):
                    return await self._ask(request, hold)
            except PrivateAddress as error:
                words = f"{url}: {error}; SISTERCITY_PARTNER_PRIVATE_ADDRESSES allows it"
                raise PartnerError("private-address", words) from None
            except (httpx.TransportError, TimeoutError, _Temporary) as error:
                reason = _reason(error)
                wait = error.wait_s if isinstance(error, _Temporary) else 0.0
                pause = min(limits.backoff_cap_s, limits.backoff_s * 2**attempt) * random.uniform(0.5, 1)
                # What the partner asks for may be longer than our own patience.
                over = time.monotonic() - begun + (0 if wait else pause) >= limits.patience_s
                if attempt + 1 == most or over:
                    raise PartnerError("unreachable", f"{url}: {reason}, {attempt + 1} times") from error
            wait = max(wait, pause)
            log.info("%s: %s; trying again in %.1f s", url, reason, wait)
            await asyncio.sleep(wait)
        raise PartnerError("unreachable", f"{url}: no attempt was allowed")

    async def _ask(self, request: Request, hold: Hold) -> Answer:
        headers = {"Accept": request.accept}
        if request.etag is not None:
            headers["If-None-Match"] = request.etag
        if request.token is not None:
            headers["Authorization"] = f"Bearer {request.token}"
        method = "GET" if request.form is None else "POST"
        data = None if request.form is None else dict(request.form)
        async with self._http.stream(method, request.url, headers=headers, data=data) as response:
            status = response.status_code
            if status in _RETRIED or status >= 500:
                raise _Temporary(f"status {status}", _retry_after(response))
            if response.is_redirect and status != HTTPStatus.NOT_MODIFIED:
                words = f"{request.url} redirects (status {status}); an address changes by the agreement alone"
                raise PartnerError("redirect", words)
            if status in request.expected:
                said = await _beginning(response) if status == HTTPStatus.BAD_REQUEST else b""
                return Answer(status, said, None, response.headers)
            if status != HTTPStatus.OK:
                word = error_word(await _beginning(response))
                raise PartnerError("refused", f"{request.url} answered with status {status}{word}")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != request.accept or response.headers.get("content-encoding", "identity") != "identity":
                words = f"{request.url} answered with {ascii(media_type)[:50]}, not plain {request.accept}"
                raise PartnerError("media-type", words)
            return Answer(status, await self._body(response, request.most, hold), _etag(response), response.headers)

    async def _body(self, response: httpx.Response, most: int, hold: Hold) -> bytes:
        parts = bytearray()
        stream = response.aiter_raw(64 * 1024)
        async for part in stream:
            parts += part
            _check_size(response, parts, most)
            if len(parts) > _SMALL:
                break
        else:
            return bytes(parts)
        await hold.take(self._large)
        begun, before = time.monotonic(), len(parts)
        async for part in stream:
            parts += part
            _check_size(response, parts, most)
            passed = time.monotonic() - begun
            if passed > _PATIENCE_S and (len(parts) - before) / passed < _SLOWEST:
                raise PartnerError("too-slow", f"{response.url} sends less than {_SLOWEST} bytes a second")
        return bytes(parts)


def _check_size(response: httpx.Response, parts: bytearray, most: int) -> None:
    if len(parts) > most:
        raise PartnerError("too-large", f"{response.url} sends more than {most} bytes")


async def _beginning(response: httpx.Response) -> bytes:
    async for part in response.aiter_raw(2048):
        return part
    return b""


def error_word(said: bytes) -> str:
    """What an answer that is none says of itself, as far as it can be shown: the `error` of OAuth, or nothing."""
    try:
        found = httpx.Response(200, content=said).json()["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" ({ascii(found)[:50]})"


def _reason(error: Exception) -> str:
    """What went wrong, with the remedy if nobody whom we trust vouches for the partner's certificate."""
    reason = str(error) or type(error).__name__
    if "self-signed certificate" in reason or "unable to get local issuer certificate" in reason:
        return f"{reason}; SISTERCITY_PARTNER_CA_FILE names the authorities to trust besides the system's"
    return reason


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _etag(response: httpx.Response) -> str | None:
    """The answer's ETag if it can be sent back in a header; None if it is too long or not ASCII."""
    etag = response.headers.get("etag")
    return etag if etag is not None and etag.isascii() and len(etag) <= _LONGEST_ETAG else None
