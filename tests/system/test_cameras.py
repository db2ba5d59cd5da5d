"""Cameras through the command into the real Kafka: the topics hold what the command says that it sent, and no more."""

import csv
import io
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest

from eventlog.protocol import Record
from ingest.cameras.rendered import RenderedCamera
from ingest.cameras.simulated import SimulatedCameras
from ingest.cities import load_city
from node.plate_detection import detect_function
from processors.plates.jpeg_decoding import decode_picture
from processors.traffic import FORMS
from schemas.batch import DecodeError, decode
from schemas.frames import Frame, decode_frame
from schemas.pictures import BadPicture
from schemas.topics import FRAMES, LARGEST_MESSAGE, REGIONS, history, live
from tests.ingest.cameras import videos
from tests.processors.films import passes_of_one
from tests.soak import soak_only
from tests.system.command import Command
from tests.system.streams import city_file, everything_in, process_undisturbed, table
from tests.waiting import until

pytestmark = pytest.mark.services

REAL = Path(__file__).parents[3] / "shared/data/streams/video/opendatacam_frames_30fps.mp4"
SECRET = "secret-camera-4711"


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


def frames_in(records: Sequence[Record]) -> list[Frame]:
    """The decodable frames; ticks among them."""
    found = []
    for record in records:
        try:
            found.append(decode_frame(record.value))
        except DecodeError as error:
            assert error.reason == "cut"
    return found


def said(records: Sequence[Record]) -> bytes:
    return b"".join((record.key or b"") + (record.value or b"") for record in records)


def register(command: Command, folder: Path) -> None:
    path = folder / "cameras.csv"
    path.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        f"{SECRET},traffic.regions,a,secret-premises-0815,any,2015-01-01,\n"
    )
    command("register", "load", str(path))


def acknowledged(database_url: str, topic: str) -> tuple[int, int]:
    """Messages and readings that ingest put down as taken over by Kafka."""
    with psycopg.connect(database_url) as connection:
        query = "SELECT sum(messages)::bigint, sum(readings)::bigint FROM deliveries WHERE topic = %s"
        found = connection.execute(query, (topic,)).fetchone()
    assert found is not None
    return found


def refused(database_url: str) -> list[tuple[str, str, bytes]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT origin, reason, original FROM source_dead_letters ORDER BY position"
        ).fetchall()


def test_simulated_cameras_send_what_they_report(command, kafka_log, city, database_url, tmp_path):
    command("ingest", "simulate-cameras", "--stills", "0", "--report", str(tmp_path / "sent.json"))
    report = json.loads((tmp_path / "sent.json").read_text())[FRAMES]
    records = everything_in(kafka_log, live(city, FRAMES))
    frames = frames_in(records)
    pictures = [frame for frame in frames if frame.picture is not None]
    assert len(records) == report["messages"]
    assert len(records) - len(frames) == report["dead"] == 1
    assert len(pictures) == report["readings"] == 120
    assert acknowledged(database_url, live(city, FRAMES)) == (report["messages"], report["readings"])
    assert {record.key for record in records if record.key} == {b"%d" % frame.camera for frame in pictures}
    for camera in report["cameras"]:
        mine = [frame.picture for frame in pictures if frame.camera == camera["camera"]]
        stale = sum(bool(now) and now == before for before, now in pairwise(mine))
        undecodable = sum(bool(picture) and not decodable(picture) for picture in mine)
        assert (len(mine), mine.count(b""), stale, undecodable) == (60, 2, 2, 2)
        assert camera == {**camera, "expected": 60, "seen": 54, "undecodable": 2, "stale": 2, "missing": 2}
    simulated = SimulatedCameras(load_city(tmp_path / "city.toml"), 2, 1)
    kept = refused(database_url)
    assert len(kept) == report["refused"] == 2
    assert {original.split(b",")[0].decode() for _, _, original in kept} == {simulated.stray}
    assert {(origin, reason) for origin, reason, _ in kept} == {(simulated.origin, "unknown-source")}
    plates = {plate.text for index in range(2) for n in range(60) for plate in simulated.camera(index, 2.0).truth(n)}
    assert len(plates) > 20
    everywhere = said(records)
    assert not [secret for secret in plates | {*simulated.ids, simulated.stray} if secret.encode() in everywhere]


def decodable(picture: bytes) -> bool:
    try:
        decode_picture(picture)
    except BadPicture as error:
        assert error.reason == "cut"
        return False
    return True


