"""How near the unread messages of a partition are to their deletion by the log.

The log keeps a message for a time, the retention of its topic, whether it was read or not. This looks, from outside the
fold, how much of that time the oldest unread message of a partition has used up, and warns before it is lost.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from eventlog.protocol import Reader, TopicPartition
from processors import telemetry
from schemas.topics import RETENTION_ALARM
from store.processing import Store

logger = logging.getLogger(__name__)

_STEPS = 16
"""The used share of a retention is found in this many steps: by bisection, four requests to the log."""
_EVERY_S = 30.0
_DAY_MS = 24 * 3600 * 1000
_HOUR_MS = 3600 * 1000


class RetentionWatch:
    """Shows how much of their retention is left to unread messages, as a gauge, in the log and in the store.

    `retention_ms` by topic; other topics are not watched. `now_ms` is the wall clock, milliseconds since 1970, UTC;
    `clock` gives seconds.
    """

    def __init__(
        self,
        store: Store,
        retention_ms: Mapping[str, int],
        now_ms: Callable[[], int],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._now_ms = now_ms
        self._clock = clock
        self._following: dict[TopicPartition, int] = {}
        self._words: dict[TopicPartition, str | None] = {}
        self._due = 0.0

    def moved(self, following: Mapping[TopicPartition, int]) -> None:
        """These partitions are accounted for below these offsets. They are watched from now on."""
        self._following |= {at: offset for at, offset in following.items() if at.topic in self._retention_ms}

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Watch these no longer."""
        for partition in partitions:
            self._words.pop(partition, None)
            if self._following.pop(partition, None) is not None:
                telemetry.forget(partition.topic, partition.partition)

    def look(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> None:
        """Look at partitions that end at these offsets, those with unread messages twice a minute.

        May raise `LogUnavailable` and `StoreUnavailable`.
        """
        used = {at: 0 for at, offset in self._following.items() if offset >= ends.get(at, 0)}
        lagging = {at: offset for at, offset in self._following.items() if at not in used}
        if lagging and self._clock() >= self._due:
            used |= self._used(reader, lagging)
            self._due = self._clock() + _EVERY_S
        for partition, steps in used.items():
            self._show(partition, steps)
        self._tell({partition: self._words_for(partition, steps) for partition, steps in used.items()})

    def _used(self, reader: Reader, lagging: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """How many `_STEPS`-ths of its retention the message at each offset has used up, rounded down."""
        now, low, high = self._now_ms(), dict.fromkeys(lagging, 0), dict.fromkeys(lagging, _STEPS + 1)
        while any(high[at] - low[at] > 1 for at in lagging):
            middle = {at: (low[at] + high[at]) // 2 for at in lagging}
            times = {at: now - self._retention_ms[at.topic] * middle[at] // _STEPS for at in lagging}
            for partition, first in reader.first_since(times).items():
                older = lagging[partition] < first
                (low if older else high)[partition] = middle[partition]
        return low

    def _show(self, partition: TopicPartition, used: int) -> None:
        telemetry.RETENTION.labels(*telemetry.place(*partition)).set(1 - used / _STEPS)

    def _tell(self, found: Mapping[TopicPartition, str | None]) -> None:
        """Log and store the alarms that have changed."""
        changed = {at: words for at, words in found.items() if at not in self._words or self._words[at] != words}
        if changed:
            self._store.record_alarms(changed.items())
        self._words |= changed
        for partition, words in changed.items():
            if words is not None:
                logger.warning("%s: %s", partition, words)

    def _words_for(self, partition: TopicPartition, used: int) -> str | None:
        """The alarm, None without one."""
        return _in_words(used, self._retention_ms[partition.topic]) if used >= RETENTION_ALARM * _STEPS else None


def _in_words(used: int, retention_ms: int) -> str:
    if used >= _STEPS:
        return f"the oldest unread message is older than its retention of {_span(retention_ms)}: it can be deleted now"
    left = retention_ms * (_STEPS - used) // _STEPS
    return (
        f"the oldest unread message has used {100 * used // _STEPS} % of its retention of {_span(retention_ms)}:"
        f" within {_span(left)} it is deleted unread, if processing does not catch up"
    )


def _span(span_ms: int) -> str:
    if span_ms >= 2 * _DAY_MS:
        return f"{span_ms / _DAY_MS:.1f} days"
    if span_ms >= 2 * _HOUR_MS:
        return f"{span_ms / _HOUR_MS:.1f} hours"
    return f"{span_ms / 60_000:.1f} minutes"
