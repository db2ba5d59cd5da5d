"""The fold over a partition of pictures: each is looked at once, and what was found goes to another topic.

At least once: a crash between the log's acknowledgement and the commit has the same pictures looked at again, and the
readings that they become are duplicates there (same camera, same time). Nothing here keeps or tells a byte of a
picture: a dead letter holds length and hash (P1).

How far the cameras' time has come is told to every partition of the other topic, by ticks: the time that all partitions
of pictures have reached by what was committed. So a tick stands behind everything that was found up to its time,
whichever process found it.
"""

from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import DeliveryFailed, Log, LogUnavailable, Record, Writer
from processors.fold import DEAD_LIMIT, DeadBlock, Step
from processors.plates.pictures import BadPicture
from processors.readings import FUTURE, FUTURE_MS, INTERVAL
from schemas.batch import DecodeError
from schemas.catalogue import Metric, sent_in
from schemas.frames import Frame, decode_frame
from schemas.regions import encode_regions, encode_tick, key_of
from schemas.topics import REGIONS
from store.deliveries import Delivery
from store.detectors import Detector
from store.processing import Account, CameraCount, DeadLetter, Position, Store

Detect = Callable[[bytes], NDArray[np.void]]
"""A picture's regions: dtype `schemas.batch.REGION`, shape (n,). Raises `BadPicture`."""

MISSING = "missing"

_NEVER = 2**62
_HOUR_MS = 3_600_000
_REMEMBERED_MS = 60_000
"""A picture is stale if it repeats its camera's previous one of the last minute, by the log's clock."""


class FrameFolds:
    """Keeps the promises of `processors.fold.Folds` for one topic of pictures; what is found goes to `regions`.

    `detect` is what `detector` does with a picture; the store is told with which one it was looked.
    One writer serves all partitions. A delivery that fails drops it, with everything that was not committed.
    """

    def __init__(
        self,
        log: Log,
        store: Store,
        frames: str,
        regions: str,
        detect: Detect,
        detector: Detector,
        *,
        dead_limit: int = DEAD_LIMIT,
    ) -> None:
        self._log = log
        self._store = store
        self._frames = frames
        self._regions = regions
        self._detect = detect
        self._detector = detector
        self._earliest = self._noted = _NEVER
        self._dead_limit = dead_limit
        self._sending: tuple[UUID, Writer] | None = None
        self._told: int | None = None

    @property
    def topics(self) -> Sequence[str]:
        """See `Folds`."""
        return (self._frames,)

    def fold(
        self, topic: str, partition: int, position: Position, settled: Set[tuple[int, int]], *, gap: bool
    ) -> "FrameFold":
        """See `Folds`. What a replay meets again was sent before: it is neither looked at nor counted."""
        del topic, partition, settled
        return FrameFold(position, self, self._detect, gap=gap, dead_limit=self._dead_limit)

    def send(self, frame: Frame, regions: NDArray[np.void]) -> None:
        """Send what was found in a picture. Raises `LogUnavailable`."""
        try:
            self._writer().send(self._regions, key_of(frame), encode_regions(frame, regions), 1)
        except DeliveryFailed as error:
            raise self._failed(error) from error
        self._earliest = min(self._earliest, frame.start)

    def keep_time(self) -> None:
        """Tell every partition of regions how far all cameras have come. Raises `LogUnavailable`."""
        reached = self._store.common_event_time(self._frames)
        if reached is None or reached == self._told:
            return
        writer, tick = self._writer(), encode_tick(reached)
        try:
            for partition in range(writer.partitions(self._regions)):
                writer.send_to(self._regions, partition, tick)
        except DeliveryFailed as error:
            raise self._failed(error) from error
        self.flush()
        self._told = reached

    def flush(self) -> None:
        """Return when the log has all that was sent, and the store knows. Raises `LogUnavailable`."""
        if self._sending is None:
            return
        run, writer = self._sending
        try:
            writer.flush()
        except DeliveryFailed as error:
            raise self._failed(error) from error
        rows = [
            Delivery(topic, partition, a.messages, a.readings, a.first_offset, a.last_offset)
            for (topic, partition), a in writer.acknowledged().items()
        ]
        self._store.record_deliveries(run, rows)
        if self._earliest < self._noted:
            self._store.record_detector(REGIONS, self._detector, self._earliest)
            self._noted = self._earliest

    def close(self) -> None:
        """See `Folds`."""
        if self._sending is not None:
            _, writer = self._sending
            self._sending = None
            with suppress(DeliveryFailed):  # what was not committed is sent again by whoever reads on
                writer.close()

    def _writer(self) -> Writer:
        if self._sending is None:
            self._sending = (uuid4(), self._log.writer())
        return self._sending[1]

    def _failed(self, error: DeliveryFailed) -> LogUnavailable:
        self.close()
        return LogUnavailable(str(error))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A camera's last picture: its hash, and where and when it stood in the log."""

    digest: bytes
    offset: int
    appended: int


