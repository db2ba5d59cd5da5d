"""From records to messages: which belong to which metric, which are ticks, which are dead and why."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from eventlog.protocol import Record
from processors.groups import group_number
from processors.readings import FUTURE_MS, MessageEntry, Messages
from schemas.batch import REGION, Batch, DecodeError, decode
from schemas.catalogue import Metric, current_name
from schemas.heads import Head, body_of, head_of
from schemas.topics import REGIONS

_MOST_KEYS = 10_000
_MOST_HEADS = 16
"""Bounds on what a decoder remembers: keys, and beginnings of messages with one key."""


@dataclass(slots=True)
class Decoded:
    """What some records hold; a record's `sequence` number is its place among them.

    `feeders`: who sent each, empty for what is dead; `messages` by metric; `ticks`: times in milliseconds, by sequence;
    `dead`: (sequence, record, error); `converted`: how many messages no view could read (R9).
    """

    feeders: list[str]
    messages: dict[str, Messages] = field(default_factory=dict)
    ticks: dict[int, int] = field(default_factory=dict)
    dead: list[tuple[int, Record, DecodeError]] = field(default_factory=list)
    converted: int = 0

    def of(self, metric: str) -> list[MessageEntry]:
        """The messages of a metric, to which more can be added."""
        found = self.messages.get(metric)
        if found is None:
            found = self.messages[metric] = Messages()
        return found.entries


@dataclass(frozen=True, slots=True)
class _Known:
    """What messages with this head are: whose group, `interval` in milliseconds."""

    head: Head
    metric: str
    group: int
    interval: int


class Decoder:
    """Decodes the records of one partition; `metrics` by name are those that its messages may have."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._known: dict[bytes, list[_Known]] = {}

    def decode(self, records: Sequence[Record], settled: Set[tuple[int, int]]) -> Decoded:
        """Decode all records but those that are `settled`, as (offset, -1): they were dead before."""
        decoded = Decoded([""] * len(records))
        for sequence, record in enumerate(records):
            if settled and (record.offset, -1) in settled:
                continue
            if self._add_known(decoded, sequence, record):
                continue
            try:
                batch = decode(record.value)
                if batch.count:
                    self._add(decoded, sequence, record, batch)
                else:
                    decoded.ticks[sequence] = _tick(batch, record.timestamp)
            except DecodeError as error:
                decoded.dead.append((sequence, record, error))
            else:
                decoded.feeders[sequence] = batch.feeder
                decoded.converted += not batch.viewed
        return decoded

    def _add_known(self, decoded: Decoded, sequence: int, record: Record) -> bool:
        """Add a message whose head was seen with the same key; False if there is more to find out about it."""
        key, value = record.key, record.value
        if key is None or value is None:
            return False
        for known in self._known.get(key, ()):
            if value.startswith(known.head.prefix):
                body = body_of(known.head, value)
                if body is None:
                    return False
                start, decoded.feeders[sequence], count, rows = body
                at, appended, group, interval = record.offset, record.timestamp, known.group, known.interval
                entry = sequence, at, appended, group, interval, start, count, rows, b""
                decoded.of(known.metric).append(entry)
                return True
        return False

    def _add(self, decoded: Decoded, sequence: int, record: Record, batch: Batch) -> None:
        metric = self._metrics.get(current_name(batch.metric))
        if metric is None:
            raise DecodeError("unknown-metric", f"{batch.metric!r} is not computed from this topic")
        if record.key != b"%d" % batch.area:
            raise DecodeError("wrong-key", f"the key is {record.key!r}, the area {batch.area}")
        if metric.dataset == REGIONS:
            _check_picture(metric, batch)
        group = group_number(metric, batch.area, batch.class_)
        at, appended = record.offset, record.timestamp
        entry = sequence, at, appended, group, batch.interval, batch.start, batch.count, batch.rows, batch.regions
        decoded.of(metric.name).append(entry)
        if batch.viewed and record.value is not None and (head := head_of(record.value)) is not None:
            self._remember(record.key, _Known(head, metric.name, group, batch.interval))

    def _remember(self, key: bytes, known: _Known) -> None:
        if len(self._known) >= _MOST_KEYS:
            self._known.clear()
        heads = self._known.setdefault(key, [])
        if len(heads) >= _MOST_HEADS:
            heads.clear()
        heads.append(known)


def _check_picture(metric: Metric, batch: Batch) -> None:
    """A message with regions is of one picture, and its value is their number: passes are counted from them."""
    if batch.count != 1:
        raise DecodeError("not-one-picture", f"{batch.count} readings, one a picture is right")
    regions = len(batch.regions) // REGION.itemsize * metric.smallest_per_unit
    value = float(batch.array()["value"][0])
    if value != regions:
        raise DecodeError("regions-differ", f"the value is {value:g}, the regions come to {regions}")


def _tick(batch: Batch, appended: int) -> int:
    if batch.start > appended + FUTURE_MS:
        raise DecodeError("future-tick", f"the tick is {batch.start - appended} ms ahead of the log's clock")
    return batch.start
