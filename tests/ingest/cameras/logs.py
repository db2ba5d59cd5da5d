"""A register and a log in memory for cameras, and what lies in the log afterwards."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from eventlog.memory import MemoryLog, MemoryRecord
from eventlog.protocol import TopicPartition, Writer
from ingest.cameras.camera_feed import CameraFeed
from ingest.cameras.senders import DetectionCounts, FrameSender, RegionSender
from ingest.feed import Feed
from ingest.register import Register
from schemas.catalogue import Metric
from schemas.frames import Frame, decode_frame
from schemas.pictures import Detect
from schemas.topics import FRAMES, REGIONS, live
from store.deliveries import Refused
from store.detectors import Detector
from store.source_history import BEGINNING_MS, NEVER_MS
from tests.ingest.registers import InMemorySources, Registered

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
        self.acknowledged_readings = sum(record.readings for record in writer.acknowledged().values())

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        for item in refused:
            self.kept.setdefault((origin, item.position), item)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        self.looked.append((dataset, detector, since_ms))


def cameras(
    *ids: str, begins: int = BEGINNING_MS, ends: int = NEVER_MS, metric: str = "traffic.regions"
) -> Callable[[Metric, int], InMemorySources]:
    """Cameras of a metric, with the numbers 70, 71... and the areas 5, 6... in the order of their ids."""
    registered_for = metric

    def read(metric: Metric, time_ms: int) -> InMemorySources:
        if time_ms < begins:
            return InMemorySources({}, BEGINNING_MS, begins)
        if time_ms >= ends:
            return InMemorySources({}, ends, NEVER_MS)
        rows = {source: Registered(70 + place, 900 + place, 5 + place) for place, source in enumerate(sorted(ids))}
        return InMemorySources(rows if metric.name == registered_for else {}, begins, ends)

    return read


def register(*ids: str, begins: int = BEGINNING_MS, ends: int = NEVER_MS, metric: str = "traffic.regions") -> Register:
    """A register of `cameras`."""
    return Register(cameras(*ids, begins=begins, ends=ends, metric=metric), lambda: 0)


@dataclass
class Sending:
    """A feed, the log that it fills, and its journal."""

    log: MemoryLog
    feed: CameraFeed
    journal: Journal

    @property
    def output(self) -> Feed:
        return self.feed.sender.feed

    @property
    def detection(self) -> DetectionCounts:
        assert isinstance(self.feed.sender, RegionSender)
        return self.feed.sender.counts

    def records(self) -> list[tuple[int, MemoryRecord]]:
        """Partition and record of everything in the topic, partition by partition."""
        topic = self.output.topic
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return [(place.partition, record) for place in places for record in self.log.fetch(place, 0, 10**6)]

    def frames(self) -> list[Frame]:
        """The pictures, in the order of time; ticks left out."""
        every = [decode_frame(record.value) for _, record in self.records()]
        return sorted(
            (record for record in every if record.picture is not None), key=lambda record: (record.start, record.camera)
        )

    def ticks(self) -> dict[int, list[int]]:
        """The times of each partition's ticks, in the order of the log."""
        found: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        for partition, record in self.records():
            frame = decode_frame(record.value)
            if frame.picture is None:
                assert record.key is None
                found[partition].append(frame.start)
        return found


def sending(register: Register, detect: Detect | None = None, topic: str | None = None) -> Sending:
    log, journal = MemoryLog(lambda: BEGIN), Journal()
    topic = topic or live("town", FRAMES if detect is None else REGIONS)
    log.create(topic, PARTITIONS, {})
    feed = Feed(log.writer(), topic, journal, "tests")
    sender = FrameSender(feed) if detect is None else RegionSender(feed, journal, detect, DETECTOR)
    return Sending(log, CameraFeed(sender, register, journal, ORIGIN), journal)


def said(records: Iterable[tuple[int, MemoryRecord]]) -> bytes:
    """Every byte of every message."""
    return b"".join((record.key or b"") + (record.value or b"") for _, record in records)
