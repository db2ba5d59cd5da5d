"""Running cameras through the command into the real Kafka, and from there to the account of each camera."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path

import psycopg
import pytest

from eventlog.protocol import Record
from ingest.cameras.jpeg import encoded
from ingest.cameras.rendered import RenderedCamera
from schemas.frames import decode_frame
from schemas.topics import FRAMES, live
from tests.ingest.cameras.live.servers import Asked, camera_server
from tests.ports import free_port
from tests.system.command import Command
from tests.system.processes import SistercityProcess
from tests.system.streams import city_file, everything_in
from tests.waiting import until

pytestmark = pytest.mark.services

IDS = ("secret-camera-4711", "secret-camera-4712", "secret-camera-4713")
PATH, PASSWORD = "secret-path-0815", "secret-password-0816"


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


@contextmanager
def following(command: Command, cameras: Path, log: Path) -> Iterator[SistercityProcess]:
    """`sistercity ingest cameras`, for as long as the block."""
    settings = {"SISTERCITY_CAMERAS": str(cameras), "SISTERCITY_LOG_LEVEL": "DEBUG"}
    with command.running(log, "ingest", "cameras", **settings) as process:
        yield process


def registered(command: Command, folder: Path) -> None:
    rows = [f"{source},traffic.regions,a,premises-of-{source},any,2015-01-01," for source in IDS]
    (folder / "cameras.csv").write_text(
        "\n".join(["source,metric,district,contributor,class,valid_from,valid_to", *rows, ""])
    )
    command("register", "load", str(folder / "cameras.csv"))


def camera_file(folder: Path, *urls: str) -> Path:
    path = folder / "cameras.toml"
    path.write_text(
        "\n".join(
            f'[[cameras]]\nsource = "{source}"\nurl = "{url}/{PATH}"\nrate = 10\nuser = "{PASSWORD}"\n'
            f'password = "{PASSWORD}"\n'
            for source, url in zip(IDS, urls, strict=True)
        )
    )
    return path


def acknowledged(database_url: str, topic: str) -> tuple[int, int]:
    with psycopg.connect(database_url) as connection:
        query = "SELECT sum(messages)::bigint, sum(readings)::bigint FROM deliveries WHERE topic = %s"
        found = connection.execute(query, (topic,)).fetchone()
    assert found is not None
    return found


def outcomes(database_url: str) -> dict[str, tuple[int, ...]]:
    """Pictures owed, looked at, stale and missing, by the camera's id."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT source, sum(expected)::int, sum(seen)::int, sum(stale)::int, sum(missing)::int"
            " FROM camera_pictures JOIN sources ON number = camera GROUP BY source"
        ).fetchall()
    return {source: tuple(counts) for source, *counts in rows}


class Stream:
    """A script of a camera with a password that streams pictures, until it is broken."""

    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures
        self.broken = threading.Event()
        self.connections = 0

    def __call__(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") is None:
            asked.answer("text/html", b"who is there?", 401, WWW_Authenticate='Basic realm="camera"')
            return
        self.connections += 1
        asked.stream()
        for picture in cycle(self.pictures):
            if self.broken.is_set():
                return
            asked.part(picture)
            asked.server.closing.wait(0.03)


def test_running_cameras_are_followed_until_stopped(command, kafka_log, city, database_url, tmp_path):
    """A stream that breaks off and comes back, a still picture that never changes, and a camera that is away."""
    registered(command, tmp_path)
    view = RenderedCamera(1, "IR", 320, 180)
    stream = Stream([encoded(view.frame(number)) for number in range(20)])
    frozen = camera_server(lambda asked: asked.answer("image/jpeg", stream.pictures[0]))
    topic, log = live(city, FRAMES), tmp_path / "said.log"

    def pictures_sent() -> int:
        return acknowledged(database_url, topic)[1] or 0

    with camera_server(stream) as first, frozen as second:
        cameras = camera_file(tmp_path, first.url, second.url, f"rtsp://127.0.0.1:{free_port()}")
        with following(command, cameras, log) as process:
            until(lambda: pictures_sent() > 60, "pictures are acknowledged")
            before = stream.connections
            stream.broken.set()
            until(lambda: stream.connections > before + 1, "the broken camera is tried again")
            stream.broken.clear()
            before = pictures_sent()
            until(lambda: pictures_sent() > before + 30, "pictures come again")
            process.terminate()
            assert process.wait(30) == 0
    records = everything_in(kafka_log, topic)
    assert_evenly_timed(records, acknowledged(database_url, topic))
    command("detect", "--until-caught-up")
    assert_everything_owed_is_accounted_for(outcomes(database_url))
    said = log.read_bytes()
    assert b"pictures sent" in said
    assert b"WARNING camera 1 (127.0.0.1:" in said
    assert b"WARNING camera 3 (127.0.0.1:" in said
    everywhere = said + b"".join((record.key or b"") + (record.value or b"") for record in records)
    for secret in (*IDS, PATH, PASSWORD, "premises-of"):
        assert secret.encode() not in everywhere
    assert b"\xff\xd8\xff" not in said


def assert_evenly_timed(records: Sequence[Record], counts: tuple[int, int]) -> None:
    """The topic holds what was acknowledged, and ten pictures a second of each camera."""
    frames = [decode_frame(record.value) for record in records]
    sent = [frame for frame in frames if frame.picture is not None]
    assert (len(records), len(sent)) == counts
    assert all(frame.start <= record.timestamp for frame, record in zip(frames, records, strict=True))
    cameras = {frame.camera for frame in sent}
    assert len(cameras) == 3
    for camera in cameras:
        starts = sorted(frame.start for frame in sent if frame.camera == camera)
        assert min(after - before for before, after in pairwise(starts)) > 0
        assert abs(len(starts) - 1 - (starts[-1] - starts[0]) / 100) <= 2 + len(starts) // 10


def assert_everything_owed_is_accounted_for(found: dict[str, tuple[int, ...]]) -> None:
    owed, seen, stale, missing = found[IDS[0]]
    assert owed == seen + stale + missing
    assert seen > 20
    owed, seen, stale, missing = found[IDS[1]]
    assert (seen, stale) == (1, owed - 1 - missing)
    assert stale > 20
    owed, *rest = found[IDS[2]]
    assert rest == [0, 0, owed]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "set SISTERCITY_CAMERAS"),
        ("", "there must be 1 to 100 tables"),
        (f'[[cameras]]\nsource = "a"\nurl = "http://u:{PASSWORD}@x/"\nrate = 1\n', "camera 1: has user or password"),
    ],
)
def test_what_an_operator_can_mend_is_one_sentence(text, words, command, tmp_path):
    if text is not None:
        (tmp_path / "cameras.toml").write_text(text)
        command.environment["SISTERCITY_CAMERAS"] = str(tmp_path / "cameras.toml")
    said = command.fails("ingest", "cameras")
    assert said.startswith("sistercity: ")
    assert words in said
    assert PASSWORD not in said
