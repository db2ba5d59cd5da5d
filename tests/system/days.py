"""A day of a small city as messages, dataset by dataset, so that a test can decide when each goes to Kafka."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Acknowledged, TopicPartition
from ingest.cameras.camera_feed import CameraFeed
from ingest.cameras.senders import FrameSender
from ingest.cameras.simulated import CameraSimulator, SimulatedCameras
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.simulated.bins import Bins
from ingest.simulated.faults import OFTEN, FaultRates
from ingest.simulated.fleet import Fleet
from ingest.simulated.premises import Premises
from ingest.simulated.rounds import Rounds
from ingest.simulated.simulator import Simulator
from ingest.simulated.sources import SimulatedSources
from ingest.simulated.spans import last_day, last_hours
from schemas.batch import REGION
from schemas.catalogue import catalogue
from schemas.frames import Frame
from schemas.regions import encode_regions, encode_tick, key_of
from schemas.topics import FRAMES, REGIONS, dataset_of, live
from tests.ingest.small_city import city as small_city
from tests.ingest.small_city import registered

ENERGY = "energy.readings"
LEVELS = "waste.fill-levels"
COLLECTIONS = "waste.collections"
ZONE = "Asia/Tehran"
PARTITIONS = 4
FAULTS = FaultRates(repeated=0.05, broken=0.002, estimated=0.05, late=0.02, future=0.005, too_long=0.005, invalid=0.005)
HOUR = 3_600_000


@dataclass(frozen=True)
class Sent:
    """One message, and the partition that it goes to."""

    dataset: str
    key: bytes | None
    partition: int
    value: bytes


class Recorder:
    """A writer that keeps every message, with the partition that a key belongs to here."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        self.sent.append(Sent(dataset_of(topic), key, int(key) % PARTITIONS, value))

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self.sent.append(Sent(dataset_of(topic), None, partition, value))

    def flush(self) -> None:
        pass

    def partitions(self, topic: str) -> int:
        return PARTITIONS

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        return {}

    def close(self) -> None:
        pass


def energy_day(meters: int, hours: int = 26, seed: int = 7) -> list[Sent]:
    """A simulated day of meters with faults, in the order of sending."""
    meters_of_town, now = Fleet(small_city(ZONE), meters, seed), _now()
    end = now // HOUR * HOUR - HOUR // 2  # a full hour on the clock of Tehran
    return _replayed(meters_of_town, ENERGY, now, (end - hours * HOUR, end), FAULTS)


def waste_day(seed: int = 7) -> list[list[Sent]]:
    """A simulated day of fill levels, and weighings of a whole local day after the statements of two months."""
    city, now = small_city(ZONE), _now()
    bins, premises = Bins(city, 300, seed), Premises(city, 2_000, seed)
    rounds = Rounds(city, premises.people, seed)
    lateness = {metric.name: metric.lateness_ms for metric in catalogue().values()}
    levels = _replayed(bins, LEVELS, now, last_hours(now, ZONE, lateness["waste.fill"]), OFTEN)
    recorder = Recorder()
    rounds.send_last(Feed(recorder, live("day", COLLECTIONS), NoJournal(), "tests"), registered(rounds), now)
    weighed = _replayed(premises, COLLECTIONS, now, last_day(now, ZONE, lateness["waste.collected"]), OFTEN)
    return [levels, recorder.sent + weighed]


def _replayed(
    sources: SimulatedSources, dataset: str, now: int, span: tuple[int, int], rates: FaultRates
) -> list[Sent]:
    recorder = Recorder()
    feed = Feed(recorder, live("day", dataset), NoJournal(), "tests")
    Simulator(sources, feed, NoJournal(), registered(sources), lambda: now, rates).replay(*span)
    return recorder.sent


def _now() -> int:
    return round(time.time() * 1000)


def pictures(cameras: int = 3, seconds: float = 120, seed: int = 7) -> list[Sent]:
    """Pictures of simulated cameras, some cut, stale or missing, and messages that are no frame."""
    simulated, recorder = SimulatedCameras(small_city(ZONE), cameras, seed), Recorder()
    sender = FrameSender(Feed(recorder, live("day", FRAMES), NoJournal(), "tests"))
    feed = CameraFeed(sender, registered(simulated), NoJournal(), simulated.origin)
    CameraSimulator(simulated, feed, _now, rate=1.0).replay(seconds)
    return recorder.sent


def regions_day(cameras: int = 3, hours: int = 3, seed: int = 7) -> list[Sent]:
    """The regions in the pictures of some cameras: some twice, some late, some broken.

    Video cameras take five pictures a second of vehicles that cross the edge of each quarter hour, and one still camera
    takes a picture every ten seconds.
    """
    rng = np.random.default_rng(seed)
    end = round(time.time() * 1000) // HOUR * HOUR - HOUR
    frames = list(_edges(end - hours * HOUR, end, cameras, rng))
    for start in range(end - hours * HOUR, end, 10_000):
        still = Frame("traffic.occupancy", cameras + 1, "any", 10_000, start, cameras, cameras, b"")
        frames.append((still, np.zeros(rng.poisson(2), REGION)))
    sent: list[Sent] = []
    withheld: list[Sent] = []
    for frame, found in sorted(frames, key=lambda picture: (picture[0].start, picture[0].camera)):
        value = encode_regions(frame, found)
        message = Sent(REGIONS, key_of(frame), frame.area % PARTITIONS, value)
        fate = rng.random()
        if fate < 0.01:
            withheld.append(message)
        else:
            sent.append(message if fate > 0.02 else Sent(REGIONS, message.key, message.partition, value[:-2]))
        if fate > 0.97:
            sent.append(message)
    sent += [Sent(REGIONS, None, partition, encode_tick(end + HOUR)) for partition in range(PARTITIONS)]
    return sent + withheld


def _edges(begin: int, end: int, cameras: int, rng: np.random.Generator) -> Iterator[tuple[Frame, NDArray[np.void]]]:
    """Pictures of three seconds around the edge of each quarter hour, and what is in them."""
    for edge in range(begin + HOUR // 4, end, HOUR // 4):
        for camera in range(cameras):
            enters = [(int(since), lane) for lane, since in enumerate(rng.integers(-2_500, 1_500, 3))]
            for after in range(-3_000, 3_000, 200):
                boxes = [
                    (100 + 200 * lane, 50 + (after - since) // 10, 60, 20, 0.9, 1 + lane % 2)
                    for since, lane in enters
                    if since <= after < since + 1_600
                ]
                frame = Frame("traffic.regions", camera + 1, "any", 200, edge + after, camera, camera, b"")
                yield frame, np.array(boxes, REGION)


def mixed(days: Sequence[Sequence[Sent]]) -> list[Sent]:
    """Days side by side: each in its own order, all of them evenly spread."""
    places = [((index + 1) / len(day), number, index) for number, day in enumerate(days) for index in range(len(day))]
    return [days[number][index] for _, number, index in sorted(places)]