class FrameFold:
    """Keeps the promises of `processors.fold.Fold`.

    In the account, a message that is a frame is one reading, ticks are none: `aggregated` was looked at, `duplicate`
    is stale, `rejected` is missing, undecodable or of a wrong time.
    """

    def __init__(self, position: Position, folds: FrameFolds, detect: Detect, *, gap: bool, dead_limit: int) -> None:
        self._position = position
        self._folds = folds
        self._detect = detect
        self._gap = gap
        self._dead_block = DeadBlock(dead_limit, position)
        self._metrics = {metric.name: metric for metric in sent_in(REGIONS)}
        self._next = position.next_offset
        self._latest = position.max_event_time
        self._account = position.account
        self._seen: dict[int, _Seen] = {}
        self._dead_letters: list[DeadLetter] = []
        self._cameras: dict[tuple[int, int], CameraCount] = {}

    @property
    def next_offset(self) -> int:
        """See `Fold`."""
        return self._next

    @property
    def buffered(self) -> int:
        """Nothing waits here for a window to close."""
        return 0

    def feed(self, records: Sequence[Record]) -> None:
        """See `Fold`."""
        for record in records:
            if record.offset < self._next:
                self._remember(record)
                continue
            if self._gap:
                self._gap = False
                self._lose(record.offset - self._next)
            self._take(record)
            self._next = record.offset + 1

    def step(self) -> Step | None:
        """See `Fold`: the log has what was found before it is said that the pictures are done."""
        if self._next == self._position.next_offset and self._account == self._position.account:
            return None
        self._folds.flush()
        resume = min((seen.offset for seen in self._seen.values()), default=self._next)
        dead = self._dead_block.under_way(self._account.messages)
        position = Position(self._next, resume, self._latest, None, dead, self._account)
        step = Step(position, (), tuple(self._dead_letters), tuple(self._cameras.values()))
        self._position = position
        self._dead_letters, self._cameras = [], {}
        return step

    def skip_to(self, offset: int) -> None:
        """See `Fold`."""
        self._lose(offset - self._next)
        self._next, self._gap = offset, False

    def _lose(self, messages: int) -> None:
        self._account += Account(messages=messages, lost_messages=messages)

    def _remember(self, record: Record) -> None:
        """Below the position everything was done; only what stale pictures repeat is needed again."""
        try:
            frame = decode_frame(record.value)
        except DecodeError:
            return
        if frame.picture:
            self._repeats(frame, frame.picture, record)

    def _take(self, record: Record) -> None:
        try:
            frame = decode_frame(record.value)
            self._check(frame, record)
        except DecodeError as error:
            self._dead_block.count(self._account.messages, record.offset, error)
            self._account += Account(messages=1, dead=1)
            self._dead_letters.append(DeadLetter(record.offset, -1, error.reason, _named(record.value or b"")))
            return
        self._account += Account(messages=1, decoded=1)
        if frame.picture is None:
            self._come_to(frame.start)
        else:
            self._look(frame, frame.picture, record)

    def _check(self, frame: Frame, record: Record) -> None:
        if frame.picture is None:
            if frame.start > record.timestamp + FUTURE_MS:
                raise DecodeError("future-tick", "the tick is ahead of the log's clock")
            return
        metric = self._metrics.get(frame.metric)
        if metric is None:
            raise DecodeError("unknown-metric", "no picture is looked at for this metric")
        if frame.class_ not in metric.classes:
            raise DecodeError("unknown-class", f"this is no class of {metric.name}")
        if record.key != b"%d" % frame.camera:
            raise DecodeError("wrong-key", "the key is not the camera's number")

    def _look(self, frame: Frame, picture: bytes, record: Record) -> None:
        wrong = _wrong(frame, self._metrics[frame.metric], record)
        if wrong is not None:
            self._reject(picture, record, wrong)
            return
        self._come_to(frame.start)
        if not picture:
            self._reject(picture, record, MISSING)
            self._count(frame, missing=1)
        elif self._repeats(frame, picture, record):
            self._account += Account(readings=1, duplicate=1)
            self._count(frame, stale=1)
        else:
            try:
                regions = self._detect(picture)
            except BadPicture as error:
                self._reject(picture, record, error.reason)
                self._count(frame, undecodable=1)
                return
            self._folds.send(frame, regions)
            self._account += Account(readings=1, aggregated=1)
            self._count(frame, seen=1)

    def _reject(self, picture: bytes, record: Record, reason: str) -> None:
        self._account += Account(readings=1, rejected=1)
        self._dead_letters.append(DeadLetter(record.offset, 0, reason, _named(picture)))

    def _come_to(self, time_ms: int) -> None:
        self._latest = time_ms if self._latest is None else max(self._latest, time_ms)

    def _repeats(self, frame: Frame, picture: bytes, record: Record) -> bool:
        """Whether it is the camera's previous picture once more; it is the previous one from now on."""
        forgotten = record.timestamp - _REMEMBERED_MS
        self._seen = {camera: seen for camera, seen in self._seen.items() if seen.appended >= forgotten}
        before = self._seen.get(frame.camera)
        digest = sha256(picture).digest()
        self._seen[frame.camera] = _Seen(digest, record.offset, record.timestamp)
        return before is not None and before.digest == digest

    def _count(self, frame: Frame, *, seen: int = 0, undecodable: int = 0, stale: int = 0, missing: int = 0) -> None:
        one = CameraCount(frame.camera, frame.start // _HOUR_MS * _HOUR_MS, 1, seen, undecodable, stale, missing)
        known = self._cameras.get((one.camera, one.hour))
        self._cameras[one.camera, one.hour] = one if known is None else known + one


def _wrong(frame: Frame, metric: Metric, record: Record) -> str | None:
    """What is wrong with a frame's time, if anything (R4, R7)."""
    if not 0 < frame.interval <= metric.longest_window_ms:
        return INTERVAL
    if frame.start + frame.interval > record.timestamp + FUTURE_MS:
        return FUTURE
    return None


def _named(data: bytes) -> bytes:
    """What may be kept of a picture: how long it was, and a hash that tells it from others."""
    return f"{len(data)} bytes, sha256 {sha256(data).hexdigest()}".encode()
