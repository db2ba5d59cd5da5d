"""Cameras that send video (RTSP), played by OpenCV's ffmpeg."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from time import monotonic
from urllib.parse import quote, urlsplit, urlunsplit

import cv2
import numpy as np

from ingest.cameras.jpeg import MOST_PIXELS, encoded
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.arrivals import ELSEWHERE, SILENT, TOO_LARGE, Arrival, Away, Limits
from ingest.cameras.live.line import Line

_ANSWER_BYTES = 4_096
_VERSION = b"RTSP/1."
_AGAIN = slice(len(b"RTSP/1.0 "), len(b"RTSP/1.0 3"))


class VideoCamera:
    """Keeps the promises of `ingest.cameras.live.arrivals.Camera` for whatever ffmpeg can play at `url`.

    It decodes every picture, for they build on one another; only those that are owed become JPEG. ffmpeg tells no
    camera's time. OpenCV opens one video of a process at a time, so `ask` is called first: it may raise `Away`.
    """

    def __init__(self, url: str, limits: Limits, ask: Callable[[], None] = lambda: None, line: Line | None = None):
        self._url = url
        self._limits = limits
        self._ask = ask
        self._line = line or Line()
        self._ended = False

    def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
        """See `Camera`."""
        if not due():
            return
        self._ask()
        capture = self._opened()
        try:
            while not self._ended:
                began = monotonic()
                # After a time-out, a decoder may still hold frames of before.
                if not _grabbed(capture) or monotonic() - began >= self._limits.silence_s:
                    raise Away(SILENT)
                yield Arrival(None, partial(_picture, capture))
        finally:
            capture.release()

    def check(self) -> None:
        """See `Camera`. ffmpeg keeps to its own time-outs."""
        self._line.check()

    def cut(self) -> None:
        """See `Camera`. What ffmpeg waits for ends by its own time-out."""
        self._ended = True
        self._line.cut()

    def _opened(self) -> cv2.VideoCapture:
        milliseconds = round(self._limits.silence_s * 1000)
        chosen = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: milliseconds,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: milliseconds,
            cv2.CAP_PROP_N_THREADS: 1,
        }
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, [number for pair in chosen.items() for number in pair])
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not capture.isOpened() or not pixels:
            capture.release()
            raise Away("its video can't be played, or it does not let us in")
        if pixels > MOST_PIXELS:
            capture.release()
            raise Away(TOO_LARGE)
        return capture


def rtsp_camera(address: Address, limits: Limits) -> VideoCamera:
    """The camera at an address of RTSP, which is asked before ffmpeg is let to it."""
    line = Line()
    return VideoCamera(_with_login(address), limits, partial(_ask, address, limits, line), line)


def _ask(address: Address, limits: Limits, line: Line) -> None:
    """See that RTSP is spoken there, and that it does not send us elsewhere: ffmpeg would go. Raises `Away`."""
    line.wait(limits.picture_s)
    try:
        with socket.create_connection((address.host, address.port), limits.silence_s) as connected:
            line.use(connected)
            connected.sendall(f"OPTIONS {address.url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: sistercity\r\n\r\n".encode())
            answer = b""
            while b"\r\n" not in answer and len(answer) < _ANSWER_BYTES:
                if not (more := connected.recv(_ANSWER_BYTES)):
                    break
                answer += more
    except TimeoutError:
        raise Away("it does not answer") from None
    except OSError as error:
        raise Away(f"no connection: {error.strerror or 'its name is not known'}") from None
    finally:
        line.wait(None)
    if not answer.startswith(_VERSION):
        raise Away("it does not speak RTSP")
    if answer[_AGAIN] == b"3":
        raise Away(ELSEWHERE)


def _with_login(address: Address) -> str:
    """The address as ffmpeg wants it, user and password in it. Kept to this process, and silent there."""
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
