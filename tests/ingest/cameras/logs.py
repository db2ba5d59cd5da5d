"""A register and a log in memory for cameras, and what lies in the log afterwards."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eventlog.memory import MemoryLog, MemoryRecord
from eventlog.protocol import TopicPartition, Writer
from ingest.cameras.sending import Beside, CameraFeed, Detect
from schemas.catalogue import Metric
from schemas.frames import Frame, decode_frame
from schemas.topics import FRAMES, REGIONS, live
from store.deliveries import Refused
from store.detectors import Detector
from store.resolution import BEGINNING_MS, NEVER_MS, Resolved

PARTITIONS = 4
BEGIN = 1_790_000_000_000
ORIGIN = "somewhere/traffic.regions"
TOPIC = live("town", FRAMES)
DETECTOR = Detector("network", "1", 0.9, 0.5)


class Journal:
    """Keeps refusals as the database does: one for each origin and position."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Refused] = {}
        self.acknowledged_readings = 0
        self.looked: list[tuple[str, Detector, int]] = []

    def acknowledged(self, writer: Writer) -> None:
        self.acknowledged_readings = sum(one.readings for one in writer.acknowledged().values())

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        for item in refused:
            self.kept.setdefault((origin, item.position), item)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        self.looked.append((dataset, detector, since_ms))


def register(
    *ids: str, begins: int = BEGINNING_MS, ends: int = NEVER_MS, metric: str = "traffic.regions"
) -> Callable[[Metric, int], Resolved]:
    """Cameras of a metric, with the numbers 70, 71... and the areas 5, 6... in the order of their ids."""
    registered_for = metric

    def resolve(metric: Metric, at_ms: int) -> Resolved:
        count = len(ids) if metric.name == registered_for and begins <= at_ms < ends else 0
        return Resolved(
            ids=np.array(sorted(one.encode() for one in ids)[:count], dtype=np.bytes_),
            number=np.arange(70, 70 + count, dtype=np.uint32),
            contributor=np.arange(900, 900 + count, dtype=np.uint32),
            area=np.arange(5, 5 + count, dtype=np.int32),
            class_=np.zeros(count, np.uint8),
            holds_from_ms=begins if begins <= at_ms < ends else BEGINNING_MS if at_ms < begins else ends,
            holds_until_ms=ends if begins <= at_ms < ends else begins if at_ms < begins else NEVER_MS,
        )

    return resolve


@dataclass
class Sending:
    """A feed, the log that it fills, and its journal."""

    log: MemoryLog
    feed: CameraFeed
    journal: Journal

    def records(self) -> list[tuple[int, MemoryRecord]]:
        """Partition and record of everything in the topic, partition by partition."""
        topic = self.feed.topic
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return [(place.partition, one) for place in places for one in self.log.fetch(place, 0, 10**6)]

    def frames(self) -> list[Frame]:
        """The pictures, in the order of time; ticks left out."""
        every = [decode_frame(record.value) for _, record in self.records()]
        return sorted((one for one in every if one.picture is not None), key=lambda one: (one.start, one.camera))

    def ticks(self) -> dict[int, list[int]]:
        """The times of each partition's ticks, in the order of the log."""
        found: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        for partition, record in self.records():
            frame = decode_frame(record.value)
            if frame.picture is None:
                assert record.key is None
                found[partition].append(frame.start)
        return found


def sending(
    resolve: Callable[[Metric, int], Resolved],
    detect: Detect | None = None,
    topic: str | None = None,
) -> Sending:
    log, journal = MemoryLog(lambda: BEGIN), Journal()
    topic = topic or live("town", FRAMES if detect is None else REGIONS)
    log.create(topic, PARTITIONS, {})
    beside = None if detect is None else Beside(detect, DETECTOR)
    return Sending(log, CameraFeed(log.writer(), topic, journal, resolve, ORIGIN, beside), journal)


def said(records: Iterable[tuple[int, MemoryRecord]]) -> bytes:
    """Every byte of every message."""
    return b"".join((record.key or b"") + (record.value or b"") for _, record in records)
