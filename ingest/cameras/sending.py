"""Cameras' pictures into the log, or, where a detector runs beside the camera, only what was found in them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Writer
from ingest.batches import Message
from ingest.cameras.sources import Shot, Source
from ingest.feed import Feed
from ingest.journal import Journal
from ingest.register import UNKNOWN_SOURCE, Register
from schemas.catalogue import catalogue, sent_in
from schemas.frames import Frame, encode_frame
from schemas.regions import encode_regions, key_of
from schemas.topics import FRAMES, REGIONS, dataset_of
from store.deliveries import Refused
from store.detectors import Detector

METRIC = "traffic.regions"
"""What ticks are of, and what is refused."""
TICK_MS = 5_000
"""Between two ticks, in the source's time."""

_NEVER = 2**62
_STALE_MS = 60_000
_TICKS_PER_FLUSH = 10
_ROOM = 1 << 16
"""Unknown cameras of one feed that are told apart in the positions of what is refused."""

Detect = Callable[[bytes], NDArray[np.void]]
"""A picture's regions, dtype `schemas.batch.REGION`, shape (n,). Raises a `ValueError` with a `reason`, a fixed word,
for a picture that can't be looked at."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A detector that runs beside the cameras: what it does with a picture, and what is known of it."""

    detect: Detect
    detector: Detector


@dataclass(slots=True)
class PictureCounts:
    """What became of the pictures that cameras owed.

    Those of known cameras are `pictures`, `missing` of them empty; `refused` are those of unknown ones. Only a detector
    beside the camera tells more: of `pictures`, `seen` were looked at, `stale` were the camera's previous one once
    more, `undecodable` (reason -> pictures) could not be read; `regions` were found.
    """

    pictures: int = 0
    missing: int = 0
    refused: int = 0
    seen: int = 0
    stale: int = 0
    regions: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)


