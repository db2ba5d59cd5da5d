"""The answer to a GET of a polled source, in a file: with limits of time and of bytes, as sent and unpacked.

Nothing is taken on trust: a redirect is refused, since a secret would go elsewhere, and so is any coding but gzip.
"""

import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import IO

import httpx

LONGEST_WAIT_S = 86_400.0
"""The longest wait that a source may ask for."""
_LONGEST_VALIDATOR = 200
_BLOCK = 64 << 10
_MOST_MEMBERS = 10_000
_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
_VALIDATORS: Mapping[str, str] = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


class PollFailed(Exception):
    """A source gives no answer that can be taken. `reason` is a short, fixed word; the text holds no secret.

    `wait_s`: how long the source asks to be left alone, 0 if it does not say. `status` is that of an answer.
    """

    def __init__(self, reason: str, words: str, wait_s: float = 0.0, status: int = 0) -> None:
        super().__init__(words)
        self.reason = reason
        self.wait_s = wait_s
        self.status = status


@dataclass(frozen=True, slots=True)
class PollLimits:
    """What one poll may cost: seconds with all its pages, and bytes of their bodies, as sent and unpacked."""

    deadline_s: float
    most: int


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """A body in a file. `checksum` is the SHA-256 of what is in it, `size` its bytes; `conditions` are headers that
    ask for it only if it has changed. `links` are the answer's links by relation, `total` the count that it names."""

    path: Path
    checksum: bytes
    size: int
    conditions: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, httpx.URL] = field(default_factory=dict)
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Connecting:
    """How a source is reached. `proxy` is not for this machine itself."""

    trusted: ssl.SSLContext
    proxy: str | None = field(default=None, repr=False)


def client(connecting: Connecting) -> httpx.AsyncClient:
    """A client that follows no redirect and ignores the environment."""
    try:
        return httpx.AsyncClient(
            verify=connecting.trusted,
            proxy=connecting.proxy,
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # the deadline of the poll is for all of it
        )
    except (ValueError, httpx.InvalidURL):
        raise PollFailed("proxy", "SISTERCITY_POLL_PROXY is no URL of a proxy") from None


async def answer(
    http: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str], path: Path, most: int
) -> AnswerPage | None:
    """The answer to a GET, its body at `path`; None if it has not changed. Raises `PollFailed`."""
    sent = {"Accept": "*/*", "User-Agent": "sistercity", **headers, "Accept-Encoding": "gzip"}
    try:
        async with http.stream("GET", url, headers=sent) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED and _is_conditional(headers):
                return None
            _check(response)
            with path.open("wb") as file:
                body = _Body(file, most, packed=_is_packed(response))
                async for chunk in response.aiter_raw(_BLOCK):
                    body.take(chunk)
                body.end()
    except (httpx.TransportError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
        raise PollFailed("unreachable", _words(error)) from None
    checksum, size = _unpacked(path, most)
    return AnswerPage(path, checksum, size, _conditions(response), _links(response), _total(response))


def retry_after(text: str, now: datetime) -> float:
    """Seconds that a header `Retry-After` asks for: a number, or a time; 0 for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), LONGEST_WAIT_S)
    with suppress(ValueError, TypeError, OverflowError):
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)
    return 0.0


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if response.has_redirect_location:
        raise PollFailed("redirect", f"it answers with status {status}, a redirect: list the address that it leads to")
    wait = retry_after(response.headers.get("retry-after", ""), datetime.now(UTC))
    raise PollFailed("status", f"it answers with status {status}", wait, status)


def _is_conditional(headers: Mapping[str, str]) -> bool:
    return any(condition in headers for condition in _VALIDATORS.values())


def _is_packed(response: httpx.Response) -> bool:
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "x-gzip", "identity", ""):
        raise PollFailed("coding", f"its body is coded as {ascii(coding)[:50]}; only gzip was asked for")
    return coding in ("gzip", "x-gzip")


class _Body:
    """Writes a body as it comes, unpacked if it is `packed`. Raises `PollFailed` for more than `most` bytes."""

    def __init__(self, file: IO[bytes], most: int, *, packed: bool) -> None:
        self._file = file
        self._most = most
        self._received = 0
        self._written = 0
        self._unpacking = _Gunzip() if packed else None

    def take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        for part in [chunk] if self._unpacking is None else self._unpacking.parts(chunk):
            self._written += len(part)
            if max(self._received, self._written) > self._most:
                raise too_large(self._most)
            self._file.write(part)

    def end(self) -> None:
        if self._unpacking is not None:
            self._unpacking.end()


class _Gunzip:
    """Unpacks gzip in blocks, however much a little of it unpacks to."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(31)
        self._members = 1

    def parts(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                if self._stream.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        return
                    self._stream = zlib.decompressobj(31)
                    self._members += 1
                    if self._members > _MOST_MEMBERS:
                        raise PollFailed("packed", f"its body has more than {_MOST_MEMBERS} members of gzip")
                part = self._stream.decompress(data, _BLOCK)
                yield part
                data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
                if not data and len(part) < _BLOCK:
                    return
        except zlib.error as error:
            raise PollFailed("packed", f"its body is not gzip, as it says: {error}") from None

    def end(self) -> None:
        if not self._stream.eof:
            raise PollFailed("packed", "its body is cut: gzip that does not end")


def too_large(most: int) -> PollFailed:
    """What is said of an answer that is longer than its source may send."""
    return PollFailed("too-large", f"it sends more than {most >> 20} MB, as sent or unpacked: see most_mb")


def _unpacked(path: Path, most: int) -> tuple[bytes, int]:
    """Checksum and size of a file, which is unpacked first if it is packed as a whole. Raises `PollFailed`."""
    with path.open("rb") as file:
        if file.read(2) == _GZIP:
            copy = path.with_name(f"{path.name}.unpacked")
            file.seek(0)
            with copy.open("wb") as out:
                body = _Body(out, most, packed=True)
                while block := file.read(_BLOCK):
                    body.take(block)
                body.end()
            copy.replace(path)
    digest, size = sha256(), 0
    with path.open("rb") as file:
        if file.read(4).startswith((_GZIP, *_ZIP)):
            raise PollFailed("packed", "its body is a zip archive, or packed twice: gzip once is unpacked")
        file.seek(0)
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.digest(), size


def _conditions(response: httpx.Response) -> Mapping[str, str]:
    found = {condition: response.headers.get(name, "") for name, condition in _VALIDATORS.items()}
    return {key: text for key, text in found.items() if text and text.isascii() and len(text) <= _LONGEST_VALIDATOR}


def _links(response: httpx.Response) -> Mapping[str, httpx.URL]:
    found: dict[str, httpx.URL] = {}
    for relation, link in response.links.items():
        with suppress(httpx.InvalidURL, KeyError, ValueError):
            found[str(relation)] = response.url.join(link["url"])
    return found


_TOTALS: Sequence[str] = ("ngsild-results-count", "fiware-total-count", "x-total-count")


def _total(response: httpx.Response) -> int | None:
    texts = [response.headers[name] for name in _TOTALS if name in response.headers]
    return int(texts[0]) if texts and texts[0].isascii() and texts[0].isdigit() and len(texts[0]) < 12 else None


def _words(error: BaseException) -> str:
    """What went wrong, without the address; with the remedy if nobody whom we trust vouches for the certificate."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text or "self-signed" in text:
        return f"{text}; ca_file names the authorities to trust"
    return text
