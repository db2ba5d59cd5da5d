"""Cameras that speak HTTP: a stream of pictures (MJPEG), or one picture per request.

Only the address itself is requested: redirects, proxies and cookies are not followed, and compressed answers are not
unpacked. No error contains what a camera sent.
"""

import os
import socket
import ssl
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Lock

import httpx

from ingest.cameras.jpeg import LARGEST_PICTURE, fitting
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.challenges import challenges, chosen
from ingest.cameras.live.deadline import SocketDeadline
from ingest.cameras.live.multipart import boundary_of, parts
from ingest.cameras.live.protocol import (
    ELSEWHERE,
    ENDED,
    NO_PICTURE,
    SILENT,
    TOO_LARGE,
    TOO_SLOW,
    Arrival,
    CameraLimits,
    CameraUnavailable,
)
from ingest.cameras.live.timestamps import COARSE_MS, said_by_answer, said_by_part
from ingest.cameras.picture_size import pixel_size
from ingest.cameras.sources import interval_of
from schemas.pictures import JPEG_SIGNATURE

_STREAM = "multipart/"
_PICTURE = "image/"
_OK = 200
_UNAUTHORIZED = 401
_LOCKED = (401, 403)
_HEAD_BYTES = 64 << 10
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",  # many cameras end kept connections at any moment, and the next request then fails
    "User-Agent": "sistercity",
}

_decoding = Lock()


class WebCamera:
    """Implements `ingest.cameras.live.protocol.CameraConnection`. `clock` gives milliseconds since 1970."""

    def __init__(self, address: Address, limits: CameraLimits, clock: Callable[[], int]) -> None:
        self._address = address
        self._limits = limits
        self._clock = clock
        self._interval_ms = interval_of(address.rate)
        self._timeout_s = limits.picture_s + 2 * self._interval_ms / 1000
        self._deadline = SocketDeadline()
        self._digest = httpx.DigestAuth(address.user or "", address.password)

    def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
        with self._client() as client, _fixed_reasons(self._deadline):
            while due():
                with self._get(client) as answer:
                    content_type = answer.headers.get("content-type", "")
                    begun, chunks = _begun(self._chunks(answer))
                    if self._is_stream(content_type, begun):
                        yield from self._stream(chunks, boundary_of(content_type))
                    else:
                        yield self._still(answer, chunks)

    def check(self) -> None:
        self._deadline.check()

    def cut(self) -> None:
        self._deadline.cut()

    def _client(self) -> httpx.Client:
        return httpx.Client(
            follow_redirects=False,
            trust_env=False,
            verify=_trusted(self._address),
            timeout=httpx.Timeout(self._limits.silence_s),
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=0),
            headers=_HEADERS,
        )

    @contextmanager
    def _get(self, client: httpx.Client) -> Iterator[httpx.Response]:
        """The answer to one GET, before its body is read."""
        self._deadline.wait(self._limits.picture_s)
        answer = self._answer(client)
        try:
            if answer.is_redirect:
                raise CameraUnavailable(ELSEWHERE)
            if answer.status_code != _OK:
                refused = "it does not let us in" if answer.status_code in _LOCKED else "it gives no picture"
                raise CameraUnavailable(f"{refused} (status {answer.status_code})")
            yield answer
        finally:
            answer.close()
            self._deadline.wait(None)

    def _answer(self, client: httpx.Client) -> httpx.Response:
        """Send the request, and once more with user and password if the camera requires them.

        Not by httpx's own `auth`, which reads a refusal to its end, however long that is.
        """
        client.cookies.clear()
        request = client.build_request("GET", self._address.url, extensions={"trace": self._deadline.opened})
        if self._address.user is None:
            return client.send(request, stream=True)
        flow = self._digest.auth_flow(request)
        answer = client.send(next(flow), stream=True)
        if answer.status_code != _UNAUTHORIZED:
            return answer
        try:
            second = self._with_login(request, flow, answer)
        except StopIteration:
            return answer
        except Exception:  # httpx raises errors of many kinds for a malformed challenge
            answer.close()
            raise CameraUnavailable("it asks for a login that is not known here") from None
        answer.close()
        return client.send(second, stream=True)

    def _with_login(
        self, request: httpx.Request, flow: Generator[httpx.Request, httpx.Response, None], answer: httpx.Response
    ) -> httpx.Request:
        """The request with a login that the camera accepts. Raises `StopIteration` if there is none to try."""
        offered = challenges(answer.headers.get_list("www-authenticate"))
        challenge = None if offered is None else chosen(offered)
        if challenge is None:
            if offered is None or offered:
                raise ValueError("no challenge that can be answered")
            raise StopIteration
        if challenge.scheme == "basic":
            return next(httpx.BasicAuth(self._address.user or "", self._address.password).auth_flow(request))
        # httpx takes one challenge a header, and the first of them.
        asked = httpx.Response(answer.status_code, headers={"www-authenticate": challenge.header}, request=request)
        return flow.send(asked)

    def _is_stream(self, content_type: str, begun: bytes) -> bool:
        """By its type, or by the first line of its body where the type says nothing of pictures."""
        kind = content_type.lower()
        stream = kind.startswith(_STREAM) or (begun.startswith(b"--") and not kind.startswith(_PICTURE))
        if self._address.kind is not None and stream != (self._address.kind == "mjpeg"):
            raise CameraUnavailable(
                "it gives single pictures, no stream" if not stream else "it gives a stream, no single picture"
            )
        return stream

    def _still(self, answer: httpx.Response, chunks: Iterable[bytes]) -> Arrival:
        length = answer.headers.get("content-length", "")
        if len(length) > 15 or (length.isdecimal() and int(length) > self._limits.bytes):
            raise CameraUnavailable(TOO_LARGE)
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > self._limits.bytes:
                raise CameraUnavailable(TOO_LARGE)
        if not _is_picture(data):
            raise CameraUnavailable(NO_PICTURE)
        said = said_by_answer(answer.headers, self._clock()) if self._interval_ms >= COARSE_MS else None
        return Arrival(said, partial(_fitting, bytes(data)))

    def _stream(self, chunks: Iterable[bytes], boundary: str) -> Iterator[Arrival]:
        self._deadline.wait(self._timeout_s)
        for part in parts(chunks, boundary, self._limits.bytes):
            if _is_picture(part.body):
                self._deadline.wait(self._timeout_s)
                yield Arrival(said_by_part(part.headers), partial(_fitting, part.body))

    def _chunks(self, answer: httpx.Response) -> Iterator[bytes]:
        for chunk in answer.iter_raw():
            if self._deadline.overdue:
                break
            yield chunk
        if self._deadline.overdue:  # then a regular end, too, may be from our own cut
            raise CameraUnavailable(TOO_SLOW)


