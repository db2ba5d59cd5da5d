from functools import cache
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from ingest.cameras.camera_feed import PictureCounts, origin_of, send_all
from ingest.cameras.rendered import RenderedCamera
from ingest.cameras.senders import DetectionCounts, FrameSender
from ingest.cameras.sources import Rendered, Shot
from processors.plates.jpeg_decoding import decode_picture
from processors.plates.network import NetworkDetector
from schemas.batch import REGION, decode
from schemas.frames import Frame
from schemas.pictures import BadPicture
from schemas.topics import FRAMES, REGIONS, history, live
from tests.ingest.cameras.logs import BEGIN, DETECTOR, ORIGIN, PARTITIONS, register, said, sending

SECRET = "secret-camera-4711"
NOW = BEGIN + 10_000_000


@cache
def detect(picture: bytes) -> np.ndarray:
    return network().detect(decode_picture(picture))


@cache
def network() -> NetworkDetector:
    return NetworkDetector()


def shot(number: int, picture: bytes, step: int = 500) -> Shot:
    return Shot(number, BEGIN + number * step, picture)


def test_every_picture_is_one_message_by_its_camera():
    made = sending(register("a", "b"))
    for number in range(5):
        made.feed.send("a", 500, shot(number, b"A%d" % number))
        made.feed.send("b", 250, shot(number, b""))
    made.feed.flush()
    assert made.frames() == [
        frame
        for number in range(5)
        for frame in (
            Frame("traffic.regions", 5, "any", 500, BEGIN + number * 500, 70, 900, b"A%d" % number, "tests"),
            Frame("traffic.regions", 6, "any", 250, BEGIN + number * 500, 71, 901, b"", "tests"),
        )
    ]
    keys = {record.key: partition for partition, record in made.records()}
    assert set(keys) == {b"70", b"71"}
    assert made.feed.counts == PictureCounts(pictures=10, missing=5)
    assert (made.output.messages, made.output.readings, made.journal.acknowledged_readings) == (10, 10, 10)


def test_ticks_reach_every_partition_and_are_no_readings():
    made = sending(register("a"))
    source = Rendered(RenderedCamera(1, "IR", 64, 36), 60)
    assert send_all(made.feed, "a", source, BEGIN, lambda: NOW)
    ticks = made.ticks()
    assert list(ticks) == list(range(PARTITIONS))
    expected = [BEGIN + second * 1000 for second in (5, 10, 15, 20, 25, 30, 30)]
    assert all(times == expected for times in ticks.values())
    assert made.output.messages == 60 + 7 * PARTITIONS
    assert (made.output.readings, made.journal.acknowledged_readings) == (60, 60)


def test_no_tick_goes_ahead_of_the_clock():
    made = sending(register("a"))
    now = BEGIN + 7_000
    send_all(made.feed, "a", Rendered(RenderedCamera(1, "IR", 64, 36), 60), BEGIN, lambda: now)
    assert max(time for times in made.ticks().values() for time in times) == now


def test_an_import_of_the_past_ends_by_closing_all_its_windows():
    topic = history("town", REGIONS, "last-year")
    made = sending(register("a"), detect, topic)
    send_all(made.feed, "a", Rendered(RenderedCamera(1, "IR"), 4), BEGIN, lambda: NOW, history=True)
    ticks = [decode(record.value) for _, record in made.records() if record.key is None]
    assert len(ticks) == PARTITIONS
    assert {(tick.count, tick.start) for tick in ticks} == {(0, BEGIN + 2_000 + 75 * 60_000)}


def test_stopping_leaves_out_the_last_tick():
    made, stop = sending(register("a")), Event()
    stop.set()
    assert not send_all(made.feed, "a", Rendered(RenderedCamera(1, "IR", 64, 36), 60), BEGIN, lambda: NOW, stop=stop)
    assert len(made.frames()) == 1
    assert not any(made.ticks().values())
    assert made.journal.acknowledged_readings == 1


def test_of_an_unknown_camera_only_id_and_time_are_kept_once_a_second():
    made = sending(register("known"))
    for number in range(50):  # 5 seconds
        made.feed.send(SECRET, 100, shot(number, b"\xff\xd8\xffits picture", 100))
        made.feed.send("another", 100, shot(number, b"\xff\xd8\xffits picture", 100))
    assert made.feed.counts == PictureCounts(refused=100)
    assert (made.output.messages, made.records()) == (0, [])
    assert made.feed.rows_refused == 10
    kept = [(origin, refused.reason, refused.original.decode()) for (origin, _), refused in made.journal.kept.items()]
    assert sorted(kept) == sorted(
        (ORIGIN, "unknown-source", f"{name},{BEGIN + second * 1000}")
        for name in (SECRET, "another")
        for second in range(5)
    )


@pytest.mark.parametrize("source", ["x" * 201, "with\x00zero", "with\nline", "\udce9"])
def test_an_id_that_no_register_can_hold_is_unknown(source):
    made = sending(register("a"))
    made.feed.send(source, 500, shot(0, b"p"))
    assert made.feed.counts.refused == 1
    assert len(made.journal.kept) == 1


