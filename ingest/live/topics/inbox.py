"""A topic as a source: a message is taken when the log has what it says, and then the cluster keeps the position."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic

from prometheus_client import Counter

from errors import OperatorError
from eventlog.kafka import KafkaLog
from eventlog.kafka.member import GroupMember, PolledMessages, Start
from eventlog.protocol import AccessRefused, BadAddress, LogUnavailable, Record, TopicPartition, UnknownTopic
from ingest.live.adapter import Delivered, ToldNothing
from ingest.live.topics.frames import FrameKind, MessageFrame, write_frame
from ingest.live.topics.keys import with_keys

MESSAGES = Counter("sistercity_topic_messages", "Messages of listed topics, by what became of them", ["outcome"])
TAKEN, TOMBSTONE, LOST, TOO_LONG = "taken", "tombstone", "lost", "too-long"

_ASK_S = 15.0

logger = logging.getLogger(__name__)


class TopicInbox(ToldNothing):
    """Implements `Adapter`: a delivery is messages of one partition. One thread.

    `log` is the topic's cluster, `group` the name under which it keeps the positions; `spool` is a folder of this
    process; `clock` gives milliseconds since 1970. The checksum of a delivery is that of the topic's id: an offset
    names one message of it for ever, so a dead letter is kept once, however often its message comes.
    """

    def __init__(
        self, name: str, log: KafkaLog, topic: str, group: str, start: Start, spool: Path, clock: Callable[[], int]
    ) -> None:
        self.name = name
        self._log = log
        self._topic = topic
        self._group = group
        self._start: Start = start
        self._spool = spool
        self._clock = clock
        self._member: GroupMember | None = None
        self._polled: PolledMessages | None = None
        self._next: dict[str, dict[TopicPartition, int]] = {}
        """Of each delivery by its file's name: the offset that follows it."""
        self._first: dict[TopicPartition, int] = {}
        """Where the messages begin that are not acknowledged."""
        self._ask_at = 0.0

    def wait(self, seconds: float) -> None:
        """Return when there is something, or after so long. Raises `LogUnavailable`."""
        if self._polled is None:
            self._poll(round(seconds * 1_000))

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """A delivery for each partition that has something. Raises `LogUnavailable`, and `OSError` if the spool is
        full."""
        del done
        if self._polled is None:
            self._poll(0)
        polled, self._polled = self._polled, None
        if polled is None or self._member is None:
            return []
        partitions = dict.fromkeys([*(skipped.partition for skipped in polled.skipped), *polled.records])
        return [self._delivered(at, polled, self._member.topic_id) for at in partitions]

    def acknowledge(self, delivered: Delivered) -> None:
        """Have the cluster keep the position. Raises `LogUnavailable`; then it all comes again, and counts once."""
        delivered.path.unlink(missing_ok=True)
        following = self._next.pop(delivered.path.name)
        for at in following:
            self._first.pop(at, None)
        if self._member is not None:
            with _unavailable():
                self._member.commit(following)

    def forget(self) -> None:
        """After an interruption: read again what is not acknowledged."""
        if self._member is not None:
            with suppress(OperatorError):
                self._member.rewind(self._first)
        self._polled = None
        self._next.clear()
        self._first.clear()
        for path in self._spool.iterdir():
            path.unlink()

    def stop(self) -> None:
        """Leave the group."""
        if self._member is not None:
            self._member.close()
            self._member = None

    def _poll(self, timeout_ms: int) -> None:
        with _unavailable():
            if self._member is None:
                self._member = self._log.member(self._group, self._topic, self._start)
                logger.info("%s: a member of %s for the topic %s", self.name, self._group, self._topic)
                self._ask_at = monotonic() + _ASK_S
            elif monotonic() >= self._ask_at:
                # A client goes on for ever without its brokers, or its topic, and says nothing.
                self._member.note_topic(self._log.describe(self._topic).topic_id)
                self._ask_at = monotonic() + _ASK_S
            polled = self._member.poll(timeout_ms)
        for skipped in polled.skipped:
            logger.warning("%s: %s", self.name, skipped.words)
            MESSAGES.labels(LOST).inc(skipped.until - skipped.first)
            if skipped.until > skipped.first:
                self._first.setdefault(skipped.partition, skipped.first)
        for at, records in polled.records.items():
            self._first.setdefault(at, records[0].offset)
        if polled.records or polled.skipped:
            self._polled = polled

    def _delivered(self, at: TopicPartition, polled: PolledMessages, topic_id: str) -> Delivered:
        path = self._spool / str(at.partition)
        following = -1
        with path.open("wb") as file:
            for skipped in polled.skipped:
                if skipped.partition == at:
                    # An offset of what is no more in the topic may be that of another message by now.
                    position = skipped.first if skipped.until > skipped.first else -1 - skipped.first
                    write_frame(file, MessageFrame(position, FrameKind.SKIPPED, skipped.words.encode()))
                    following = max(following, skipped.until if skipped.until > skipped.first else -1)
            for record in polled.records.get(at, ()):
                frame = _frame(record, is_cut=(at, record.offset) in polled.cut)
                if frame is not None:
                    write_frame(file, frame)
                following = max(following, record.offset + 1)
        self._next[path.name] = {at: following} if following >= 0 else {}
        return Delivered(f"{self._topic}-{at.partition}", path, sha256(topic_id.encode()).digest(), self._clock())


def _frame(record: Record, *, is_cut: bool) -> MessageFrame | None:
    """None for a tombstone: it says that a key has no value any more, and no reading is undone by that."""
    if record.value is None:
        MESSAGES.labels(TOMBSTONE).inc()
        return None
    MESSAGES.labels(TOO_LONG if is_cut else TAKEN).inc()
    return MessageFrame(record.offset, FrameKind.CUT if is_cut else FrameKind.VALUE, record.value)


@contextmanager
def _unavailable() -> Iterator[None]:
    """What is wrong with a cluster of others ends its source for now, and no other one."""
    try:
        yield
    except (UnknownTopic, AccessRefused, BadAddress, LogUnavailable) as error:
        raise LogUnavailable(with_keys(error)) from error
