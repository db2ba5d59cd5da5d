"""Simulated cameras: their register, and what they send, with faults on purpose that are counted exactly."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from zlib import crc32

import numpy as np

from ingest.cameras.camera_feed import METRIC, TICK_MS, CameraFeed
from ingest.cameras.jpeg import encoded
from ingest.cameras.rendered import RenderedCamera
from ingest.cameras.senders import FrameSender
from ingest.cameras.sources import Shot, interval_of, time_of
from ingest.cities import City
from ingest.simulated.sources import register_row
from schemas.catalogue import catalogue, sent_in
from schemas.topics import REGIONS

logger = logging.getLogger(__name__)

STILL_METRIC = "traffic.occupancy"
STILL_MS = 10_000
"""From one picture of a still camera to the next."""

STILL_SECONDS = 900.0
"""How long still cameras are replayed, unless another time is given."""

_HOUR_MS = 3_600_000
_QUARTER_MS = 900_000
_MOST_CAMERAS = 100
_FRAMES_PER_FAULT = 30
_TICKS_PER_FLUSH = 10
_MOST_LAG_MS = 10_000

_UNDECODABLE, _STALE, _MISSING = "undecodable", "stale", "missing"
_FAULTS = (_UNDECODABLE, _STALE, _MISSING)


@dataclass(frozen=True, slots=True)
class CameraExpected:
    """Expected outcomes of one camera's pictures; `camera` is the register's number, `expected` are all it owed."""

    camera: int
    expected: int
    seen: int
    undecodable: int
    stale: int
    missing: int


@dataclass(frozen=True, slots=True)
class ExpectedPictures:
    """What was sent, ticks included, and the expected outcomes.

    `readings` are the frames in sound messages, with the `duplicate` (stale) and `rejected` (undecodable, missing) ones
    among them. `messages` include the `dead` ones. `refused` frames, of a camera in no register, became no message.
    Where a detector runs beside the cameras, `readings` are the examined pictures, and only these are sent.
    """

    messages: int
    readings: int
    duplicate: int
    late: int
    rejected: int
    dead: int
    refused: int
    cameras: tuple[CameraExpected, ...]


class SimulatedCameras:
    """`count` video cameras of a city, in districts by population, and one more that is in no register.

    `stills` more give a picture every `STILL_MS`. Raises `ValueError` for less than one video camera or more of either
    kind than one process can draw.
    """

    def __init__(self, city: City, count: int, seed: int, stills: int = 0) -> None:
        if not (1 <= count <= _MOST_CAMERAS and 0 <= stills <= _MOST_CAMERAS):
            problem = f"a simulated city has 1 to {_MOST_CAMERAS} video cameras and at most as many still ones"
            raise ValueError(f"{problem}, not {count} and {stills}")
        self.city = city
        self.count = count
        self.seed = seed
        rng = np.random.default_rng((seed % 2**63, count, crc32(city.id.encode())))
        weights = np.array([district.population for district in city.districts], float)
        self._districts = rng.choice(len(weights), count, p=weights / weights.sum()).tolist()
        marks = np.cumsum(rng.integers(1, 10**10 // (2 * count + 2), 2 * count + 1))
        rng.shuffle(marks)
        prefix = f"SIM-{city.id}-{seed}-{count}"
        names = [f"{prefix}-K{mark:010d}" for mark in marks[: count + 1].tolist()]
        self.ids, self.stray = tuple(names[:count]), names[count]
        self._contributors = [f"{prefix}-P{mark:010d}" for mark in marks[count + 1 :].tolist()]
        self.still_ids = tuple(f"{prefix}-S{number}" for number in range(stills))
        self._still_districts = rng.choice(len(weights), stills, p=weights / weights.sum()).tolist()

    @property
    def origin(self) -> str:
        """The name under which the cameras' refused pictures are kept."""
        return f"simulated/{self.city.id}/{self.seed}/{self.count}/{METRIC}"

    def camera(self, index: int, rate: float) -> RenderedCamera:
        """The camera at this index of `ids`; index `count` is the stray one, and the still ones follow it."""
        return RenderedCamera(self.seed * (_MOST_CAMERAS + 1) + index, self.city.country, rate=rate)

    def register(self) -> Iterator[dict[str, str]]:
        """The rows of the cameras' register file."""
        class_ = catalogue()[METRIC].classes[0]
        for source, district, contributor in zip(self.ids, self._districts, self._contributors, strict=True):
            yield register_row(source, METRIC, self.city.districts[district].id, contributor, class_)
        class_ = catalogue()[STILL_METRIC].classes[0]
        for source, district in zip(self.still_ids, self._still_districts, strict=True):
            yield register_row(source, STILL_METRIC, self.city.districts[district].id, f"{source}-P", class_)


