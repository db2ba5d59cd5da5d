"""A camera's picture for a person: blurred, and entered before it is written. Nothing else writes a picture."""

import csv
import getpass
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventlog.kafka import KafkaLog
from ingest.cameras.rendered import RenderedCamera, RenderedPlate
from processors.plates.jpeg_decoding import decode_picture
from schemas.frames import Frame, decode_frame, encode_frame
from schemas.topics import FRAMES, live
from tests.system.command import Command
from tests.system.streams import city_file, everything_in

pytestmark = pytest.mark.services

CAMERA, OTHER, SILENT = "secret-camera-4711", "secret-camera-4712", "secret-camera-4713"
WHY = "the picture is said to be dark"
VIEW = RenderedCamera(4, "VN", 960, 540)
LAST = 14
"""A frame with plates of both forms, all near enough to be found."""


@pytest.fixture
def command(kafka, database_url, city, tmp_path) -> Command:
    """The command, whose every own file would be found in one folder."""
    command = Command(city_file(tmp_path, city), kafka, database_url, tmp_path / "own")
    (tmp_path / "own").mkdir()
    command.environment |= dict.fromkeys(("HOME", "TMPDIR"), str(tmp_path / "own"))
    register = tmp_path / "cameras.csv"
    rows = [f"{camera},traffic.regions,a,premises,any,2015-01-01," for camera in (CAMERA, OTHER, SILENT)]
    register.write_text("\n".join(["source,metric,district,contributor,class,valid_from,valid_to", *rows, ""]))
    command("register", "load", str(register))
    return command


def sent(command: Command, source: str, folder: Path, *pictures: bytes) -> None:
    """A camera's pictures, the last of them taken now."""
    folder.mkdir()
    for number, data in enumerate(pictures):
        (folder / f"{number:03}.jpg").write_bytes(data)
    command("ingest", "camera", str(folder), "--source", source)


def drawn(number: int) -> bytes:
    return cv2.imencode(".jpg", VIEW.frame(number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def frames(log: KafkaLog, city: str) -> list[Frame]:
    """Whatever cameras sent that has a picture, in order."""
    found = (decode_frame(record.value) for record in everything_in(log, live(city, FRAMES)))
    return sorted((frame for frame in found if frame.picture), key=lambda frame: frame.start)


def detail(picture: np.ndarray, plate: RenderedPlate) -> float:
    """How much the pixels of a plate differ from their neighbours."""
    inside = picture[plate.y : plate.y + plate.h, plate.x : plate.x + plate.w].astype(float)
    return float(np.abs(np.diff(inside, axis=1)).mean())


def entries(command: Command) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(command("plates", "pictures"))))


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_the_newest_picture_of_a_camera_is_blurred_and_entered(ending, command, kafka_log, city, tmp_path):
    sent(command, CAMERA, tmp_path / "in", *map(drawn, range(LAST - 2, LAST + 1)), b"")  # then it gave none
    sent(command, OTHER, tmp_path / "other", drawn(30), drawn(31))
    [frame] = [frame for frame in frames(kafka_log, city) if frame.picture == drawn(LAST)]
    writer = kafka_log.writer()
    whole = encode_frame(replace(frame, picture=drawn(40), start=frame.start + 1))
    for broken in (whole[: len(whole) // 2], b"", encode_frame(replace(decode_frame(whole), camera=frame.camera + 1))):
        writer.send(live(city, FRAMES), b"%d" % frame.camera, broken)
    writer.close()
    out = tmp_path / f"out.{ending}"
    begin = datetime.now(UTC)
    said = command("plates", "picture", CAMERA, str(out), "--reason", f"  {WHY}\n")
    assert f"camera {frame.camera} as of" in said
    assert CAMERA not in said
    before, after = decode_picture(drawn(LAST)), cv2.imread(str(out))
    assert after is not None
    assert before.shape == after.shape
    plates = VIEW.truth(LAST)
    assert {plate.form for plate in plates} == {1, 2}
    for plate in plates:
        assert detail(after, plate) < detail(before, plate) / 4
    kept = np.abs(before.astype(int) - after).max(2) < 16
    assert kept.mean() > 0.9  # most of the picture is as it was
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    [entry] = entries(command)
    assert begin <= datetime.fromisoformat(entry.pop("made_at")) <= datetime.now(UTC)
    assert int(entry.pop("regions")) >= len(plates)
    assert entry == {
        "number": "1",
        "os_user": getpass.getuser(),
        "database_user": conninfo_to_dict(command.environment["SISTERCITY_DATABASE_URL"])["user"],
        "camera": str(frame.camera),
        "taken_at": datetime.fromtimestamp(frame.start / 1000, UTC).isoformat(timespec="milliseconds"),
        "sha256": sha256(out.read_bytes()).hexdigest(),
        "reason": WHY,
    }


def user_of(url: str, role: str, *rights: str) -> Iterator[str]:
    """The database's URL for a user who has these rights (with {} where the user's name belongs), and no other."""
    name = sql.Identifier(role)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in ("CREATE ROLE {} LOGIN PASSWORD 'no secret'", *rights):
            connection.execute(sql.SQL(statement).format(name))
        try:
            yield make_conninfo(url, user=role, password="no secret")
        finally:
            for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(statement).format(name))


def without_the_right(url: str, role: str) -> Iterator[str]:
    """A user of the database who may do everything but enter a debug picture."""
    all_but_one = ("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", "REVOKE INSERT ON debug_pictures FROM {}")
    return user_of(url, role, *all_but_one)


def without_the_table(url: str, role: str) -> Iterator[str]:
    """A database that is older than the table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE debug_pictures RENAME TO elsewhere")
    yield url


def with_a_full_table(url: str, role: str) -> Iterator[str]:
    """A database that takes no further entry."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE debug_pictures ADD CHECK (number < 0) NOT VALID")
    yield url


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (without_the_right, "it can't be entered: permission denied for table debug_pictures"),
        (without_the_table, "run `sistercity migrate`"),
        (with_a_full_table, "it can't be entered: new row"),
    ],
)
def test_what_is_not_entered_is_not_written(broken, words, command, city, tmp_path):
    sent(command, CAMERA, tmp_path / "in", drawn(LAST))
    out, there = tmp_path / "out.png", tmp_path / "there.png"
    there.write_bytes(b"another")
    url = command.environment["SISTERCITY_DATABASE_URL"]
    with contextmanager(broken)(url, f"role_{city.replace('-', '_')}") as command.environment[
        "SISTERCITY_DATABASE_URL"
    ]:
        assert words in command.fails("plates", "picture", CAMERA, str(out), "--reason", WHY)
        assert words in command.fails("plates", "picture", CAMERA, str(there), "--reason", WHY, "--force")
    assert there.read_bytes() == b"another"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "cameras.csv",
        "city.toml",
        "there.png",
    ]