def _begun(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a body, and all of it; some cameras send line breaks before it, which are left out."""
    begun = b""
    for chunk in chunks:
        begun = (begun + chunk).lstrip(b"\r\n")
        if len(begun) > 1:
            break
    return begun, chain([begun], chunks)


def _fitting(data: bytes) -> bytes:
    """`ingest.cameras.jpeg.fitting`, one picture at a time where it has to decode them, to bound the memory."""
    if data.startswith(JPEG_SIGNATURE) and len(data) <= LARGEST_PICTURE:
        return data
    with _decoding:
        return fitting(data)


def _is_picture(data: bytes | bytearray) -> bool:
    return data.startswith(JPEG_SIGNATURE) or pixel_size(bytes(data[:_HEAD_BYTES])) is not None


def _trusted(address: Address) -> ssl.SSLContext | bool:
    """The `verify` of httpx: which certificate authorities to trust. Without TLS, none need to be loaded."""
    if not address.url.startswith("https:"):
        return False
    if address.ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError):
        raise CameraUnavailable("its ca_file holds no certificate") from None


@contextmanager
def _fixed_reasons(deadline: SocketDeadline) -> Iterator[None]:
    """Turn what httpx raises into `CameraUnavailable`: its own texts contain parts of addresses and of answers."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise CameraUnavailable("it does not answer" if isinstance(error, httpx.ConnectTimeout) else SILENT) from None
    except httpx.ConnectError as error:
        raise CameraUnavailable(_why_not_connected(error)) from None
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
        if deadline.overdue:
            raise CameraUnavailable(TOO_SLOW) from None
        not_http = isinstance(error, httpx.RemoteProtocolError) and "illegal" in str(error)
        raise CameraUnavailable("it does not speak HTTP" if not_http else ENDED) from None


def _why_not_connected(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not accepted"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS"
        if isinstance(cause, socket.gaierror):
            return "its name is not known"
        if isinstance(cause, OSError) and cause.errno:
            return f"no connection: {os.strerror(cause.errno)}"
        cause = cause.__cause__ or cause.__context__
    return "no connection"
