import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ingest.live.adapter import Delivered
from ingest.live.folder import Folder
from store.deliveries import Refused

SETTLE_MS = 10_000


class Clock:
    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def folder(drop: Path, tmp_path: Path, clock: Clock) -> Folder:
    (tmp_path / "spool").mkdir()
    return Folder("head-end", drop, "*.csv", SETTLE_MS, tmp_path / "spool", clock)


def new(checksum: bytes) -> bool:
    del checksum
    return False


def later(folder: Folder, clock: Clock, done: Callable[[bytes], bool] = new) -> list[Delivered]:
    """What has arrived when nothing has changed for long enough."""
    folder.arrived(done)
    clock.ms += SETTLE_MS
    return list(folder.arrived(done))


def test_a_file_is_left_alone_while_it_grows(folder: Folder, drop: Path, clock: Clock) -> None:
    path = drop / "a.csv"
    for size in range(1, 4):
        path.write_text("x" * size)
        assert folder.arrived(new) == []
        clock.ms += SETTLE_MS
    [delivered] = later(folder, clock)
    assert (delivered.name, delivered.path.read_text(), delivered.received_ms) == ("a.csv", "xxx", clock.ms)


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of a user whom permissions bind, as whom this process runs meanwhile; root becomes another one."""
    nobody, was = 65_534, os.geteuid()
    with TemporaryDirectory() as folder:
        if was == 0:
            os.chown(folder, nobody, -1)
            os.seteuid(nobody)
        try:
            yield Path(folder)
        finally:
            os.seteuid(was)


def test_a_file_that_this_user_may_not_read_is_said_once_and_read_when_it_may(clock: Clock, caplog) -> None:
    with ordinary_user() as of_user:
        for name in ("drop", "spool"):
            (of_user / name).mkdir()
        folder = Folder("head-end", of_user / "drop", "*.csv", SETTLE_MS, of_user / "spool", clock)
        path = of_user / "drop" / "a.csv"
        path.write_text("1\n")
        path.chmod(0)
        assert later(folder, clock) == later(folder, clock) == []
        assert caplog.text.count("head-end: a.csv: this user may not read it") == 1
        path.chmod(0o400)
        assert [delivered.name for delivered in later(folder, clock)] == ["a.csv"]
        folder.forget()


def test_files_are_delivered_in_the_order_in_which_they_came(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "b.csv").write_text("first\n")
    os.utime(drop / "b.csv", (2_000_000_000, 2_000_000_000))  # a time that its sender has set says nothing
    came = (drop / "b.csv").stat().st_ctime_ns
    while not (drop / "a.csv").exists() or (drop / "a.csv").stat().st_ctime_ns == came:
        (drop / "a.csv").write_text("second\n")
    assert [delivered.name for delivered in later(folder, clock)] == ["b.csv", "a.csv"]


def test_unfinished_hidden_empty_and_other_files_are_left_alone(folder: Folder, drop: Path, clock: Clock) -> None:
    for name in ("a.csv.part", "a.csv.filepart", ".a.csv", "a.txt", "a.csv.rejects.csv"):
        (drop / name).write_text("x")
    (drop / "empty.csv").touch()
    (drop / "folder.csv").mkdir()
    os.mkfifo(drop / "pipe.csv")
    assert later(folder, clock) == []


def test_a_link_gives_nothing_to_read(folder: Folder, drop: Path, tmp_path: Path, clock: Clock) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (drop / "link.csv").symlink_to(secret)
    assert later(folder, clock) == []
    (drop / "turned.csv").write_text("x")
    folder.arrived(new)
    clock.ms += SETTLE_MS
    (drop / "turned.csv").unlink()
    (drop / "turned.csv").symlink_to(secret)
    assert folder.arrived(new) == []


def test_rejects_are_not_written_through_a_link(folder: Folder, drop: Path, tmp_path: Path, clock: Clock) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (drop / "a.csv").write_text("x")
    (drop / ".a.csv.rejects.csv").symlink_to(other)
    [delivered] = later(folder, clock)
    folder.refuse(delivered, [Refused(2, "number", b"x")])
    folder.settled(delivered, "")
    assert other.read_text() == "kept"
    assert not (drop / "a.csv.rejects.csv").is_symlink()


def test_what_is_acknowledged_comes_again_only_with_other_content(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "a.csv").write_text("one")
    [first] = later(folder, clock)
    folder.acknowledge(first)
    assert later(folder, clock) == []
    (drop / "a.csv").write_text("two")
    [second] = later(folder, clock)
    assert (first.origin == second.origin, second.path.read_text()) == (False, "two")


def test_content_that_is_done_is_not_delivered_under_another_name(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "a.csv").write_text("one")
    [first] = later(folder, clock)
    (drop / "b.csv").write_text("one")
    done: set[bytes] = {first.checksum}
    assert later(folder, clock, done.__contains__) == []


def test_what_is_not_acknowledged_comes_again(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "a.csv").write_text("one")
    [first] = later(folder, clock)
    folder.forget()
    [again] = folder.arrived(new)
    assert (again.checksum, again.path.read_text()) == (first.checksum, "one")


def test_rejects_are_beside_the_file_with_lines_and_reasons(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "a.csv").write_text("one")
    [delivered] = later(folder, clock)
    folder.refuse(delivered, [Refused(2, "number", b"a;x"), Refused(7, "time", b"\xff;1")])
    folder.refuse(delivered, [Refused(9, "missing", b"a;")])
    assert not (drop / "a.csv.rejects.csv").exists()
    folder.settled(delivered, "")
    with (drop / "a.csv.rejects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["position"], row["reason"], row["original"]) for row in rows] == [
        *(("2", "number", "a;x"), ("7", "time", "�;1"), ("9", "missing", "a;"))
    ]
    folder.acknowledge(delivered)
    (drop / "a.csv").write_text("sound")
    [sound] = later(folder, clock)
    folder.settled(sound, "")
    assert not (drop / "a.csv.rejects.csv").exists()


def test_rejects_of_an_interrupted_turn_are_written_anew(folder: Folder, drop: Path, clock: Clock) -> None:
    (drop / "a.csv").write_text("one")
    for _ in range(2):
        [delivered] = later(folder, clock)
        folder.refuse(delivered, [Refused(2, "number", b"x")])
        folder.forget()
        clock.ms += SETTLE_MS
    [delivered] = folder.arrived(new)
    folder.refuse(delivered, [Refused(2, "number", b"x")])
    folder.settled(delivered, "")
    assert len((drop / "a.csv.rejects.csv").read_text().splitlines()) == 2
