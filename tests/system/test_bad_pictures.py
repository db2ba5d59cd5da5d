"""Pictures of every bad kind, and cameras that stall, through the real Kafka: each is counted, and none is kept."""

import re
import socket
import threading
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import psycopg
import pytest

from eventlog.kafka import KafkaLog
from schemas.frames import Frame, decode_frame, encode_frame
from schemas.topics import FRAMES, REGIONS, live
from tests.ingest.cameras.live import servers
from tests.ingest.cameras.live.servers import Asked, camera_server, socket_server
from tests.processors.plates.jpegs import four_inks, jpeg, png, resized, scene
from tests.system.command import Command
from tests.system.streams import Topic, city_file, everything_in
from tests.system.test_live_cameras import IDS, camera_file, following, outcomes, registered
from tests.waiting import until

pytestmark = pytest.mark.services

WHOLE, GREY = jpeg(), scene()[..., 0]
NOISE = np.random.default_rng(3).bytes(5_000)
GOOD = {"plain": WHOLE, "grey": jpeg(GREY), "four inks": four_inks(GREY)}
BAD = {
    "cut": (WHOLE[:3_000], "cut"),
    "cut, with an end": (WHOLE[:3_000] + b"\xff\xd9", "cut"),
    "zero high": (resized(WHOLE, 0, 160), "zero-size"),
    "zero wide": (resized(WHOLE, 120, 0), "zero-size"),
    "bomb": (resized(WHOLE, 10_000, 10_000), "too-large"),
    "grey bomb": (resized(GOOD["grey"], 10_000, 10_000), "too-large"),
    "bomb of four inks": (resized(GOOD["four inks"], 10_000, 10_000), "too-large"),
    "largest bomb": (resized(WHOLE, 65_535, 65_535), "too-large"),
    "png": (png(scene()), "not-jpeg"),
    "alpha": (png(np.dstack((scene(), GREY))), "not-jpeg"),
    "text": (b"a text\n" * 99, "not-jpeg"),
    "noise": (NOISE, "not-jpeg"),
    "noise after a head": (b"\xff\xd8\xff\xe0\x00\x04xx" + NOISE, "undecodable"),
    "none": (b"", "missing"),
}


@pytest.fixture
def command(kafka, database_url, city, tmp_path) -> Command:
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


def dead_letters(database_url: str) -> list[tuple[str, str]]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute('SELECT reason, original FROM dead_letters ORDER BY topic, partition, "offset"')
        return [(reason, bytes(original).decode()) for reason, original in rows]


def named(data: bytes) -> str:
    return f"{len(data)} bytes, sha256 {sha256(data).hexdigest()}"


def readings_in(log: KafkaLog, topic: str) -> int:
    return sum(record.key is not None for record in everything_in(log, topic))


def test_each_kind_is_a_dead_letter_without_its_picture(command, kafka_log, kafka, city, database_url):
    begin = round(time.time() * 1000) - 60_000
    pictures = [*GOOD.values(), *(data for data, _ in BAD.values()), jpeg(scene(240, 320))]
    frames = [
        Frame("traffic.regions", 1, "any", 500, begin + 500 * number, 7, 7, picture)
        for number, picture in enumerate(pictures)
    ]
    Topic(kafka_log, kafka, live(city, FRAMES)).send([(b"7", 1, encode_frame(frame)) for frame in frames])
    command("detect", "--until-caught-up")
    assert dead_letters(database_url) == [(reason, named(data)) for data, reason in BAD.values()]
    assert readings_in(kafka_log, live(city, REGIONS)) == len(GOOD) + 1
    with psycopg.connect(database_url) as connection:
        counted = "SELECT sum(expected)::int, sum(seen)::int, sum(undecodable)::int, sum(missing)::int"
        row = connection.execute(f"{counted} FROM camera_pictures WHERE camera = 7").fetchone()
    assert row == (len(pictures), len(GOOD) + 1, len(BAD) - 1, 1)


