"""From records to messages: which belong to which metric, which are ticks, which are dead and why."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Record
from processors.groups import group_number
from processors.readings import FUTURE_MS, MessageEntry, Messages
from schemas.batch import REGION, Batch, DecodeError, decode
from schemas.catalogue import Metric, current_name
from schemas.heads import Head, bodies_of, head_of
from schemas.topics import REGIONS

_MOST_HEADS = 10_000
_MOST_OF_KEY = 16
"""Bounds on what a decoder remembers: beginnings of messages, and those of messages with one key."""


@dataclass(slots=True)
class Decoded:
    """What some records hold; a record's `sequence` number is its place among them.

    `feeders`: who sent each, empty for what is dead; `messages` by metric, in the order of the log; `ticks`: times in
    milliseconds, by sequence; `dead`: (sequence, record, error); `converted`: how many no view could read (R9).
    """

    feeders: list[str]
    messages: dict[str, Messages] = field(default_factory=dict)
    ticks: dict[int, int] = field(default_factory=dict)
    dead: list[tuple[int, Record, DecodeError]] = field(default_factory=list)
    converted: int = 0

    def add(self, metric: str, messages: Messages) -> None:
        """Add messages of a metric."""
        known = self.messages.get(metric)
        self.messages[metric] = messages if known is None else Messages.join([known, messages])


@dataclass(frozen=True, slots=True)
class _Known:
    """What messages with this head are: whose group, `interval` in milliseconds. `number` counts the heads."""

    number: int
    head: Head
    metric: int
    group: int
    interval: int


class Decoder:
    """Decodes the records of one partition; `metrics` by name are those that its messages may have."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._names = list(metrics)
        self._heads: list[_Known] = []
        self._of_key: dict[bytes | None, list[_Known]] = {}

    def decode(self, records: Sequence[Record], settled: Set[tuple[int, int]]) -> Decoded:
        """Decode all records but those that are `settled`, as (offset, -1): they were dead before."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads, self._of_key = [], {}
        decoded = Decoded([""] * len(records))
        whole: dict[str, list[MessageEntry]] = {}
        sequences, heads, of_key = [], [], self._of_key
        for sequence, record in enumerate(records):
            if settled and (record.offset, -1) in settled:
                continue
            value = record.value
            if value is not None:
                for known in of_key.get(record.key, ()):
                    if value.startswith(known.head.prefix):
                        sequences.append(sequence)
                        heads.append(known.number)
                        break
                else:
                    self._decode_whole(decoded, whole, sequence, record)
            else:
                self._decode_whole(decoded, whole, sequence, record)
        if sequences:
            for sequence in self._add_known(decoded, records, sequences, np.array(heads)):
                self._decode_whole(decoded, whole, sequence, records[sequence])
            decoded.dead.sort(key=itemgetter(0))
        for metric, entries in whole.items():
            decoded.add(metric, Messages.of(entries))
        return decoded

    def _add_known(
        self, decoded: Decoded, records: Sequence[Record], sequences: Sequence[int], number: NDArray[np.int64]
    ) -> list[int]:
        """Add messages whose heads were seen with the same keys, by their numbers (m,).

        Returns the sequence numbers of those of which there is more to find out.
        """
        columns = [(len(of.head.prefix), of.head.has_feeder, of.metric, of.group, of.interval) for of in self._heads]
        prefix, has_feeder, metric, group, interval = np.array(columns, np.int64)[number].T
        chosen = [records[sequence] for sequence in sequences]
        bodies = bodies_of([record.value or b"" for record in chosen], prefix, has_feeder.astype(np.bool_))
        for sequence, feeder in zip(sequences, bodies.feeder, strict=True):
            decoded.feeders[sequence] = feeder
        messages = Messages(
            np.array(sequences, np.int64),
            np.array([record.offset for record in chosen], np.int64),
            np.array([record.timestamp for record in chosen], np.int64),
            group.astype(np.uint32),
            interval.astype(np.uint32),
            bodies.start,
            bodies.count,
            bodies.rows,
            [b""] * len(chosen),
        )
        for place in np.unique(metric[bodies.viewed]).tolist():
            of_metric = bodies.viewed & (metric == place)
            decoded.add(self._names[place], messages if of_metric.all() else messages.take(np.flatnonzero(of_metric)))
        return [sequences[place] for place in np.flatnonzero(~bodies.viewed).tolist()]

    def _decode_whole(
        self, decoded: Decoded, whole: dict[str, list[MessageEntry]], sequence: int, record: Record
    ) -> None:
        try:
            batch = decode(record.value)
            if batch.count:
                metric, entry = self._entry(sequence, record, batch)
                whole.setdefault(metric, []).append(entry)
            else:
                decoded.ticks[sequence] = _tick(batch, record.timestamp)
        except DecodeError as error:
            decoded.dead.append((sequence, record, error))
        else:
            decoded.feeders[sequence] = batch.feeder
            decoded.converted += not batch.viewed

    def _entry(self, sequence: int, record: Record, batch: Batch) -> tuple[str, MessageEntry]:
        """A message of a metric, which is given by its name."""
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
        if batch.viewed and record.value is not None and (head := head_of(record.value)) is not None:
            self._remember(record.key, head, metric, group, batch.interval)
        return metric.name, entry

    def _remember(self, key: bytes, head: Head, metric: Metric, group: int, interval: int) -> None:
        of_key = self._of_key.setdefault(key, [])
        if len(of_key) >= _MOST_OF_KEY:
            of_key.clear()
        of_key.append(_Known(len(self._heads), head, self._names.index(metric.name), group, interval))
        self._heads.append(of_key[-1])


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