class CameraFeed:
    """Sends pictures to a topic of frames; with a detector `beside`, what was found in them to a topic of regions.

    A frame is one message and one reading in the account of what was acknowledged, its key the camera's number. Beside
    a detector only pictures that were looked at become messages: the others are counted, and nothing of them is kept.

    A camera that is registered for several metrics of pictures serves the first. Pictures of a camera that is not in
    the register are refused under `origin`, which must end in `METRIC`. Only id and time of the first in each second
    are kept, so that an unregistered camera adds at most one row a second; `counts` has all.
    """

    def __init__(
        self,
        writer: Writer,
        topic: str,
        journal: Journal,
        register: Register,
        origin: str,
        beside: Beside | None = None,
    ) -> None:
        if dataset_of(topic) != (FRAMES if beside is None else REGIONS):
            raise ValueError("a detector sends regions, a camera without one sends frames")
        self.counts = PictureCounts()
        self.rows_refused = 0
        self._writer = writer
        self._feed = Feed(writer, topic, journal)
        self._journal = journal
        self._register = register
        self._origin = origin
        self._beside = beside
        self._earliest = self._noted = _NEVER
        self._metrics = sent_in(REGIONS)
        self._previous: dict[int, tuple[bytes, int]] = {}
        self._unknown: dict[str, tuple[int, int]] = {}

    @property
    def topic(self) -> str:
        """Where it all goes."""
        return self._feed.topic

    @property
    def detecting(self) -> bool:
        """Whether a detector runs beside the cameras."""
        return self._beside is not None

    @property
    def messages(self) -> int:
        """Messages sent, ticks included."""
        return self._feed.messages

    @property
    def readings(self) -> int:
        """Readings sent: one a picture."""
        return self._feed.readings

    def send(self, source: str, interval_ms: int, shot: Shot) -> None:
        """Send what the camera `source` owed. Raises `eventlog.protocol.DeliveryFailed` as the writer does."""
        frame = self._frame(source, interval_ms, shot)
        if frame is None:
            self._refuse(source, shot.start_ms)
            return
        self.counts.pictures += 1
        self.counts.missing += not shot.picture
        if self._beside is None:
            self._feed.send([Message(b"%d" % frame.camera, encode_frame(frame), 1)])
        elif shot.picture:
            self._look(frame, shot.picture, self._beside.detect)

    def send_broken(self, source: str, interval_ms: int, shot: Shot) -> None:
        """Send half of a frame's message: no reader can decode it. For the simulator; the camera must be known."""
        frame = self._frame(source, interval_ms, shot)
        if frame is None or self._beside is not None:
            raise ValueError("only a known camera's frame can be sent in half")
        whole = encode_frame(frame)
        self._feed.send([Message(b"%d" % frame.camera, whole[: len(whole) // 2], 0)])

    def number_of(self, source: str, at_ms: int) -> int | None:
        """The register's number of a camera at a time."""
        camera = self._register.find(self._metrics, source, at_ms)
        return None if camera is None else camera.number

    def tick(self, time_ms: int) -> None:
        """Tell every partition that the cameras' time has come so far."""
        if self._beside is not None:
            self._feed.tick(time_ms)
            return
        value = encode_frame(Frame(METRIC, 0, catalogue()[METRIC].classes[0], 0, time_ms, 0, 0, None))
        for partition in range(self._writer.partitions(self.topic)):
            self._writer.send_to(self.topic, partition, value)
            self._feed.messages += 1

    def flush(self) -> None:
        """Return when the log has everything and the journal knows. Raises `eventlog.protocol.DeliveryFailed`."""
        self._feed.flush()
        if self._beside is not None and self._earliest < self._noted:
            self._journal.record_detector(REGIONS, self._beside.detector, self._earliest)
            self._noted = self._earliest

    def _frame(self, source: str, interval_ms: int, shot: Shot) -> Frame | None:
        camera = self._register.find(self._metrics, source, shot.start_ms)
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
        )

    def _look(self, frame: Frame, picture: bytes, detect: Detect) -> None:
        if self._repeats(frame, picture):
            self.counts.stale += 1
            return
        try:
            regions = detect(picture)
        except ValueError as error:
            reason = getattr(error, "reason", None)
            if reason is None:
                raise
            self.counts.undecodable[reason] = self.counts.undecodable.get(reason, 0) + 1
            return
        self.counts.seen += 1
        self.counts.regions += len(regions)
        self._earliest = min(self._earliest, frame.start)
        self._feed.send([Message(key_of(frame), encode_regions(frame, regions), 1)])

    def _repeats(self, frame: Frame, picture: bytes) -> bool:
        """Whether it is the camera's previous picture of the last minute once more."""
        digest = sha256(picture).digest()
        before, at = self._previous.get(frame.camera, (b"", 0))
        self._previous[frame.camera] = digest, frame.start
        return before == digest and frame.start - at <= _STALE_MS

    def _refuse(self, source: str, start_ms: int) -> None:
        self.counts.refused += 1
        second = start_ms // 1000
        number, latest = self._unknown.get(source, (len(self._unknown) % _ROOM, -1))
        if second > latest:
            self._unknown[source] = number, second
            original = f"{source},{start_ms}".encode("utf-8", "backslashreplace")
            self._journal.refuse(self._origin, [Refused(second * _ROOM + number, UNKNOWN_SOURCE, original)])
            self.rows_refused += 1


def run(
    feed: CameraFeed,
    source: str,
    pictures: Source,
    start_ms: int,
    clock: Callable[[], int],
    *,
    history: bool = False,
    stop: Event | None = None,
) -> bool:
    """Send all pictures of one camera, the first of them taken at `start_ms`, with ticks; whether it came to the end.

    `clock` gives milliseconds; no tick goes ahead of it (R4). With `history` the last tick closes all windows. `stop`
    ends it early, and then the last tick is missing. Raises `eventlog.protocol.DeliveryFailed`.
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
    metric = catalogue()[METRIC]
    reach = metric.longest_window_ms + metric.lateness_ms if history else 0
    feed.tick(min(end + reach, clock()))
    feed.flush()
    return True


def origin_of(path: Path) -> str:
    """What a camera's file or folder is called where its refused pictures are kept."""
    name = os.fsencode(path.absolute().name).decode("utf-8", "backslashreplace")
    return f"{name}/{METRIC}"
