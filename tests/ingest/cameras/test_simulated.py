import csv
from collections import Counter, defaultdict
from functools import cache
from threading import Event

import numpy as np
import pytest

from ingest.cameras.drawing import Picture
from ingest.cameras.rendered import RenderedCamera
from ingest.cameras.simulated import CameraExpected, CameraSimulator, ExpectedPictures, SimulatedCameras
from ingest.register_file import write_register
from processors.plates.jpeg_decoding import decode_picture
from processors.plates.network import NetworkDetector
from schemas.batch import DecodeError, decode
from schemas.catalogue import catalogue, sent_in
from schemas.frames import Frame, decode_frame
from schemas.pictures import BadPicture
from schemas.topics import REGIONS
from tests.ingest.cameras.logs import PARTITIONS, Sending, register, said, sending
from tests.ingest.small_city import city
from tests.soak import amount, soak, soak_only

NOW = 1_790_003_456_789
QUARTER = 900_000
METRIC = catalogue()["traffic.regions"]
EXAMINED = amount(1, soak=2)
"""Cameras whose pictures are drawn in full and examined, the slowest of what is done here."""


class Noise(RenderedCamera):
    """Pictures in which nothing is drawn: no two are the same."""

    def frame(self, number: int) -> Picture:
        rng = np.random.default_rng((self.seed, number))
        return rng.integers(0, 256, (self.height, self.width, 3), np.uint8)

    def __init__(self, seed: int, country: str, rate: float) -> None:
        super().__init__(seed, country, 64, 36, rate)
        self.seed = seed


class PlainViews(SimulatedCameras):
    """Cameras for tests that count pictures and look at none: drawing would take most of the time."""

    def camera(self, index: int, rate: float) -> RenderedCamera:
        return Noise(self.seed * 1_000 + index, self.city.country, rate)


@cache
def detect(picture: bytes) -> np.ndarray:
    return network().detect(decode_picture(picture))


@cache
def network() -> NetworkDetector:
    return NetworkDetector()


def simulated(
    count: int = 2, seed: int = 1, rate: float = 2.0, *, detecting: bool = False, faults: bool = True
) -> tuple[SimulatedCameras, CameraSimulator, Sending]:
    cameras = (SimulatedCameras if detecting else PlainViews)(city(), count, seed)
    made = sending(register(*cameras.ids), detect if detecting else None)
    return cameras, CameraSimulator(cameras, made.feed, lambda: NOW, rate, faults=faults), made


def account(made: Sending) -> tuple[Counter[str], dict[int, Counter[str]]]:
    """What a reader finds: totals, and outcomes by camera, each partition in the order of its log."""
    totals: Counter[str] = Counter()
    cameras: dict[int, Counter[str]] = defaultdict(Counter)
    previous: dict[int, bytes] = {}
    for _, record in made.records():
        totals["messages"] += 1
        try:
            frame = decode_frame(record.value)
        except DecodeError:
            totals["dead"] += 1
            continue
        if frame.picture is None:
            continue
        totals["readings"] += 1
        outcome = _outcome(frame, previous.get(frame.camera))
        if frame.picture:
            previous[frame.camera] = frame.picture
        totals[outcome] += 1
        cameras[frame.camera][outcome] += 1
    return totals, cameras


def _outcome(frame: Frame, before: bytes | None) -> str:
    if not frame.picture:
        return "missing"
    if frame.picture == before:
        return "stale"
    try:
        decode_picture(frame.picture)
    except BadPicture as error:
        assert error.reason == "cut"
        return "undecodable"
    return "seen"


@pytest.mark.parametrize(
    ("count", "seed", "seconds", "rate"),
    [(1, 5, 61, 1.0), (3, 2, 8, 5.0), pytest.param(2, 1, 30, 2.0, marks=soak_only)],
)
def test_faults_are_counted_exactly(count, seed, seconds, rate):
    cameras, simulator, made = simulated(count, seed, rate)
    expected = simulator.replay(seconds)
    totals, by_camera = account(made)
    frames = seconds * round(rate)
    assert expected == ExpectedPictures(
        messages=totals["messages"],
        readings=totals["readings"],
        duplicate=totals["stale"],
        late=0,
        rejected=totals["undecodable"] + totals["missing"],
        dead=totals["dead"],
        refused=len(made.journal.kept),
        cameras=tuple(
            CameraExpected(70 + sorted(cameras.ids).index(source), frames, *_counts(by_camera, cameras, source))
            for source in cameras.ids
        ),
    )
    assert expected.readings == count * frames
    assert (expected.dead, expected.refused) == (1, 2)
    assert expected.readings == made.journal.acknowledged_readings


def _counts(by_camera: dict[int, Counter[str]], cameras: SimulatedCameras, source: str) -> tuple[int, ...]:
    found = by_camera[70 + sorted(cameras.ids).index(source)]
    return tuple(found[outcome] for outcome in ("seen", "undecodable", "stale", "missing"))


