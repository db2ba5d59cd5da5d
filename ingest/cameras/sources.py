"""Sources of pictures: a video file, a folder of images, a rendered camera. Each owes one picture an interval."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ingest.cameras.jpeg import encoded, fitting
from ingest.cameras.rendered import RenderedCamera
from schemas.pictures import MOST_PIXELS

LEAST_RATE = 0.002
MOST_RATE = 60.0
"""Pictures a second. An interval of more than a quarter of an hour fits into no window (R7)."""

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_LARGEST_FILE = 64 << 20
_LONGEST_PROMISE_S = 3600
"""Seconds of missing video that are counted by the header at most: a broken header may promise years."""
_MOST_FRAMES_A_SECOND = 1000.0
_MOST_FRAMES = 2.0**31
_TOLERANCE_MS = 0.5
"""Many containers hold times in whole milliseconds."""
_HEAD_BYTES = 400
_MPEG_PACKET = 188


class NoSource(ValueError):
    """A file or folder that can't be used as a camera; the text says why."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that a camera owed: its number, from 0, and when it was taken, milliseconds since 1970, UTC.

    `picture` is JPEG, or empty if there was none.
    """

    number: int
    start_ms: int
    picture: bytes


class PictureSource(Protocol):
    """A camera's pictures, in the order of time."""

    @property
    def interval_ms(self) -> int:
        """Milliseconds from one picture to the next."""

    @property
    def length_ms(self) -> int:
        """Milliseconds from the first picture to the end of the last one's interval, as far as known beforehand."""

    def shots(self, start_ms: int) -> Iterator[Shot]:
        """All pictures, the first of them taken at `start_ms`."""


def open_source(path: Path, rate: float) -> PictureSource:
    """The video file or folder of images at `path`, at most `rate` pictures a second. Raises `NoSource`."""
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise NoSource(f"a camera gives {LEAST_RATE} to {MOST_RATE:.0f} pictures a second, not {rate}")
    return PictureFolder(path, rate) if path.is_dir() else VideoFile(path, rate)


def interval_of(rate: float) -> int:
    """Milliseconds from one picture to the next."""
    return max(round(1000 / rate), 1)


def time_of(number: int, rate: float, start_ms: int) -> int:
    """When picture `number` was taken, milliseconds. Intervals of no whole milliseconds don't add up to a drift."""
    return start_ms + round(number * 1000 / rate)


