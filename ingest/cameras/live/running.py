"""All of a city's running cameras into one feed: a thread waits at each of them, one sends what they give.

A camera that gives no pictures is tried again, ever more seldom, and its log line says so once. Whatever a camera does,
it holds no other up, and what waits of it in memory is bounded (`CameraLimits`, `Owed`).
"""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from ingest.cameras.camera_feed import TICK_MS, CameraFeed
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.owed import Owed
from ingest.cameras.live.protocol import ENDED, NO_PICTURE, Arrival, CameraConnection, CameraLimits, CameraUnavailable
from ingest.cameras.live.video import rtsp_camera
from ingest.cameras.live.web import WebCamera
from ingest.cameras.sources import Shot, interval_of

logger = logging.getLogger(__name__)

_LOOK_S = 0.2
"""Between two looks at what the cameras owe."""

_REPORT_MS = 600_000
_JOIN_S = 0.1
_MORE_PATIENCE_S = 2.0
"""At the end, beyond the limits' silence: threads that wait for nothing but bytes are gone at once."""

Make = Callable[[Address], CameraConnection]


@dataclass(slots=True)
class LiveCounts:
    """What came of running cameras and was not sent: more than they owed, what found no room, and no pictures."""

    extra: int = 0
    crowded: int = 0
    unusable: int = 0

    def __str__(self) -> str:
        return f"{self.extra} more than owed, {self.crowded} without room, {self.unusable} that are no pictures"