def test_simulated_cameras_with_a_detector_send_regions_only(command, kafka_log, city, database_url, tmp_path):
    command("ingest", "simulate-cameras", "--stills", "0", "--detect", "--report", str(tmp_path / "sent.json"))
    report = json.loads((tmp_path / "sent.json").read_text())[REGIONS]
    records = everything_in(kafka_log, live(city, REGIONS))
    batches = [decode(record.value) for record in records]
    assert len(records) == report["messages"]
    assert sum(batch.count for batch in batches) == report["readings"] == 108
    assert acknowledged(database_url, live(city, REGIONS)) == (report["messages"], 108)
    assert sum(int(batch.array()["value"].sum()) for batch in batches) > 2 * 11
    assert live(city, FRAMES) not in kafka_log.topics()
    assert b"\xff\xd8\xff" not in said(records)


def clip(folder: Path, which: str) -> tuple[Path, int]:
    """A video and how many pictures it has at 2 a second."""
    if which == "real":
        if not REAL.exists():
            pytest.skip("the shared data does not lie beside this checkout (../shared/data)")
        return REAL, 34
    return videos.write(folder / "clip.mp4", frames=50, rate=10.0), 10


@pytest.mark.parametrize("which", ["made up", "real"])
def test_a_video_is_sent_as_it_is_said(which, command, kafka_log, city, database_url, tmp_path):
    register(command, tmp_path)
    path, count = clip(tmp_path, which)
    output = command("ingest", "camera", str(path), "--source", SECRET)
    assert f"{count} of {count} pictures sent, 0 of them missing" in output
    records = everything_in(kafka_log, live(city, FRAMES))
    frames = frames_in(records)
    pictures = sorted((frame for frame in frames if frame.picture is not None), key=lambda frame: frame.start)
    assert [frame.start - pictures[0].start for frame in pictures] == [500 * number for number in range(count)]
    for frame in pictures:
        assert frame.picture is not None
        assert decode_picture(frame.picture).ndim == 3
    last = pictures[-1].start + 500
    assert all(frame.start <= last for frame in frames if frame.picture is None)
    assert 0 <= max(record.timestamp for record in records) - last < 120_000  # the last picture was taken now
    assert acknowledged(database_url, live(city, FRAMES)) == (len(records), count)
    assert SECRET.encode() not in said(records)


def street(folder: Path) -> Path:
    """A video of a rendered street: 40 seconds, 2 pictures a second."""
    path = folder / "street.mp4"
    camera = RenderedCamera(4, "VN", rate=2.0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 2.0, (640, 360))
    for number in range(80):
        writer.write(camera.frame(number))
    writer.release()
    return path


@pytest.mark.parametrize("which", ["made up", pytest.param("real", marks=soak_only)])
def test_what_the_operator_sees_is_what_a_detector_finds_in_the_pictures(
    which, command, kafka_log, city, database_url, second_database_url, tmp_path
):
    """The whole way: video, pictures, regions, cells."""
    register(command, tmp_path)
    path = street(tmp_path) if which == "made up" else clip(tmp_path, which)[0]
    begin = int(time.time()) // 900 * 900 - 3 * 900  # a quarter hour that is closed by now
    start = datetime.fromtimestamp(begin + 1, UTC).isoformat()
    command("ingest", "camera", str(path), "--source", SECRET, "--start", start)
    frames = [frame for frame in frames_in(everything_in(kafka_log, live(city, FRAMES))) if frame.picture]
    command("ingest", "camera", str(path), "--source", SECRET)  # its ticks say that the time has come to now
    command("detect", "--until-caught-up")
    command("process", "--until-caught-up")
    rows = list(csv.DictReader(io.StringIO(command("query", "traffic.regions"))))
    look = detect_function()
    found = [look(frame.picture or b"") for frame in frames]
    regions = sum(map(len, found))
    window = datetime.fromtimestamp(begin, UTC).isoformat()
    [row] = [row for row in rows if row["window_start"] == window]
    assert (int(row["value"]), int(row["readings"])) == (regions, len(frames))
    assert int(row["covered_ms"]) == 500 * len(frames)
    assert which == "real" or regions > 40
    rows = list(csv.DictReader(io.StringIO(command("query", "traffic.passes"))))
    counted = {row["class"]: int(row["value"]) for row in rows if row["window_start"] == window}
    starts = np.array([frame.start for frame in frames])
    places = np.repeat(np.arange(len(found)), [len(boxes) for boxes in found])
    forms = passes_of_one(starts, places, np.concatenate(found), window_start=begin).form.tolist()
    assert counted == {class_: forms.count(form) for form, class_ in FORMS.items()}
    assert which == "real" or sum(counted.values()) > 10
    process_undisturbed(kafka_log, live(city, REGIONS), second_database_url, f"again-{city}")
    assert table(second_database_url)["cells"] == table(database_url)["cells"]
    [camera] = json.loads(command("status", "--json"))["cameras"]
    assert (camera["source"], camera["expected"], camera["seen"]) == (SECRET, 2 * len(frames), 2 * len(frames))


