"""All running cameras of a city into one feed: a thread reads each camera, one thread sends what they deliver.

A camera that delivers no pictures is tried again with growing pauses, and logged once. No camera can delay another,
and the memory that each may use is bounded (`CameraLimits`, `Owed`).
"""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from prometheus_client import Counter, Gauge

from ingest.cameras.camera_feed import TICK_MS, CameraFeed
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.owed import Owed
from ingest.cameras.live.protocol import ENDED, NO_PICTURE, Arrival, CameraConnection, CameraLimits, CameraUnavailable
from ingest.cameras.live.video import rtsp_camera
from ingest.cameras.live.web import WebCamera
from ingest.cameras.sources import Shot, interval_of

logger = logging.getLogger(__name__)

_CHECK_S = 0.2
"""Between two checks of what the cameras owe."""

_REPORT_MS = 600_000
_JOIN_S = 0.1
_GRACE_S = 2.0
"""How much longer than the limits' silence threads may take to end; those that wait for bytes end at once."""

Connect = Callable[[Address], CameraConnection]

CAMERAS = Gauge(
    "sistercity_cameras", "Running cameras, by whether they deliver pictures: delivering, silent", ["state"]
)
PICTURES = Counter(
    "sistercity_camera_pictures", "Pictures that running cameras owed, as they were fetched: sent, missing", ["outcome"]
)


@dataclass(slots=True)
class LiveCounts:
    """Answers of running cameras that were not sent.

    `extra` pictures were more than the camera owed, `crowded` ones came while too many waited to be sent, and
    `unusable` answers were no pictures.
    """

    extra: int = 0
    crowded: int = 0
    unusable: int = 0

    def __str__(self) -> str:
        return f"{self.extra} more than owed, {self.crowded} without room, {self.unusable} that are no pictures"