class CameraSimulator:
    """Sends simulated cameras' pictures through a feed, `rate` a second. One thread.

    `clock` gives milliseconds since 1970, and must be within minutes of the log's clock. The same cameras, register,
    rate and clock give the same messages. Without `faults` nothing is sent wrong, and nothing is refused.
    """

    def __init__(
        self,
        cameras: SimulatedCameras,
        feed: CameraFeed,
        clock: Callable[[], int],
        rate: float,
        *,
        faults: bool = True,
    ) -> None:
        self._cameras = cameras
        self._feed = feed
        self._frames = feed.sender if isinstance(feed.sender, FrameSender) else None
        self._clock = clock
        self._rate = rate
        self._interval = interval_of(rate)
        self._faults = faults
        self._stills_every = max(round(STILL_MS / self._interval), 1)
        views = cameras.count + 1 + len(cameras.still_ids)
        self._views = [cameras.camera(index, rate) for index in range(views)]

    def replay(
        self, seconds: float, stop: Event | None = None, *, still_seconds: float = STILL_SECONDS
    ) -> ExpectedPictures:
        """Send a past span of `seconds`, then a tick at the clock's present, which closes all windows of the span.

        Still cameras go on for `still_seconds`, so that they have enough pictures. `stop` ends it early, between two
        pictures. Raises `eventlog.protocol.DeliveryFailed`.
        """
        frames = max(round(seconds * self._rate), 1)
        longest = max(frames, round(still_seconds * 1000 / self._interval)) if self._cameras.still_ids else frames
        begin = self.begin(seconds)
        plans = [self._plan(index, frames) for index in range(self._cameras.count)]
        strays = {0, frames // 2} if self._faults else set()
        broken = frames // 3 if self._faults and self._frames is not None else None
        sent, dead, ticked, ticks = 0, 0, begin, 0
        while sent < longest and not (stop is not None and stop.is_set()):
            at = time_of(sent, self._rate, begin)
            if sent < frames:
                self._send(sent, at, plans)
            self._send_stills(sent, at)
            if sent in strays:
                self._feed.send(self._cameras.stray, self._interval, self._shot(self._cameras.count, sent, at))
            if sent == broken:
                dead += self._send_broken(sent, at)
            sent += 1
            if at - ticked >= TICK_MS:
                self._feed.tick(at)
                ticked, ticks = at, ticks + 1
                if ticks % _TICKS_PER_FLUSH == 0:
                    self._feed.flush()
        self._feed.tick(self._clock())
        self._feed.flush()
        return self._expected(plans, min(sent, frames), -(-sent // self._stills_every), begin, dead)

    def follow(self, stop: Event, first: int = 0) -> None:
        """Send pictures when they are due by the clock, from frame number `first` on, without faults, until `stop`."""
        number, due, ticked = first, self._next(), 0
        while not stop.is_set():
            left = due - self._clock()
            if left > 0:
                stop.wait(min(left / 1000, 1.0))
                continue
            if left < -_MOST_LAG_MS:  # the machine slept: no pictures were taken meanwhile
                logger.warning("the cameras were %d s behind the clock; they go on from now", -left // 1000)
                due = self._next()
                continue
            self._send(number, due)
            self._send_stills(number, due)
            if due - ticked >= TICK_MS:
                self._feed.tick(due)
                self._feed.flush()
                ticked = due
            number, due = number + 1, due + self._interval
        self._feed.flush()

    def begin(self, seconds: float) -> int:
        """The start of a replay, milliseconds: the last full quarter of an hour from which all windows of the span are
        closed by now, at least an hour ago. Windows begin at quarters of an hour in every time zone."""
        longest = max(metric.longest_window_ms + metric.delay_ms for metric in sent_in(REGIONS))
        needed = round(seconds * 1000) + longest
        return (self._clock() - max(needed, _HOUR_MS)) // _QUARTER_MS * _QUARTER_MS

    def _next(self) -> int:
        return -(-self._clock() // self._interval) * self._interval

    def _plan(self, index: int, frames: int) -> Mapping[int, str]:
        """Frame number -> fault, for one camera. Only odd frames have faults: the one before is always sound."""
        odd = np.arange(1, frames, 2)
        each = min(round(frames / _FRAMES_PER_FAULT), len(odd) // len(_FAULTS)) if self._faults else 0
        rng = np.random.default_rng((self._cameras.seed % 2**63, index, frames))
        chosen = rng.choice(odd, each * len(_FAULTS), replace=False).tolist() if each else []
        return dict(zip(chosen, np.repeat(_FAULTS, each).tolist(), strict=True))

    def _send(self, number: int, at: int, plans: Sequence[Mapping[int, str]] = ()) -> None:
        """Send every camera's frame of this number."""
        for index, source in enumerate(self._cameras.ids):
            fault = plans[index].get(number) if plans else None
            self._feed.send(source, self._interval, self._shot(index, number, at, fault))

    def _send_broken(self, number: int, at: int) -> int:
        """Send half of the message of the first camera's frame of this number; how many messages that were."""
        frame = self._feed.frame(self._cameras.ids[0], self._interval, self._shot(0, number, at))
        if self._frames is None or frame is None:
            return 0
        self._frames.send_broken(frame)
        return 1

    def _send_stills(self, number: int, at: int) -> None:
        """Send the still cameras' pictures that are due with the frame of this number."""
        if number % self._stills_every:
            return
        interval = self._stills_every * self._interval
        for index, source in enumerate(self._cameras.still_ids, self._cameras.count + 1):
            self._feed.send(source, interval, self._shot(index, number, at))

    def _shot(self, index: int, number: int, at: int, fault: str | None = None) -> Shot:
        if fault == _MISSING:
            return Shot(number, at, b"")
        view = self._views[index]
        picture = encoded(view.frame(number - 1 if fault == _STALE else number))
        return Shot(number, at, picture[: len(picture) // 2] if fault == _UNDECODABLE else picture)

    def _expected(
        self, plans: Sequence[Mapping[int, str]], sent: int, stills: int, begin: int, dead: int
    ) -> ExpectedPictures:
        """The expected outcomes of `sent` frames of each video camera and `stills` pictures of each still one."""
        cameras = []
        for source, plan in zip(self._cameras.ids, plans, strict=True):
            wrong = {kind: sum(n < sent and fault == kind for n, fault in plan.items()) for kind in _FAULTS}
            camera = self._feed.find(source, begin)
            if camera is None:  # it may have been taken out of the register: all its pictures were refused
                continue
            cameras.append(CameraExpected(camera.number, sent, sent - sum(wrong.values()), **wrong))
        for source in self._cameras.still_ids:
            camera = self._feed.find(source, begin)
            if camera is not None:
                cameras.append(CameraExpected(camera.number, stills, stills, 0, 0, 0))
        return ExpectedPictures(
            messages=self._feed.sender.feed.messages,
            readings=self._feed.sender.feed.readings,
            duplicate=sum(camera.stale for camera in cameras) if self._frames else 0,
            late=0,
            rejected=sum(camera.undecodable + camera.missing for camera in cameras) if self._frames else 0,
            dead=dead,
            refused=self._feed.rows_refused,
            cameras=tuple(cameras),
        )
