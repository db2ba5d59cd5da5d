"""From records to messages: which belong to which metric, which are ticks, which are dead and why."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from eventlog.protocol import Record
from processors.groups import group_number
from processors.readings import FUTURE_MS, Messages
from schemas.batch import REGION, Batch, DecodeError, decode
from schemas.catalogue import Metric, current_name
from schemas.topics import REGIONS


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


class Decoder:
    """Decodes the records of one partition; `metrics` by name are those that its messages may have."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def decode(self, records: Sequence[Record], settled: Set[tuple[int, int]]) -> Decoded:
        """Decode all records but those that are `settled`, as (offset, -1): they were dead before."""
        decoded = Decoded([""] * len(records))
        for sequence, record in enumerate(records):
            if settled and (record.offset, -1) in settled:
                continue
            try:
                batch = decode(record.value)
                if batch.count:
                    self._add(decoded.messages, sequence, record, batch)
                else:
                    decoded.ticks[sequence] = _tick(batch, record.timestamp)
            except DecodeError as error:
                decoded.dead.append((sequence, record, error))
            else:
                decoded.feeders[sequence] = batch.feeder
                decoded.converted += not batch.viewed
        return decoded

    def _add(self, by_metric: dict[str, Messages], sequence: int, record: Record, batch: Batch) -> None:
        metric = self._metrics.get(current_name(batch.metric))
        if metric is None:
            raise DecodeError("unknown-metric", f"{batch.metric!r} is not computed from this topic")
        if record.key != b"%d" % batch.area:
            raise DecodeError("wrong-key", f"the key is {record.key!r}, the area {batch.area}")
        if metric.dataset == REGIONS:
            _check_picture(metric, batch)
        group = group_number(metric, batch.area, batch.class_)
        messages = by_metric.get(metric.name)
        if messages is None:
            messages = by_metric[metric.name] = Messages()
        messages.sequence.append(sequence)
        messages.offset.append(record.offset)
        messages.appended.append(record.timestamp)
        messages.group.append(group)
        messages.interval.append(batch.interval)
        messages.start.append(batch.start)
        messages.count.append(batch.count)
        messages.rows.append(batch.rows)
        messages.regions.append(batch.regions)


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