def test_a_past_video_with_a_detector_becomes_history(command, kafka_log, city, tmp_path):
    register(command, tmp_path)
    path, count = clip(tmp_path, "made up")
    options = ("--source", SECRET, "--detect", "--start", "2025-07-01T08:00:00+03:30", "--name", "july")
    output = command("ingest", "camera", str(path), *options)
    assert f"{count} of {count} pictures looked at, 0 regions found" in output
    assert "sistercity process --history july" in output
    batches = [decode(record.value) for record in everything_in(kafka_log, history(city, REGIONS, "july"))]
    begin = 1_751_344_200_000
    assert sorted(batch.start for batch in batches if batch.count) == [begin + 500 * n for n in range(count)]
    assert {batch.start for batch in batches if not batch.count} >= {begin + 500 * count + 75 * 60_000}


def test_an_unknown_cameras_pictures_are_refused_and_none_is_kept(command, kafka_log, city, database_url, tmp_path):
    register(command, tmp_path)
    path, count = clip(tmp_path, "made up")
    output = command("ingest", "camera", str(path), "--source", "nobody", "--start", "2026-11-01T00:00:00Z")
    assert f"0 of {count} pictures sent" in output
    assert f"{count} refused" in output
    assert all(frame.picture is None for frame in frames_in(everything_in(kafka_log, live(city, FRAMES))))
    begin = 1_793_491_200_000
    assert refused(database_url) == [
        ("clip.mp4/traffic.regions", "unknown-source", b"nobody,%d" % (begin + 1000 * second)) for second in range(5)
    ]


def test_a_folder_with_bad_pictures_and_a_very_large_one(command, kafka_log, city, tmp_path):
    register(command, tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (2400, 2600, 3), dtype=np.uint8)
    large = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert len(large) > LARGEST_MESSAGE
    fits = cv2.imencode(".jpg", noise[:1200], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    files = {"a.jpg": large, "b.jpg": fits, "c.jpg": fits[:5000], "d.png": b"no picture", "e.jpg": b""}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    output = command("ingest", "camera", str(folder), "--source", SECRET, "--rate", "1")
    assert "5 of 5 pictures sent, 2 of them missing" in output
    frames = frames_in(everything_in(kafka_log, live(city, FRAMES)))
    sent = [frame.picture for frame in sorted(frames, key=lambda frame: frame.start) if frame.picture is not None]
    assert sent[1:] == [fits, fits[:5000], b"", b""]
    assert 1_000_000 < len(sent[0]) < len(large)


@pytest.mark.parametrize(
    "wrong",
    [
        ["{text}", "--source", "x"],
        ["{clip}", "--source", "x" * 201],
        ["{clip}", "--source", "x", "--rate", "0"],
        ["{clip}", "--source", "x", "--name", "past"],
        ["{clip}", "--source", "x", "--start", "2026-07-01T00:00:00"],
        ["{clip}", "--source", "x", "--start", "2093-07-01T00:00:00Z"],
        ["{clip}", "--source", "x", "--detect", "--name", "Bad_Name"],
    ],
)
def test_what_an_operator_can_mend_is_one_sentence(wrong, command, kafka_log, city, tmp_path):
    (tmp_path / "text.mp4").write_text("hello\n" * 1000)
    path = videos.write(tmp_path / "clip.mp4", frames=2)
    arguments = [word.format(text=tmp_path / "text.mp4", clip=path) for word in wrong]
    said = command.fails("ingest", "camera", *arguments)
    assert said.startswith("sistercity: ")
    assert "Traceback" not in said
    assert not [topic for topic in kafka_log.topics() if topic.startswith(f"{city}.")]


def test_following_goes_on_in_real_time_until_stopped(command, kafka_log, city, database_url, tmp_path):
    report = tmp_path / "sent.json"
    arguments = [
        "ingest",
        "simulate-cameras",
        "--seconds",
        "5",
        "--rate",
        "10",
        "--stills",
        "0",
        "--follow",
        "--report",
    ]
    with command.running(tmp_path / "said.log", *arguments, str(report)) as process:
        until(report.exists, "the replay is done")
        replayed = json.loads(report.read_text())[FRAMES]["messages"]
        until(lambda: acknowledged(database_url, live(city, FRAMES))[0] > replayed + 40, "pictures go on")
        process.terminate()
        assert process.wait(30) == 0
    frames = frames_in(everything_in(kafka_log, live(city, FRAMES)))
    starts = sorted({frame.start for frame in frames if frame.picture is not None})
    latest = starts[50:]
    assert len(latest) > 20
    assert {after - before for before, after in pairwise(latest)} == {100}