class LiveCamera:
    """A thread that waits at one camera, and gives on the pictures that it owes."""

    def __init__(
        self,
        address: Address,
        camera: CameraConnection,
        owed: Owed,
        given: "Given",
        clock: Callable[[], int],
        limits: CameraLimits,
    ) -> None:
        self.address = address
        self.camera = camera
        self.owed = owed
        self.unusable = 0
        self.well: bool | None = None
        """Whether it gives pictures; None before anything is known."""
        self._given = given
        self._clock = clock
        self._limits = limits
        self._stop = Event()
        self._well_since = self._usable_at = 0.0
        self._failures = 0
        self._chance = random.Random()
        self._thread = Thread(target=self._run, daemon=True, name=f"camera {address.number}")

    def start(self) -> None:
        """Begin to wait at the camera."""
        self._thread.start()

    def end(self) -> bool:
        """Tell the thread to end, without waiting for it; whether it has."""
        self._stop.set()
        if self._thread.is_alive():
            self.camera.cut()
            self._thread.join(_JOIN_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._usable_at = monotonic()
                for arrival in self.camera.pictures(self._due):
                    self._came(arrival)
                    if self._stop.is_set():
                        break
                reason = ENDED
            except CameraUnavailable as away:
                reason = away.reason
            except Exception as error:  # one camera's surprise, whatever it is, must not end the others
                reason = f"unexpected {type(error).__name__}"
            if not self._stop.is_set():
                self._went(reason)
                self._stop.wait(self._pause_s())

    def _due(self) -> bool:
        while not self._stop.is_set():
            left_s = (self.owed.due_ms - self._clock()) / 1000
            if left_s <= 0:
                return True
            self._stop.wait(min(left_s, 1.0))  # the clock may be set meanwhile
        return False

    def _came(self, arrival: Arrival) -> None:
        now_ms = self._clock()
        if not self.owed.wanted(now_ms):
            return
        picture = arrival.picture()
        if not picture:
            self._useless()
            return
        self._usable_at = monotonic()
        if self.well is not True:
            self._log(logging.INFO if self.well is None else logging.WARNING, "pictures come")
            self.well, self._well_since = True, self._usable_at
        if shot := self.owed.take(arrival.taken_ms, now_ms, picture):
            self._given.put((self, shot))

    def _useless(self) -> None:
        """Count an answer that is no picture. Raises `CameraUnavailable` if no picture has come for long."""
        self.unusable += 1
        if monotonic() - self._usable_at > self._limits.picture_s + 2 * self.owed.interval_ms / 1000:
            raise CameraUnavailable(NO_PICTURE)

    def _went(self, reason: str) -> None:
        if self.well is not False:
            if self.well and monotonic() - self._well_since >= self._limits.steady_s:
                self._failures = 0
            self._log(logging.WARNING, f"{reason}; trying again until pictures come")
            self.well = False
        self._failures += 1

    def _pause_s(self) -> float:
        longest = min(self._limits.backoff_s * 2.0 ** min(self._failures - 1, 30), self._limits.backoff_cap_s)
        return self._chance.uniform(longest / 2, longest)

    def _log(self, level: int, what: str) -> None:
        logger.log(level, "%s: %s", self.address.label, what)


Given = SimpleQueue[tuple[LiveCamera, Shot]]
"""Pictures on their way from the cameras' threads to the one that sends."""


def run_cameras(
    feed: CameraFeed,
    addresses: Sequence[Address],
    clock: Callable[[], int],
    stop: Event,
    limits: CameraLimits | None = None,
    make: Make | None = None,
) -> LiveCounts:
    """Send what the cameras give, and an empty picture for each that did not come, until `stop`.

    `clock` gives milliseconds since 1970, and must be the log's clock to within minutes. Raises
    `eventlog.protocol.DeliveryFailed`.
    """
    limits = limits or CameraLimits()
    make = make or (lambda address: _made(address, limits, clock))
    given, begin = Given(), clock()
    cameras = []
    for place, address in enumerate(addresses):
        later = interval_of(address.rate) * place // len(addresses)  # not all of them at once
        owed = Owed(address.rate, begin + later)
        cameras.append(LiveCamera(address, make(address), owed, given, clock, limits))
    try:
        for camera in cameras:
            camera.start()
        _send(feed, cameras, given, clock, stop)
    finally:
        _end(cameras, limits)
    while not given.empty():
        _pass_on(feed, *given.get())
    feed.flush()
    return _counts(cameras)


def _send(
    feed: CameraFeed,
    cameras: Sequence[LiveCamera],
    given: Given,
    clock: Callable[[], int],
    stop: Event,
) -> None:
    ticked = reported = clock()
    looked = monotonic()
    while not stop.is_set():
        with suppress(Empty):
            _pass_on(feed, *given.get(timeout=_LOOK_S))
        if monotonic() - looked < _LOOK_S:
            continue
        looked, now = monotonic(), clock()
        _look(feed, cameras, now)
        if abs(now - ticked) >= TICK_MS:
            feed.tick(now)
            feed.flush()
            ticked = now
        if abs(now - reported) >= _REPORT_MS:
            logger.info("%s", _in_words(feed, cameras))
            reported = now


def _pass_on(feed: CameraFeed, camera: LiveCamera, shot: Shot) -> None:
    feed.send(camera.address.source, camera.owed.interval_ms, shot)
    camera.owed.sent(shot)


def _look(feed: CameraFeed, cameras: Sequence[LiveCamera], now_ms: int) -> None:
    """Send an empty picture for each that did not come; end what takes too long."""
    for camera in cameras:
        camera.camera.check()
        for shot in camera.owed.missing(now_ms):
            feed.send(camera.address.source, camera.owed.interval_ms, shot)
    if anew := sum(camera.owed.began_anew() for camera in cameras):
        logger.warning("the clock was set, or this machine slept: %d cameras go on from now", anew)


def _end(cameras: Sequence[LiveCamera], limits: CameraLimits) -> None:
    """Have all threads end; those that wait for something that can't be cut off, as for ffmpeg, get their time."""
    until = monotonic() + limits.silence_s + _MORE_PATIENCE_S
    left = [camera for camera in cameras if not camera.end()]
    while left and monotonic() < until:
        left = [camera for camera in left if not camera.end()]


def _made(address: Address, limits: CameraLimits, clock: Callable[[], int]) -> CameraConnection:
    return rtsp_camera(address, limits) if address.kind == "rtsp" else WebCamera(address, limits, clock)


def _counts(cameras: Sequence[LiveCamera]) -> LiveCounts:
    return LiveCounts(
        extra=sum(camera.owed.extra for camera in cameras),
        crowded=sum(camera.owed.crowded for camera in cameras),
        unusable=sum(camera.unusable for camera in cameras),
    )


def _in_words(feed: CameraFeed, cameras: Sequence[LiveCamera]) -> str:
    well = sum(camera.well is True for camera in cameras)
    return (
        f"{well} of {len(cameras)} cameras give pictures; since the start {feed.counts.pictures} were sent,"
        f" {feed.counts.missing} of them missing; left out: {_counts(cameras)}"
    )
