"""The fold over a partition of pictures: each is examined once, and the regions found in it go to another topic.

At least once: after a crash between the log's acknowledgement and the commit the same pictures are examined again, and
the readings that they become are duplicates there (same camera, same time). Nothing here keeps or reveals a byte of a
picture: a dead letter holds length and hash (P1).
"""

from collections.abc import Sequence, Set
from hashlib import sha256

from eventlog.protocol import Record
from processors.fold import DEAD_LIMIT, DeadBlock
from processors.readings import FUTURE, FUTURE_MS, INTERVAL
from processors.region_output import RegionOutput
from schemas.batch import DecodeError
from schemas.catalogue import Metric, sent_in
from schemas.frames import Frame, decode_frame
from schemas.pictures import BadPicture, Detect, RecentPictures
from schemas.topics import REGIONS
from store.processing import Account, CameraCount, DeadLetter, Position, Step

MISSING = "missing"

_HOUR_MS = 3_600_000


class FrameFoldFactory:
    """Implements `processors.fold.FoldFactory` for one topic of pictures; `output` takes what `detect` finds."""

    def __init__(self, frames: str, output: RegionOutput, detect: Detect, *, dead_limit: int = DEAD_LIMIT) -> None:
        self.topics: Sequence[str] = (frames,)
        self._output = output
        self._detect = detect
        self._dead_limit = dead_limit

    def create(self, topic: str, position: Position, settled: Set[tuple[int, int]], *, gap: bool) -> "FrameFold":
        """What a replay meets again was sent before: it is neither examined nor counted, so `settled` is not needed."""
        del topic, settled
        return FrameFold(position, self._output, self._detect, gap=gap, dead_limit=self._dead_limit)


class FrameFold:
    """Keeps the promises of `processors.fold.Fold`.

    In the account, a message that is a frame is one reading, ticks are none: `aggregated` was looked at, `duplicate`
    is stale, `rejected` is missing, undecodable or of a wrong time.
    """

    def __init__(self, position: Position, output: RegionOutput, detect: Detect, *, gap: bool, dead_limit: int) -> None:
        self._position = position
        self._output = output
        self._detect = detect
        self._gap = gap
        self._dead_block = DeadBlock(dead_limit, position)
        self._metrics = {metric.name: metric for metric in sent_in(REGIONS)}
        self._next = position.next_offset
        self._latest = position.max_event_time
        self._account = position.account
        self._recent = RecentPictures()
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
        self._output.flush()
        resume = self._recent.first_offset(otherwise=self._next)
        dead = self._dead_block.in_current(self._account.messages)
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
            self._output.send(frame, regions)
            self._account += Account(readings=1, aggregated=1)
            self._count(frame, seen=1)

    def _reject(self, picture: bytes, record: Record, reason: str) -> None:
        self._account += Account(readings=1, rejected=1)
        self._dead_letters.append(DeadLetter(record.offset, 0, reason, _named(picture)))

    def _come_to(self, time_ms: int) -> None:
        self._latest = time_ms if self._latest is None else max(self._latest, time_ms)

    def _repeats(self, frame: Frame, picture: bytes, record: Record) -> bool:
        """Whether the picture is stale by the log's clock; it is the camera's last one from now on."""
        self._recent.forget(record.timestamp)
        return self._recent.repeats(frame.camera, picture, record.timestamp, record.offset)

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