class VideoFile:
    """Frames of a video, sampled down to `rate`; a video of fewer frames a second keeps its own rate.

    Implements `PictureSource`; each frame has its own time, also where a video has more frames at one time than at
    another. After a break or an early end, each frame that its header still promised is an empty picture. Raises
    `NoSource` if nothing can be read at all.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        _check_container(path)
        with self._open() as capture:
            self._frames_a_second = float(capture.get(cv2.CAP_PROP_FPS))
            promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            if not 0 < promised < _MOST_FRAMES:  # some containers don't hold it
                promised = sum(1 for _ in iter(partial(_grabbed, capture), False))
            width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not LEAST_RATE <= self._frames_a_second <= _MOST_FRAMES_A_SECOND:
            raise NoSource("the video has no frame rate, or none that is possible")
        if not 0 < width * height <= MOST_PIXELS:
            raise NoSource(f"the video's frames must have at most {MOST_PIXELS} pixels")
        self.rate = min(rate, self._frames_a_second)
        self._promised = int(promised)
        self.interval_ms = interval_of(self.rate)

    @property
    def length_ms(self) -> int:
        """By the header: its frames at the rate of the video as a whole."""
        if not self._promised:
            return 0
        owed = math.floor((self._promised - 1) * self.rate / self._frames_a_second + 1e-6) + 1
        return time_of(owed, self.rate, 0)

    def shots(self, start_ms: int) -> Iterator[Shot]:
        clock, number, grabbed = FrameClock(self._frames_a_second, self.rate), 0, 0
        with self._open() as capture:
            while _grabbed(capture):
                grabbed += 1
                if clock.is_owed(float(capture.get(cv2.CAP_PROP_POS_MSEC))):
                    yield Shot(number, start_ms + round(clock.now_ms), _retrieved(capture))
                    number += 1
        for absent_ms in islice(clock.promised(self._promised - grabbed, self._promised), self._most_missing):
            yield Shot(number, start_ms + round(absent_ms), b"")
            number += 1

    @property
    def _most_missing(self) -> int:
        return math.ceil(_LONGEST_PROMISE_S * self.rate)

    @contextmanager
    def _open(self) -> Iterator[cv2.VideoCapture]:
        capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise NoSource("the file can't be read as a video")
            yield capture
        finally:
            capture.release()


class FrameClock:
    """When the frames of a video were taken, milliseconds since the first, and which of them are owed at `rate`.

    A picture is owed for every multiple of 1 / `rate` seconds: the first frame at that time or later, and no frame
    twice. Times of a file that stand still, go back or leap by more than an hour are replaced by its frame rate.
    """

    def __init__(self, frames_a_second: float, rate: float) -> None:
        self._frame_ms = 1000 / frames_a_second
        self._owed_ms = 1000 / rate
        self._owed = 0
        self._said: float | None = None
        self._longest_ms = self._frame_ms
        self.now_ms = 0.0

    def is_owed(self, said_ms: float) -> bool:
        """Go on to the next frame, with the time that the file says; whether a picture is owed for it."""
        if self._said is not None:
            step = said_ms - self._said
            possible = 0 < step <= 1000 * _LONGEST_PROMISE_S
            self.now_ms += step if possible else self._frame_ms
            self._longest_ms = max(self._longest_ms, step if possible else 0)
        self._said = said_ms
        return self._take(self.now_ms)

    def promised(self, frames: int, of_all: int) -> Iterator[float]:
        """The times of owed pictures among `frames` that the file promised and did not have, at its frame rate.

        None if the file ends where `of_all` frames end: then some frames lasted longer than others.
        """
        begun = self._said is not None
        if begun and of_all * self._frame_ms - self.now_ms <= self._longest_ms + _TOLERANCE_MS:
            return
        last = self.now_ms if begun else -self._frame_ms
        frame = 0
        while True:
            frame = max(frame + 1, math.ceil((self._owed * self._owed_ms - _TOLERANCE_MS - last) / self._frame_ms))
            if frame > frames:
                return
            self._take(last + frame * self._frame_ms)
            yield last + frame * self._frame_ms

    def _take(self, at_ms: float) -> bool:
        if at_ms + _TOLERANCE_MS < self._owed * self._owed_ms:
            return False
        self._owed = math.floor((at_ms + _TOLERANCE_MS) / self._owed_ms) + 1
        return True


class PictureFolder:
    """The images of a folder in the order of their names, one an interval. Implements `PictureSource`.

    A file that is no picture is sent as an empty one, a damaged JPEG as it is. Raises `NoSource` if there are none.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.rate = rate
        self.interval_ms = interval_of(rate)
        files = (file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
        self._files = sorted(files, key=lambda file: file.name)
        if not self._files:
            raise NoSource(f"the folder holds no images ({', '.join(sorted(_SUFFIXES))})")

    @property
    def length_ms(self) -> int:
        return time_of(len(self._files), self.rate, 0)

    def shots(self, start_ms: int) -> Iterator[Shot]:
        for number, file in enumerate(self._files):
            yield Shot(number, time_of(number, self.rate, start_ms), _contents(file))


class Rendered:
    """The first `frames` frames of a rendered camera. Implements `PictureSource`."""

    def __init__(self, camera: RenderedCamera, frames: int) -> None:
        self._camera = camera
        self._frames = frames
        self.interval_ms = interval_of(camera.rate)

    @property
    def length_ms(self) -> int:
        return time_of(self._frames, self._camera.rate, 0)

    def shots(self, start_ms: int) -> Iterator[Shot]:
        for number in range(self._frames):
            yield Shot(number, time_of(number, self._camera.rate, start_ms), encoded(self._camera.frame(number)))


def _check_container(path: Path) -> None:
    """Accept only videos, by their first bytes: OpenCV would also play playlists, which name other files."""
    try:
        if not path.is_file():
            raise NoSource("there is neither a file nor a folder of this name")
        with closing(path.open("rb")) as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise NoSource(f"the file can't be read: {error.strerror}") from None
    known = (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"),
        head[:4] == b"RIFF" and head[8:12] == b"AVI ",
        head.startswith((b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV\x01")),
        len(head) > _MPEG_PACKET and head[0] == head[_MPEG_PACKET] == 0x47,
    )
    if not any(known):
        raise NoSource("the file is no video of a known kind (MP4, MOV, AVI, Matroska, WebM, MPEG, FLV)")


def _grabbed(capture: cv2.VideoCapture) -> bool:
    try:
        return bool(capture.grab())
    except cv2.error:
        return False


def _retrieved(capture: cv2.VideoCapture) -> bytes:
    try:
        done, frame = capture.retrieve()
    except cv2.error:
        return b""
    return encoded(np.asarray(frame, np.uint8)) if done and frame is not None and frame.size else b""


def _contents(file: Path) -> bytes:
    try:
        return fitting(file.read_bytes()) if file.stat().st_size <= _LARGEST_FILE else b""
    except OSError:
        return b""