def test_each_fault_has_its_outcome_at_any_rate(monkeypatch):
    monkeypatch.setattr("ingest.cameras.simulated._FRAMES_PER_FAULT", 4)
    _, simulator, made = simulated(rate=1.0)
    expected = simulator.replay(30)
    totals, _ = account(made)
    assert (expected.duplicate, expected.rejected) == (totals["stale"], totals["undecodable"] + totals["missing"])
    assert totals["stale"] == totals["undecodable"] == totals["missing"] == 2 * 5


def test_at_the_default_length_every_fault_occurs_twice():
    _, simulator, made = simulated()
    expected = simulator.replay(30)
    for camera in expected.cameras:
        assert (camera.expected, camera.seen) == (60, 54)
        assert (camera.undecodable, camera.stale, camera.missing) == (2, 2, 2)
    assert made.feed.counts.refused == 2


def test_without_faults_nothing_goes_wrong():
    _, simulator, made = simulated(faults=False)
    expected = simulator.replay(10)
    totals, _ = account(made)
    assert totals["seen"] == totals["readings"] == expected.readings == 40
    assert (expected.duplicate, expected.rejected, expected.dead, expected.refused) == (0, 0, 0, 0)


@pytest.mark.parametrize("seconds", [1, 30, 1799, 1801, 7200])
def test_a_replays_last_tick_closes_all_its_windows(seconds):
    _, simulator, _ = simulated()
    begin = simulator.begin(seconds)
    assert begin % QUARTER == 0
    last = begin + seconds * 1000 - 500
    for metric in sent_in(REGIONS):
        assert last // QUARTER * QUARTER + metric.longest_window_ms + metric.lateness_ms <= NOW
    assert begin <= NOW - 3_600_000
    assert begin > NOW - 2 * 3_600_000 - seconds * 1000 - QUARTER


def test_the_last_tick_is_the_clocks_time_and_the_others_are_seconds_apart():
    _, simulator, made = simulated(rate=1.0, faults=False)
    simulator.replay(30)
    begin = simulator.begin(30)
    for times in made.ticks().values():
        assert times == [*(begin + 1000 * second for second in (5, 10, 15, 20, 25)), NOW]


def test_the_same_seed_sends_the_same_and_another_does_not():
    sent = []
    for seed in (1, 1, 2):
        _, simulator, made = simulated(seed=seed)
        simulator.replay(5)
        sent.append(said(made.records()))
    assert sent[0] == sent[1] != sent[2]


def test_a_reader_learns_no_id_and_no_plate():
    cameras, simulator, made = simulated(rate=1.0)
    simulator.replay(30)
    everything = said(made.records())
    secrets = {*cameras.ids, cameras.stray, "SIM-"}
    for index in range(2):
        view = cameras.camera(index, 1.0)
        secrets |= {plate.text for number in range(30) for plate in view.truth(number)}
    assert len(secrets) > 20
    assert not [secret for secret in secrets if secret.encode() in everything]
    for refused in made.journal.kept.values():
        source, _, time = refused.original.decode().partition(",")
        assert source == cameras.stray
        assert time.isdigit()


@soak
def test_with_a_detector_only_examined_pictures_are_sent():
    _, simulator, made = simulated(EXAMINED, detecting=True)
    expected = simulator.replay(15)
    batches = [decode(record.value) for _, record in made.records()]
    counted = sum(int(batch.array()["value"].sum()) for batch in batches)
    assert expected.readings == sum(batch.count for batch in batches) == EXAMINED * 27 == made.detection.seen
    assert expected.messages == len(batches) == EXAMINED * 27 + 3 * PARTITIONS
    assert (expected.duplicate, expected.rejected, expected.dead, expected.refused) == (0, 0, 0, 2)
    assert counted == made.detection.regions
    for camera in range(EXAMINED):
        by_camera = [batch for batch in batches if batch.count and int(batch.array()["source"][0]) == 70 + camera]
        assert sum(int(batch.array()["value"][0]) for batch in by_camera) >= 11  # enough to be published
    assert made.detection.undecodable == {"cut": EXAMINED}
    assert (made.detection.stale, made.feed.counts.missing) == (EXAMINED, EXAMINED)


def test_stopping_counts_what_was_sent():
    _, simulator, _ = simulated()
    stop = Event()
    stop.set()
    expected = simulator.replay(30, stop)
    assert (expected.readings, expected.messages) == (0, PARTITIONS)
    assert [camera.expected for camera in expected.cameras] == [0, 0]


class Clock:
    """Moves on whenever somebody waits for it, and stops the simulator at the end."""

    def __init__(self, jump_at: int | None = None) -> None:
        self.now = NOW
        self.stop = Event()
        self.waits = 0
        self._jump_at = jump_at
        self.stop.wait = self._wait  # type: ignore[method-assign]

    def __call__(self) -> int:
        return self.now

    def _wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits += 1
        self.now += 3_600_000 if self.waits == self._jump_at else max(round(timeout * 1000), 1)
        if self.waits >= 40:
            self.stop.set()
        return self.stop.is_set()