def test_few_rights_are_enough_and_the_entry_names_their_owner(command, city, tmp_path):
    sent(command, CAMERA, tmp_path / "in", drawn(LAST))
    url, role = command.environment["SISTERCITY_DATABASE_URL"], f"role_{city.replace('-', '_')}"
    tables = "debug_pictures, sources, source_changes, areas, area_versions, area_districts"  # docs/cameras.md
    read = f"GRANT SELECT ON {tables} TO {{}}"
    rights = (read, "GRANT INSERT ON debug_pictures TO {}")
    with contextmanager(user_of)(url, role, *rights) as command.environment["SISTERCITY_DATABASE_URL"]:
        command("plates", "picture", CAMERA, str(tmp_path / "out.png"), "--reason", WHY)
        [entry] = entries(command)
    assert entry["database_user"] == role


def test_no_picture_is_made_over_another_unless_it_is_said(command, tmp_path):
    sent(command, CAMERA, tmp_path / "in", drawn(LAST))
    out = tmp_path / "out.png"
    out.write_bytes(b"another")
    out.chmod(0o644)
    assert "is there already" in command.fails("plates", "picture", CAMERA, str(out), "--reason", WHY)
    assert (out.read_bytes(), entries(command)) == (b"another", [])
    command("plates", "picture", CAMERA, str(out), "--reason", WHY, "--force")
    [entry] = entries(command)
    assert entry["sha256"] == sha256(out.read_bytes()).hexdigest()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_what_an_operator_can_mend_is_one_sentence_and_no_entry(command, kafka_log, city, tmp_path):
    sent(command, CAMERA, tmp_path / "in", drawn(LAST)[:5_000])
    out = tmp_path / "out.png"
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere.png")
    for camera, place, reason, words in (
        ("nobody", out, WHY, "the register has no camera of this id now"),
        ("x" * 201, out, WHY, "the register has no camera of this id now"),
        (SILENT, out, WHY, "has no picture of this camera"),
        (CAMERA, out, WHY, "can't be decoded: cut"),
        (CAMERA, out, " ", "--reason must say"),
        (CAMERA, out, "two\nlines", "--reason must say"),
        (CAMERA, out, "x" * 501, "--reason must say"),
        (CAMERA, tmp_path / "out.gif", WHY, "must end in .jpg, .jpeg, .png"),
        (CAMERA, tmp_path / "nowhere" / "out.png", WHY, "is no folder that can be written to"),
        (CAMERA, tmp_path / "link.png", WHY, "is no plain file"),
    ):
        said = command.fails("plates", "picture", camera, str(place), "--reason", reason)
        assert said.startswith("sistercity: ")
        assert words in said
        assert "Traceback" not in said
    assert entries(command) == []
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".gif", ".png") and path.exists()]
    assert not (tmp_path / "elsewhere.png").exists()


def test_where_no_camera_ever_sent_anything_there_is_no_topic(command, city, tmp_path):
    said = command.fails("plates", "picture", CAMERA, str(tmp_path / "out.png"), "--reason", WHY)
    assert said == f"sistercity: there is no topic {live(city, FRAMES)}\n"


def test_no_other_command_writes_a_picture(command, kafka_log, city, tmp_path, monkeypatch):
    """From the camera to the cells: whatever a node writes is in its own folder, and holds none."""
    own = tmp_path / "own"
    sent(command, CAMERA, tmp_path / "in", *map(drawn, range(LAST - 4, LAST + 1)), drawn(LAST)[:5_000], b"no picture")
    monkeypatch.chdir(own)
    report = str(own / "sent.json")
    for arguments in (
        ("ingest", "camera", str(tmp_path / "in"), "--source", OTHER, "--detect"),
        (*("ingest", "simulate-cameras", "--stills", "0", "--seconds", "10", "--no-faults"), "--report", report),
        ("detect", "--until-caught-up"),
        ("process", "--until-caught-up"),
        ("publish", "--once"),
        ("status",),
        ("query", "traffic.regions"),
        ("plates", "pictures"),
    ):
        (own / "said.log").open("a").write(command(*arguments))
    pieces = {frame.picture[-2_000:-1_960] for frame in frames(kafka_log, city) if frame.picture}
    assert len(pieces) > 20
    written = {Path(folder, name) for folder, _, names in os.walk(own) for name in names}
    assert {"sent.json", "said.log", f"register-{city}-cameras.csv"} <= {path.name for path in written}
    for path in written:
        content = path.read_bytes()
        for start in (b"\xff\xd8\xff", b"\x89PNG", b"ftyp", *pieces):
            assert start not in content, path