class LiveCamera:
    """A thread that reads one camera, and puts the pictures that it owes into a queue."""

    def __init__(
        self,
        address: Address,
        connection: CameraConnection,
        owed: Owed,
        queue: "PictureQueue",
        clock: Callable[[], int],
        limits: CameraLimits,
    ) -> None:
        self.address = address
        self.connection = connection
        self.owed = owed
        self.unusable = 0
        self.delivers: bool | None = None
        """Whether it delivers pictures; None before the first picture or failure."""
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._stop = Event()
        self._delivers_since = self._usable_at = 0.0
        self._failures = 0
        self._chance = random.Random()
        self._thread = Thread(target=self._run, daemon=True, name=f"camera {address.number}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> bool:
        """Ask the thread to end, and return whether it has ended; waits at most `_JOIN_S`."""
        self._stop.set()
        if self._thread.is_alive():
            self.connection.cut()
            self._thread.join(_JOIN_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._usable_at = monotonic()
                for arrival in self.connection.pictures(self._due):
                    self._take(arrival)
                    if self._stop.is_set():
                        break
                reason = ENDED
            except CameraUnavailable as unavailable:
                reason = unavailable.reason
            except Exception as error:  # an unforeseen failure of one camera must not end the others
                reason = f"unexpected {type(error).__name__}"
            if not self._stop.is_set():
                self._report_failure(reason)
                self._stop.wait(self._pause_s())

    def _due(self) -> bool:
        while not self._stop.is_set():
            left_s = (self.owed.due_ms - self._clock()) / 1000
            if left_s <= 0:
                return True
            self._stop.wait(min(left_s, 1.0))  # the clock may be set meanwhile
        return False

    def _take(self, arrival: Arrival) -> None:
        now_ms = self._clock()
        if not self.owed.wanted(now_ms):
            return
        picture = arrival.picture()
        if not picture:
            self._count_unusable()
            return
        self._usable_at = monotonic()
        if self.delivers is not True:
            self._log(logging.INFO if self.delivers is None else logging.WARNING, "pictures come")
            self.delivers, self._delivers_since = True, self._usable_at
        if shot := self.owed.take(arrival.taken_ms, now_ms, picture):
            self._queue.put((self, shot))

    def _count_unusable(self) -> None:
        """Count an answer that is no picture. Raises `CameraUnavailable` if no picture has come for long."""
        self.unusable += 1
        if monotonic() - self._usable_at > self._limits.picture_s + 2 * self.owed.interval_ms / 1000:
            raise CameraUnavailable(NO_PICTURE)

    def _report_failure(self, reason: str) -> None:
        if self.delivers is not False:
            if self.delivers and monotonic() - self._delivers_since >= self._limits.steady_s:
                self._failures = 0
            self._log(logging.WARNING, f"{reason}; trying again until pictures come")
            self.delivers = False
        self._failures += 1

    def _pause_s(self) -> float:
        longest = min(self._limits.backoff_s * 2.0 ** min(self._failures - 1, 30), self._limits.backoff_cap_s)
        return self._chance.uniform(longest / 2, longest)

    def _log(self, level: int, what: str) -> None:
        logger.log(level, "%s: %s", self.address.label, what)


PictureQueue = SimpleQueue[tuple[LiveCamera, Shot]]
"""The queue from the cameras' threads to the thread that sends."""


def run_cameras(
    feed: CameraFeed,
    addresses: Sequence[Address],
    clock: Callable[[], int],
    stop: Event,
    limits: CameraLimits | None = None,
    connect: Connect | None = None,
) -> LiveCounts:
    """Send what the cameras deliver, and an empty picture for each that is missing, until `stop`.

    `clock` gives milliseconds since 1970, and must be within minutes of the log's clock. Raises
    `eventlog.protocol.DeliveryFailed`.
    """
    limits = limits or CameraLimits()
    connect = connect or (lambda address: _connection(address, limits, clock))
    queue, begin = PictureQueue(), clock()
    cameras = []
    for place, address in enumerate(addresses):
        delay = interval_of(address.rate) * place // len(addresses)  # so that they are not all due at once
        owed = Owed(address.rate, begin + delay)
        cameras.append(LiveCamera(address, connect(address), owed, queue, clock, limits))
    try:
        for camera in cameras:
            camera.start()
        _send(feed, cameras, queue, clock, stop)
    finally:
        _end(cameras, limits)
    while not queue.empty():
        _send_shot(feed, *queue.get())
    feed.flush()
    return _counts(cameras)


def _send(
    feed: CameraFeed,
    cameras: Sequence[LiveCamera],
    queue: PictureQueue,
    clock: Callable[[], int],
    stop: Event,
) -> None:
    ticked = reported = clock()
    checked = monotonic()
    while not stop.is_set():
        with suppress(Empty):
            _send_shot(feed, *queue.get(timeout=_CHECK_S))
        if monotonic() - checked < _CHECK_S:
            continue
        checked, now = monotonic(), clock()
        _check(feed, cameras, now)
        if abs(now - ticked) >= TICK_MS:
            feed.tick(now)
            feed.flush()
            ticked = now
        if abs(now - reported) >= _REPORT_MS:
            logger.info("%s", _summary(feed, cameras))
            reported = now


def _send_shot(feed: CameraFeed, camera: LiveCamera, shot: Shot) -> None:
    feed.send(camera.address.source, camera.owed.interval_ms, shot)
    camera.owed.sent(shot)
    PICTURES.labels("sent").inc()


def _check(feed: CameraFeed, cameras: Sequence[LiveCamera], now_ms: int) -> None:
    """Send an empty picture for each that is missing; end connections that exceed their limits."""
    for camera in cameras:
        camera.connection.check()
        for shot in camera.owed.missing(now_ms):
            feed.send(camera.address.source, camera.owed.interval_ms, shot)
            PICTURES.labels("missing").inc()
    delivering = sum(camera.delivers is True for camera in cameras)
    CAMERAS.labels("delivering").set(delivering)
    CAMERAS.labels("silent").set(len(cameras) - delivering)
    if restarted := sum(camera.owed.restarted() for camera in cameras):
        logger.warning("the clock was set, or this machine slept: %d cameras go on from now", restarted)


def _end(cameras: Sequence[LiveCamera], limits: CameraLimits) -> None:
    """End all threads. One that waits for what can't be cut off, such as ffmpeg, has until its time-out."""
    until = monotonic() + limits.silence_s + _GRACE_S
    left = [camera for camera in cameras if not camera.end()]
    while left and monotonic() < until:
        left = [camera for camera in left if not camera.end()]


def _connection(address: Address, limits: CameraLimits, clock: Callable[[], int]) -> CameraConnection:
    return rtsp_camera(address, limits) if address.kind == "rtsp" else WebCamera(address, limits, clock)


def _counts(cameras: Sequence[LiveCamera]) -> LiveCounts:
    return LiveCounts(
        extra=sum(camera.owed.extra for camera in cameras),
        crowded=sum(camera.owed.crowded for camera in cameras),
        unusable=sum(camera.unusable for camera in cameras),
    )


def _summary(feed: CameraFeed, cameras: Sequence[LiveCamera]) -> str:
    delivering = sum(camera.delivers is True for camera in cameras)
    return (
        f"{delivering} of {len(cameras)} cameras give pictures; since the start {feed.counts.pictures} were sent,"
        f" {feed.counts.missing} of them missing; left out: {_counts(cameras)}"
    )