def test_following_sends_a_picture_when_it_is_due():
    cameras = PlainViews(city(), 2, 1)
    made, clock = sending(register(*cameras.ids)), Clock()
    CameraSimulator(cameras, made.feed, clock, 2.0).follow(clock.stop, first=60)
    starts = sorted({frame.start for frame in made.frames()})
    assert starts[0] == -(-NOW // 500) * 500
    assert np.diff(starts).tolist() == [500] * (len(starts) - 1)
    assert starts[-1] <= clock.now
    assert len(made.frames()) == 2 * len(starts)
    assert len(starts) == 39
    for times in made.ticks().values():
        assert times == starts[::10]


def test_after_a_long_sleep_following_goes_on_from_now():
    cameras = PlainViews(city(), 1, 1)
    made, clock = sending(register(*cameras.ids)), Clock(jump_at=10)
    CameraSimulator(cameras, made.feed, clock, 2.0).follow(clock.stop)
    gaps = np.diff(sorted(frame.start for frame in made.frames())).tolist()
    assert len(gaps) == 38
    assert sorted(gaps)[:-1] == [500] * 37
    assert max(gaps) >= 3_599_000


def test_the_register_has_all_cameras_but_the_stray_one(tmp_path):
    cameras = SimulatedCameras(city(), 5, 3)
    write_register(tmp_path / "register.csv", cameras.register())
    with (tmp_path / "register.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == list(cameras.ids)
    assert len({row["contributor"] for row in rows} | set(cameras.ids) | {cameras.stray}) == 11
    assert {(row["metric"], row["class"]) for row in rows} == {("traffic.regions", "any")}
    assert {row["district"] for row in rows} <= {district.id for district in city().districts}
    assert cameras.origin.endswith("/traffic.regions")
    assert set(SimulatedCameras(city(), 5, 3).ids) == set(cameras.ids)
    assert not set(SimulatedCameras(city(), 6, 3).ids) & set(cameras.ids)


def test_still_cameras_give_a_picture_every_ten_seconds_for_a_quarter_of_an_hour():
    cameras = PlainViews(city(), 1, 1, stills=1)
    made = sending(register(*cameras.still_ids, metric="traffic.occupancy"))
    expected = CameraSimulator(cameras, made.feed, lambda: NOW, 2.0, faults=False).replay(30)
    frames = made.frames()
    assert {frame.metric for frame in frames} == {"traffic.occupancy"}
    assert {frame.interval for frame in frames} == {10_000}
    assert {frame.camera for frame in frames} == {70}
    begin = frames[0].start
    assert begin % 900_000 == 0
    assert [frame.start for frame in frames] == list(range(begin, begin + 900_000, 10_000))
    assert expected.cameras == (CameraExpected(70, 90, 90, 0, 0, 0),)
    assert expected.readings == 90
    assert len({frame.picture for frame in frames}) == 90


def test_still_cameras_go_on_for_as_long_as_they_are_told():
    cameras = PlainViews(city(), 1, 1, stills=2)
    made = sending(register(*cameras.still_ids, metric="traffic.occupancy"))
    simulator = CameraSimulator(cameras, made.feed, lambda: NOW, 2.0, faults=False)
    expected = simulator.replay(1, still_seconds=40)
    assert expected.cameras == (CameraExpected(70, 4, 4, 0, 0, 0), CameraExpected(71, 4, 4, 0, 0, 0))
    assert Counter(frame.camera for frame in made.frames()) == {70: 4, 71: 4}
    assert len({frame.picture for frame in made.frames()}) == 8


def test_the_register_has_still_cameras_for_the_density():
    cameras = SimulatedCameras(city(), 2, 3, stills=3)
    metrics = {row["source"]: row["metric"] for row in cameras.register()}
    assert metrics == dict.fromkeys(cameras.ids, "traffic.regions") | dict.fromkeys(
        cameras.still_ids, "traffic.occupancy"
    )
    fewer = list(SimulatedCameras(city(), 2, 3, stills=1).register())
    assert fewer == list(cameras.register())[:3]


def test_cameras_see_different_streets():
    cameras = SimulatedCameras(city(), 2, 3)
    views = [cameras.camera(index, 2.0) for index in range(3)]
    assert all(isinstance(view, RenderedCamera) for view in views)
    assert not np.array_equal(views[0].frame(0), views[1].frame(0))
    assert not np.array_equal(views[1].frame(0), views[2].frame(0))


@pytest.mark.parametrize("count", [0, -1, 101])
def test_a_number_of_cameras_that_no_process_can_draw_is_refused(count):
    with pytest.raises(ValueError, match="1 to 100"):
        SimulatedCameras(city(), count, 1)
