"""Cameras that send video (RTSP), played by OpenCV's ffmpeg."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from time import monotonic
from urllib.parse import quote, urlsplit, urlunsplit

import cv2
import numpy as np

from ingest.cameras.jpeg import encoded
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.challenges import challenges
from ingest.cameras.live.deadline import SocketDeadline
from ingest.cameras.live.protocol import ELSEWHERE, SILENT, TOO_LARGE, Arrival, CameraLimits, CameraUnavailable
from schemas.pictures import MOST_PIXELS

_ANSWER_BYTES = 4_096
_VERSION = b"RTSP/1."
_STATUS_CLASS = slice(len(b"RTSP/1.0 "), len(b"RTSP/1.0 3"))


class VideoCamera:
    """Implements `ingest.cameras.live.protocol.CameraConnection` for whatever ffmpeg can play at `url`.

    Every picture is decoded, since most depend on those before; only those that are owed become JPEG. Arrivals have no
    `taken_ms`. OpenCV opens one video at a time in a process, so `probe` is called first, to fail without blocking
    other cameras; it may raise `CameraUnavailable`. What ffmpeg waits for ends by its own time-outs only.
    """

    def __init__(
        self,
        url: str,
        limits: CameraLimits,
        probe: Callable[[], None] = lambda: None,
        deadline: SocketDeadline | None = None,
    ):
        self._url = url
        self._limits = limits
        self._probe = probe
        self._deadline = deadline or SocketDeadline()
        self._ended = False

    def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
        if not due():
            return
        self._probe()
        capture = self._opened()
        try:
            while not self._ended:
                began = monotonic()
                # After a time-out, the decoder may still hold older frames.
                if not _grabbed(capture) or monotonic() - began >= self._limits.silence_s:
                    raise CameraUnavailable(SILENT)
                yield Arrival(None, partial(_picture, capture))
        finally:
            capture.release()

    def check(self) -> None:
        self._deadline.check()

    def cut(self) -> None:
        self._ended = True
        self._deadline.cut()

    def _opened(self) -> cv2.VideoCapture:
        milliseconds = round(self._limits.silence_s * 1000)
        options = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: milliseconds,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: milliseconds,
            cv2.CAP_PROP_N_THREADS: 1,
        }
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, [number for pair in options.items() for number in pair])
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not capture.isOpened() or not pixels:
            capture.release()
            raise CameraUnavailable("its video can't be played, or it does not let us in")
        if pixels > MOST_PIXELS:
            capture.release()
            raise CameraUnavailable(TOO_LARGE)
        return capture


def rtsp_camera(address: Address, limits: CameraLimits) -> VideoCamera:
    """The camera at an address of RTSP, which is probed before ffmpeg connects."""
    deadline = SocketDeadline()
    return VideoCamera(_with_login(address), limits, partial(_probe, address, limits, deadline), deadline)


def _probe(address: Address, limits: CameraLimits, deadline: SocketDeadline) -> None:
    """Check that the address answers in RTSP and does not redirect, since ffmpeg would follow.

    With a login, also that ffmpeg would not show the password where Digest is offered: it reads the first challenge of
    a header only. Raises `CameraUnavailable`.
    """
    deadline.wait(limits.picture_s)
    try:
        answer = _asked(address, "OPTIONS", limits, deadline, b"\r\n")
        if answer.startswith(_VERSION) and address.user is not None and answer[_STATUS_CLASS] != b"3":
            answer = _asked(address, "DESCRIBE", limits, deadline, b"\r\n\r\n")
    except TimeoutError:
        raise CameraUnavailable("it does not answer") from None
    except OSError as error:
        raise CameraUnavailable(f"no connection: {error.strerror or 'its name is not known'}") from None
    finally:
        deadline.wait(None)
    if not answer.startswith(_VERSION):
        raise CameraUnavailable("it does not speak RTSP")
    if answer[_STATUS_CLASS] == b"3":
        raise CameraUnavailable(ELSEWHERE)
    if address.user is not None:
        _check_login(answer)


def _asked(address: Address, method: str, limits: CameraLimits, deadline: SocketDeadline, end: bytes) -> bytes:
    """The answer to a request without a login, at least up to `end`, unless it is too long or ends before."""
    with socket.create_connection((address.host, address.port), limits.silence_s) as connected:
        deadline.use(connected)
        connected.sendall(f"{method} {address.url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: sistercity\r\n\r\n".encode())
        answer = b""
        while end not in answer and len(answer) < _ANSWER_BYTES:
            if not (more := connected.recv(_ANSWER_BYTES)):
                break
            answer += more
    return answer


def _check_login(answer: bytes) -> None:
    """Raise `CameraUnavailable` if Digest is offered where ffmpeg does not see it."""
    lines = answer.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    headers = [text.strip() for name, _, text in pairs if name.strip().lower() == "www-authenticate"]
    offered = challenges(headers)
    seen = any(text.lower().startswith("digest") for text in headers)
    if offered is None or (not seen and any(challenge.scheme == "digest" for challenge in offered)):
        raise CameraUnavailable("it offers Digest in a form that its player does not know, and a password in the clear")


def _with_login(address: Address) -> str:
    """The URL with user and password in it, as ffmpeg takes them. It must not leave this process or be logged."""
    if address.user is None:
        return address.url
    split = urlsplit(address.url)
    login = f"{quote(address.user, safe='')}:{quote(address.password, safe='')}"
    return urlunsplit(split._replace(netloc=f"{login}@{split.netloc}"))


def _grabbed(capture: cv2.VideoCapture) -> bool:
    with suppress(cv2.error):
        return bool(capture.grab())
    return False


def _picture(capture: cv2.VideoCapture) -> bytes:
    with suppress(cv2.error):
        done, frame = capture.retrieve()
        if done and frame is not None and 0 < frame.size <= 3 * MOST_PIXELS:
            return encoded(np.asarray(frame, np.uint8))
    return b""
