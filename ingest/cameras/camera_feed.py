"""The feed of cameras' pictures: each camera is looked up, its pictures are counted and go to a sender."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ingest.cameras.senders import PictureSender
from ingest.cameras.sources import PictureSource, Shot
from ingest.journal import Journal
from ingest.register import UNKNOWN_SOURCE, Register, RegisterEntry
from schemas.catalogue import sent_in
from schemas.frames import Frame
from schemas.topics import REGIONS
from store.deliveries import Refused

METRIC = "traffic.regions"
"""Under this metric the pictures of unknown cameras are refused."""
TICK_MS = 5_000
"""Between two ticks, in the source's time."""

_TICKS_PER_FLUSH = 10
_ROOM = 1 << 16
"""Unknown cameras of one feed that have positions of their own among the refused."""


@dataclass(slots=True)
class PictureCounts:
    """Pictures that cameras owed: `pictures` of known cameras, `missing` of them empty; `refused` of unknown ones."""

    pictures: int = 0
    missing: int = 0
    refused: int = 0


class CameraFeed:
    """Gives the pictures of registered cameras to `sender`, and refuses those of others.

    A camera that is registered for several metrics of pictures serves the first. Pictures of a camera that is not in
    the register are refused under `origin`, which must end in `METRIC`. Only id and time of the first in each second
    are kept, so that an unregistered camera adds at most one row a second; `counts` has all.
    """

    def __init__(self, sender: PictureSender, register: Register, journal: Journal, origin: str) -> None:
        self.sender = sender
        self.counts = PictureCounts()
        self.rows_refused = 0
        self._register = register
        self._journal = journal
        self._origin = origin
        self._metrics = sent_in(REGIONS)
        self._unknown: dict[str, tuple[int, int]] = {}

    def send(self, source: str, interval_ms: int, shot: Shot) -> None:
        """Send what the camera `source` owed. Raises `eventlog.protocol.DeliveryFailed` as the writer does."""
        frame = self.frame(source, interval_ms, shot)
        if frame is None:
            self._refuse(source, shot.start_ms)
            return
        self.counts.pictures += 1
        self.counts.missing += not shot.picture
        self.sender.send(frame)

    def tick(self, time_ms: int) -> None:
        """Tell every partition how far the cameras' time has come. Raises `eventlog.protocol.DeliveryFailed`."""
        self.sender.feed.tick(time_ms)

    def flush(self) -> None:
        """Return when the log has everything and the journal has recorded it. Raises `DeliveryFailed`."""
        self.sender.flush()

    def find(self, source: str, time_ms: int) -> RegisterEntry | None:
        """The camera as it is registered at a time."""
        return self._register.find(self._metrics, source, time_ms)

    def frame(self, source: str, interval_ms: int, shot: Shot) -> Frame | None:
        """A picture with what the register holds of its camera; None for an unknown camera."""
        camera = self.find(source, shot.start_ms)
        if camera is None:
            return None
        return Frame(
            metric=camera.metric.name,
            area=camera.area,
            class_=camera.class_,
            interval=interval_ms,
            start=shot.start_ms,
            camera=camera.number,
            contributor=camera.contributor,
            picture=shot.picture,
            feeder=self.sender.feed.feeder,
        )

    def _refuse(self, source: str, start_ms: int) -> None:
        self.counts.refused += 1
        second = start_ms // 1000
        number, latest = self._unknown.get(source, (len(self._unknown) % _ROOM, -1))
        if second > latest:
            self._unknown[source] = number, second
            original = f"{source},{start_ms}".encode("utf-8", "backslashreplace")
            self._journal.refuse(self._origin, [Refused(second * _ROOM + number, UNKNOWN_SOURCE, original)])
            self.rows_refused += 1


def send_all(
    feed: CameraFeed,
    source: str,
    pictures: PictureSource,
    start_ms: int,
    clock: Callable[[], int],
    *,
    history: bool = False,
    stop: Event | None = None,
) -> bool:
    """Send all pictures of one camera, the first of them taken at `start_ms`, with ticks; whether it came to the end.

    `clock` gives milliseconds since 1970; no tick is ahead of it (R4). With `history` the last tick closes all windows.
    `stop` ends it early, and then the last tick is missing. Raises `eventlog.protocol.DeliveryFailed`.
    """
    ticked, ticks, end = start_ms, 0, start_ms
    for shot in pictures.shots(start_ms):
        feed.send(source, pictures.interval_ms, shot)
        end = shot.start_ms + pictures.interval_ms
        if end - ticked >= TICK_MS:
            feed.tick(min(end, clock()))
            ticked, ticks = end, ticks + 1
            if ticks % _TICKS_PER_FLUSH == 0:
                feed.flush()
        if stop is not None and stop.is_set():
            feed.flush()
            return False
    reach = max(metric.longest_window_ms + metric.lateness_ms for metric in sent_in(REGIONS)) if history else 0
    feed.tick(min(end + reach, clock()))
    feed.flush()
    return True


def origin_of(path: Path) -> str:
    """The name under which refused pictures of a camera's file or folder are kept."""
    name = os.fsencode(path.absolute().name).decode("utf-8", "backslashreplace")
    return f"{name}/{METRIC}"