def test_a_camera_is_looked_up_at_the_time_of_the_picture():
    made = sending(register("a", begins=BEGIN + 1_000, ends=BEGIN + 2_000))
    for number in range(6):
        made.feed.send("a", 500, shot(number, b"p"))
    assert [frame.start - BEGIN for frame in made.frames()] == [1_000, 1_500]
    assert made.feed.counts.refused == 4


def test_a_region_sender_sends_regions_and_no_picture():
    made = sending(register("a", SECRET), detect)
    camera = RenderedCamera(2, "VN")
    source = Rendered(camera, 12)
    send_all(made.feed, SECRET, source, BEGIN, lambda: NOW)
    expected = {taken.start_ms: detect(taken.picture) for taken in source.shots(BEGIN)}
    batches = [(record.key, decode(record.value)) for _, record in made.records() if record.key is not None]
    assert len(batches) == 12
    for key, batch in batches:
        regions = np.frombuffer(batch.regions, REGION)
        assert np.array_equal(regions, expected[batch.start])
        [row] = batch.array()
        assert (int(row["source"]), int(row["contributor"]), int(row["value"])) == (71, 901, len(regions))
        assert (key, batch.area, batch.interval, batch.class_) == (b"6", 6, 500, "any")
    found = sum(map(len, expected.values()))
    assert found > 11
    assert made.feed.counts == PictureCounts(pictures=12)
    assert made.detection == DetectionCounts(seen=12, regions=found)
    ticks = [decode(record.value).start - BEGIN for _, record in made.records() if record.key is None]
    assert sorted(ticks) == sorted([5_000, 6_000] * PARTITIONS)
    assert (made.output.readings, made.journal.acknowledged_readings) == (12, 12)
    assert made.journal.looked == [(REGIONS, DETECTOR, BEGIN)]
    everything = said(made.records())
    assert b"\xff\xd8\xff" not in everything
    for text in {plate.text for number in range(12) for plate in camera.truth(number)} | {SECRET}:
        assert text.encode() not in everything


def test_a_region_sender_counts_what_it_does_not_examine_and_keeps_nothing_of_it():
    made = sending(register("a", "b"), detect)
    good = [taken.picture for taken in Rendered(RenderedCamera(2, "VN"), 4).shots(BEGIN)]
    cut = good[1][:300]
    for number, picture in enumerate([good[0], good[0], cut, cut, b"", good[1], good[2], b"a text", b"", b"", good[2]]):
        made.feed.send("a", 500, shot(number, picture))
    made.feed.send("b", 500, shot(0, good[2]))  # another camera's
    made.feed.send("a", 500, shot(10 + 121, good[2]))  # more than a minute later
    assert made.feed.counts == PictureCounts(pictures=13, missing=3)
    regions = made.detection.regions
    assert made.detection == DetectionCounts(seen=6, stale=2, regions=regions, undecodable={"cut": 1, "not-jpeg": 1})
    assert made.output.readings == 6
    assert not made.journal.kept


def test_a_still_cameras_picture_is_of_its_own_metric_and_unit():
    made = sending(register("a", metric="traffic.occupancy"), lambda _: np.zeros(3, REGION))
    made.feed.send("a", 10_000, shot(0, b"p"))
    [batch] = [decode(record.value) for _, record in made.records()]
    assert (batch.metric, batch.interval, batch.array()["value"].tolist()) == ("traffic.occupancy", 10_000, [300.0])


def test_an_error_of_the_detector_itself_is_not_taken_for_a_bad_picture():
    def broken(picture: bytes) -> np.ndarray:
        raise ValueError("shapes don't fit")

    made = sending(register("a"), broken)
    with pytest.raises(ValueError, match="shapes"):
        made.feed.send("a", 500, shot(0, b"p"))
    with pytest.raises(BadPicture):
        detect(b"p")


def test_half_a_message_is_no_reading():
    made = sending(register("a"))
    frame = made.feed.frame("a", 500, shot(0, b"p" * 100))
    assert frame is not None and isinstance(made.feed.sender, FrameSender)
    made.feed.sender.send_broken(frame)
    made.feed.flush()
    assert (made.output.messages, made.output.readings, made.journal.acknowledged_readings) == (1, 0, 0)
    assert made.feed.frame("b", 500, shot(0, b"p")) is None


@pytest.mark.parametrize(("dataset", "detector"), [(FRAMES, detect), (REGIONS, None)])
def test_pictures_never_go_into_the_topic_of_regions(dataset, detector):
    with pytest.raises(ValueError, match="it takes no"):
        sending(register("a"), detector, live("town", dataset))


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        (Path("/a/b/clip.mp4"), "clip.mp4/traffic.regions"),
        (Path("/"), "/traffic.regions"),
        (Path("/a/caf\udce9.mp4"), "caf\\xe9.mp4/traffic.regions"),
    ],
)
def test_refused_pictures_are_kept_under_the_last_part_of_the_path(path, origin):
    assert origin_of(path) == origin