FILES = {
    "01-jpeg.png": (WHOLE, None),
    "02-png.jpg": (png(scene(60, 90)), None),
    "03-alpha.jpg": (png(np.dstack((scene(60, 80), scene(60, 80)[..., 0]))), None),
    "04-alpha.png": (png(np.dstack((scene(50, 80), scene(50, 80)[..., 0]))), None),
    "05-grey.jpg": (GOOD["grey"], None),
    "06-inks.jpg": (GOOD["four inks"], None),
    "07-text.jpg": (b"a text\n" * 99, "missing"),
    "08-text.png": (b"a text\n" * 99, "missing"),
    "09-cut.png": (png(scene())[:5_000], "missing"),
    "10-bomb.png": (png(scene())[:16] + (10_000).to_bytes(4, "big") * 2 + png(scene())[24:], "missing"),
    "11-zero.png": (png(scene())[:16] + bytes(8) + png(scene())[24:], "missing"),
    "12-nothing.jpg": (b"", "missing"),
    "13-cut.jpg": (WHOLE[:3_000], "cut"),
    "14-jpeg-cut.png": (WHOLE[:2_000], "cut"),
    "15-zero.jpg": (resized(WHOLE, 0, 160), "zero-size"),
    "16-bomb.jpg": (resized(WHOLE, 10_000, 10_000), "too-large"),
}
"""What a folder may hold: by what it is, not by what it is called. None where it is a picture."""


@pytest.mark.parametrize("beside", [False, True], ids=["in Kafka", "beside the camera"])
def test_a_folders_files_are_what_they_hold(beside, command, kafka_log, city, database_url, tmp_path):
    registered(command, tmp_path)
    (tmp_path / "in").mkdir()
    for name, (data, _) in FILES.items():
        (tmp_path / "in" / name).write_bytes(data)
    reasons = [reason for _, reason in FILES.values() if reason]
    seen, missing = len(FILES) - len(reasons), reasons.count("missing")
    said = command("ingest", "camera", str(tmp_path / "in"), "--source", IDS[0], *(["--detect"] if beside else []))
    if beside:
        assert f"{seen} of {len(FILES)} pictures looked at" in said
        assert f"; {missing} missing, 0 stale, 2 cut, 1 too-large, 1 zero-size" in said
        assert live(city, FRAMES) not in kafka_log.topics()
        assert dead_letters(database_url) == []
    else:
        assert f"{len(FILES)} of {len(FILES)} pictures sent, {missing} of them missing" in said
        command("detect", "--until-caught-up")
        assert dead_letters(database_url) == [
            (reason, named(b"" if reason == "missing" else data)) for data, reason in FILES.values() if reason
        ]
        assert outcomes(database_url) == {IDS[0]: (len(FILES), seen, 0, missing)}
    assert readings_in(kafka_log, live(city, REGIONS)) == seen


def one_picture_then_silence(asked: Asked) -> None:
    asked.stream()
    asked.part(servers.jpeg(len(asked.server.requests)))
    asked.hang()


def half_a_picture_then_silence(asked: Asked) -> None:
    asked.answer("image/jpeg", servers.jpeg(0)[:300], Content_Length=str(len(servers.jpeg(0))))
    asked.hang()


def stalled(log: Path) -> set[bytes]:
    """The cameras of which it is said that nothing comes any more, by their places."""
    return set(
        re.findall(rb"WARNING camera (\d) \(127.0.0.1:\d+\): it (?:fell silent|does not answer);", log.read_bytes())
    )


def test_cameras_that_stall_owe_what_they_do_not_give(command, kafka_log, city, database_url, tmp_path):
    """MJPEG that stops, a still picture that stops in the middle, RTSP that accepts and says nothing."""
    registered(command, tmp_path)
    end = threading.Event()
    heard: list[bytes] = []

    def say_nothing(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        end.wait(60)

    topic, log = live(city, FRAMES), tmp_path / "said.log"
    with (
        camera_server(one_picture_then_silence) as stream,
        camera_server(half_a_picture_then_silence) as still,
        socket_server(say_nothing) as rtsp,
    ):
        path = camera_file(tmp_path, stream.url, still.url, f"rtsp://127.0.0.1:{rtsp}")
        with following(command, path, log) as process:
            until(lambda: len(stalled(log)) == 3, "it is said of all three that they stall")
            assert heard
            until(lambda: len(stream.requests) > 1 and len(still.requests) > 1, "they are asked again")
            process.terminate()
            end.set()
            assert process.wait(30) == 0
    command("detect", "--until-caught-up")
    sent = [decode_frame(record.value) for record in everything_in(kafka_log, topic)]
    owed = [frame for frame in sent if frame.picture is not None]
    given = len([frame for frame in owed if frame.picture])
    assert 0 < given <= len(stream.requests)
    found = outcomes(database_url)
    assert {source: counts[1:3] for source, counts in found.items()} == {
        IDS[0]: (given, 0),
        IDS[1]: (0, 0),
        IDS[2]: (0, 0),
    }
    for all_of_it, seen, _, missing in found.values():
        assert all_of_it == seen + missing > 50  # at ten a second, for longer than the ten seconds of patience
    assert dead_letters(database_url) == [("missing", named(b""))] * (len(owed) - given)
    assert not re.search(rb"\xff\xd8\xff", log.read_bytes())
