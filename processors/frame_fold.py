"""The fold over a partition of pictures: each is examined once, and the regions found in it go to another topic.

At least once: after a crash between the log's acknowledgement and the commit the same pictures are examined again, and
the readings that they become are duplicates there (same camera, same time). Nothing here keeps or reveals a byte of a
picture: a dead letter holds length and hash (P1).
"""

from collections.abc import Sequence
from hashlib import sha256

from eventlog.protocol import Record
from processors.brakes import DEAD_LIMIT, DeadBlock
from processors.fold import Settled
from processors.readings import FUTURE, FUTURE_MS, INTERVAL
from processors.region_output import RegionOutput
from processors.watermark import EventTime
from schemas.batch import DecodeError
from schemas.catalogue import Metric, sent_in, silence_ms
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

    def create(self, topic: str, position: Position, settled: Settled, *, gap: bool) -> "FrameFold":
        """What a replay meets again was sent before: it is neither examined nor counted, so `settled` is not needed."""
        del topic, settled
        return FrameFold(position, self._output, self._detect, gap=gap, dead_limit=self._dead_limit)


class FrameFold:
    """Implements `processors.fold.Fold` for pictures, from `position` on.

    In the account, a message that is a frame is one reading, ticks are none: `aggregated` are those that were examined,
    `duplicate` the stale ones, `rejected` those that are missing, undecodable or of a wrong time.
    Rejected pictures have no brake: a camera that is away for a day is ordinary trouble.
    """

    def __init__(self, position: Position, output: RegionOutput, detect: Detect, *, gap: bool, dead_limit: int) -> None:
        self._position = position
        self._output = output
        self._detect = detect
        self._gap = gap
        self._crossed = False
        self._dead_block = DeadBlock(dead_limit, position)
        self._metrics = {metric.name: metric for metric in sent_in(REGIONS)}
        self._next = position.next_offset
        self._event_time = EventTime(position, silence_ms(REGIONS))
        self._account = position.account
        self._recent = RecentPictures()
        self._dead_letters: list[DeadLetter] = []
        self._cameras: dict[tuple[int, int], CameraCount] = {}

    @property
    def next_offset(self) -> int:
        return self._next

    @property
    def buffered(self) -> int:
        """Always 0: pictures wait for no window."""
        return 0

    @property
    def held(self) -> tuple[int, int]:
        """No window waits here."""
        return 0, 0

    @property
    def closing(self) -> bool:
        """No window waits here."""
        return False

    def close_some(self) -> None:
        """No window waits here."""

    def feed(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.offset < self._next:
                self._remember(record)
                continue
            if self._gap:
                self._gap, self._crossed = False, True
                self._lose(record.offset - self._next)
            self._take(record)
            self._next = record.offset + 1

    def step(self) -> Step | None:
        """Returns once the log has the regions of these pictures: only then may their offsets be committed."""
        if not self._crossed and (self._next, self._account) == (self._position.next_offset, self._position.account):
            return None
        self._output.flush()
        resume = self._recent.first_offset(otherwise=self._next)
        dead = self._dead_block.in_current(self._account.messages)
        position = Position(
            self._next,
            resume,
            self._event_time.time,
            dead_in_block=dead,
            account=self._account,
            feeders=self._event_time.feeders,
        )
        step = Step(position, (), tuple(self._dead_letters), tuple(self._cameras.values()))
        self._position = position
        self._dead_letters, self._cameras, self._crossed = [], {}, False
        return step

    def pass_over(self, offset: int) -> None:
        if self._gap and offset >= self._next:
            self.skip_to(offset)
        self._next = max(self._next, offset)

    def skip_to(self, offset: int) -> None:
        self._lose(offset - self._next)
        self._next, self._gap, self._crossed = offset, False, True

    def _lose(self, messages: int) -> None:
        self._account += Account(messages=messages, lost_messages=messages)

    def _remember(self, record: Record) -> None:
        """Read a frame below the stored position again: a later picture may repeat it."""
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
            self._dead_letters.append(DeadLetter(record.offset, -1, error.reason, _digest(record.value or b"")))
            return
        self._account += Account(messages=1, decoded=1)
        if frame.picture is None:
            self._event_time.take(frame.feeder, frame.start, record.timestamp)
        else:
            self._examine(frame, frame.picture, record)

    def _check(self, frame: Frame, record: Record) -> None:
        if frame.picture is None:
            if frame.start > record.timestamp + FUTURE_MS:
                raise DecodeError("future-tick", "the tick is ahead of the log's clock")
            return
        metric = self._metrics.get(frame.metric)
        if metric is None:
            raise DecodeError("unknown-metric", "no pictures of this metric are processed")
        if frame.class_ not in metric.classes:
            raise DecodeError("unknown-class", f"this is no class of {metric.name}")
        if record.key != b"%d" % frame.camera:
            raise DecodeError("wrong-key", "the key is not the camera's number")

    def _examine(self, frame: Frame, picture: bytes, record: Record) -> None:
        wrong = _wrong(frame, self._metrics[frame.metric], record)
        if wrong is not None:
            self._reject(picture, record, wrong)
            return
        self._event_time.take(frame.feeder, frame.start, record.timestamp)
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
        self._dead_letters.append(DeadLetter(record.offset, 0, reason, _digest(picture)))

    def _repeats(self, frame: Frame, picture: bytes, record: Record) -> bool:
        """Whether the picture is stale by the log's clock; it is the camera's last one from now on."""
        self._recent.forget(record.timestamp)
        return self._recent.repeats(frame.camera, picture, record.timestamp, record.offset)

    def _count(self, frame: Frame, *, seen: int = 0, undecodable: int = 0, stale: int = 0, missing: int = 0) -> None:
        count = CameraCount(frame.camera, frame.start // _HOUR_MS * _HOUR_MS, 1, seen, undecodable, stale, missing)
        before = self._cameras.get((count.camera, count.hour))
        self._cameras[count.camera, count.hour] = count if before is None else before + count


def _wrong(frame: Frame, metric: Metric, record: Record) -> str | None:
    """What is wrong with a frame's time, if anything (R4, R7)."""
    if not 0 < frame.interval <= metric.longest_window_ms:
        return INTERVAL
    if frame.start + frame.interval > record.timestamp + FUTURE_MS:
        return FUTURE
    return None


def _digest(data: bytes) -> bytes:
    """What is kept of a picture: its length, and a hash that tells it from others (P1)."""
    return f"{len(data)} bytes, sha256 {sha256(data).hexdigest()}".encode()
