from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from eventlog.protocol import DeliveryFailed
from ingest.feed import Feed
from ingest.live.adapter import Adapter, Delivered
from ingest.live.folder import Folder
from ingest.live.sending import LiveSource, SourceSender
from ingest.register import Register
from ingest.tables.profile import Said
from ingest.tables.profile_file import parse_profile
from ingest.tables.table import Table
from schemas.batch import ROW, decode
from schemas.topics import live
from store.arrivals import FinishedArrival
from store.deliveries import Refused
from tests.ingest.account import RecordingWriter
from tests.ingest.files.imports import NOW, PARTITIONS, Journal, register, rows
from tests.ingest.files.profiled import solar
from tests.ingest.files.test_facts import knowing
from tests.ingest.tables.loads import LOADS


class Sender:
    """Implements `Adapter` in memory: keeps what it is told, and delivers all that is not acknowledged."""

    name = "weighbridge"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        self.acknowledged: list[str] = []
        self.told: dict[str, list[tuple[int, str]]] = {}
        self.words: dict[str, str] = {}

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        found = []
        self.told = {}
        for name, text in self.files.items():
            path = self.folder / name
            path.write_text(text)
            delivered = Delivered(name, path, sha256(text.encode()).digest(), NOW)
            if name not in self.acknowledged and not done(delivered.checksum):
                found.append(delivered)
        return found

    def present(self) -> Sequence[str]:
        return list(self.files)

    def refuse(self, delivered: Delivered, refused: Sequence[Refused]) -> None:
        self.told.setdefault(delivered.name, []).extend((item.position, item.reason) for item in refused)

    def retract(self, delivered: Delivered) -> None:
        self.told.pop(delivered.name, None)

    def settled(self, delivered: Delivered, words: str) -> None:
        self.words[delivered.name] = words

    def acknowledge(self, delivered: Delivered) -> None:
        self.acknowledged.append(delivered.name)


class Done:
    """Implements `Arrivals` in memory."""

    def __init__(self) -> None:
        self.arrivals: dict[tuple[str, bytes], FinishedArrival] = {}

    def is_done(self, source: str, checksum: bytes) -> bool:
        return (source, checksum) in self.arrivals

    def record(self, source: str, done: Sequence[FinishedArrival]) -> None:
        self.arrivals |= {(source, arrival.checksum): arrival for arrival in done}

    def prune(self, source: str, present: Collection[str]) -> None:
        self.arrivals = {key: arrival for key, arrival in self.arrivals.items() if arrival.name in present}


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def loads(*lines: str) -> str:
    return "lorry,time,kg\n" + "".join(line + "\n" for line in lines)


def sending(
    sender: Adapter, writer: RecordingWriter, journal: Journal, done: Done, *, each_line: bool = False
) -> SourceSender:
    form = Table(parse_profile(LOADS, "loads", "loads.toml"), Said(), ZoneInfo("UTC"))
    return sending_of(LiveSource(sender, form, None, each_line=each_line), writer, journal, done, register("A", "B"))


def sending_of(
    source: LiveSource, writer: RecordingWriter, journal: Journal, done: Done, known: Register
) -> SourceSender:
    def feed_for(told) -> Feed:
        return Feed(writer, live("town", source.form.dataset), told, "tests")

    return SourceSender(source, feed_for, journal, done, known, lambda: NOW)


def test_what_comes_together_is_sent_in_the_order_of_its_times_and_then_acknowledged(sender: Sender) -> None:
    writer, journal, done = RecordingWriter(PARTITIONS, NOW), Journal(), Done()
    sender.files = {
        "one.csv": loads("A,2026-07-01 12:00,1", "A,2026-07-01 10:00,2", "A,2026-07-01 09:00,x"),
        "two.csv": loads("B,2026-07-01 11:00,3", "C,2026-07-01 11:00,4"),
    }
    assert sending(sender, writer, journal, done).turn(Event()) == 2
    assert [value for _, value in rows(writer)] == [2_000, 3_000, 1_000]
    assert sender.acknowledged == ["one.csv", "two.csv"]
    assert sender.told == {"one.csv": [(4, "number")], "two.csv": [(3, "unknown-source")]}
    assert [(arrival.name, arrival.refused, arrival.words) for arrival in done.arrivals.values()] == [
        ("one.csv", 1, ""),
        ("two.csv", 1, ""),
    ]
    assert {origin.split()[0] for origin, _ in journal.kept} == {"weighbridge/one.csv", "weighbridge/two.csv"}
    assert sending(sender, writer, journal, done).turn(Event()) == 0


FIRST = loads("A,2026-07-01 10:00,1", "A,2026-07-01 11:00,5", "B,2026-07-01 10:00,7")
LATER = loads("A,2026-07-01 10:00,2", "A,2026-07-01 12:00,6", "A,2026-07-01 12:00,8")


def counted(writer: RecordingWriter) -> dict[tuple[int, int], int]:
    """What counts of all that was sent, by source and time: the last one (R6)."""
    found = {}
    for message in writer.sent:
        batch = decode(message.value)
        for row in np.frombuffer(batch.rows, ROW):
            found[int(row["source"]), batch.start + int(row["after"])] = int(row["value"])
    return found


def test_what_counts_of_two_deliveries_does_not_depend_on_whether_they_come_together(tmp_path: Path) -> None:
    found = []
    for turns in ([{"one.csv": FIRST, "two.csv": LATER}], [{"one.csv": FIRST}, {"two.csv": LATER}]):
        sender, writer, done = Sender(tmp_path), RecordingWriter(PARTITIONS, NOW), Done()
        told = []
        for files in turns:
            sender.files |= files
            sending(sender, writer, Journal(), done).turn(Event())
            told += [(name, of) for name, of in sender.told.items()]
        found.append((counted(writer), told))
    assert found[0] == found[1]
    assert sorted(found[0][0].values()) == [2_000, 5_000, 7_000]  # of 10:00 the later one; of 12:00 neither
    assert found[0][1] == [("two.csv", [(3, "contradiction"), (4, "contradiction")])]


def quarters(day: int, *powers: float) -> str:
    lines = (
        f"2024-06-{day + n // 96:02} {n // 4 % 24:02}:{15 * (n % 4):02}:00+00:00,{power}"
        for n, power in enumerate(powers)
    )
    return "\n".join(["measured_on,ac_power", *lines, ""])


@pytest.mark.parametrize("right", [50, 900], ids=["more than 1 % are wrong", "less than 1 % are wrong"])
def test_whether_a_unit_is_wrong_is_judged_by_each_delivery_whatever_comes_with_it(tmp_path: Path, right: int) -> None:
    files = {
        "right.csv": quarters(10, *[900.0] * right),
        "mixed.csv": quarters(1, *[900_000.0] * 5, *[900.0] * 40),
        "stray.csv": quarters(5, *[900.0] * 200, 900_000.0),
    }
    found = []
    for turns in ([files], [{name: text} for name, text in files.items()]):
        sender, writer, done = Sender(tmp_path), RecordingWriter(PARTITIONS, NOW), Done()
        told: dict[str, list[tuple[int, str]]] = {}
        for turn in turns:
            sender.files |= turn
            source = LiveSource(sender, solar("W"), "P")
            sending_of(source, writer, Journal(), done, knowing(P=5_000)).turn(Event())
            told |= sender.told
        found.append((counted(writer), told))
    assert found[0] == found[1]
    assert {name: len(refused) for name, refused in told.items()} == {"mixed.csv": 45, "stray.csv": 1}


def test_of_readings_that_each_came_by_themselves_none_contradicts_another(sender: Sender) -> None:
    writer = RecordingWriter(PARTITIONS, NOW)
    sender.files = {"messages": LATER}
    sending(sender, writer, Journal(), Done(), each_line=True).turn(Event())
    assert (sender.told, sorted(counted(writer).values())) == ({}, [2_000, 8_000])


def test_a_file_that_is_no_such_table_keeps_no_other_back(sender: Sender) -> None:
    writer, done = RecordingWriter(PARTITIONS, NOW), Done()
    sender.files = {"a.csv": "rubbish\n", "b.csv": loads("A,2026-07-01 12:00,1"), "c.csv": "\0\0\0"}
    assert sending(sender, writer, Journal(), done).turn(Event()) == 3
    assert [value for _, value in rows(writer)] == [1_000]
    assert {name: bool(words) for name, words in sender.words.items()} == {"a.csv": True, "b.csv": False, "c.csv": True}
    assert sorted(sender.acknowledged) == ["a.csv", "b.csv", "c.csv"]


def test_the_rejects_of_a_file_stand_once_beside_it_though_another_made_it_be_read_again(tmp_path: Path) -> None:
    drop, spool, now = tmp_path / "drop", tmp_path / "spool", [NOW]
    for folder in (drop, spool):
        folder.mkdir()
    (drop / "a.csv").write_text(loads("A,2026-07-01 12:00,1", "A,no time,1"))
    (drop / "b.csv").write_text("rubbish\n")
    source = Folder(Sender.name, drop, "*.csv", 1, spool, lambda: now[0])
    source.arrived(lambda checksum: False)
    now[0] += 1
    assert sending(source, RecordingWriter(PARTITIONS, NOW), Journal(), Done()).turn(Event()) == 2
    rejects = (drop / "a.csv.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["position", "3"]


class Failing(RecordingWriter):
    """A log that fails when it is to say that it has everything."""

    def flush(self) -> None:
        raise DeliveryFailed("Kafka is away")


def test_nothing_is_acknowledged_or_recorded_before_the_log_has_it(sender: Sender) -> None:
    done = Done()
    sender.files = {"one.csv": loads("A,2026-07-01 12:00,1")}
    with pytest.raises(DeliveryFailed):
        sending(sender, Failing(PARTITIONS, NOW), Journal(), done).turn(Event())
    assert (sender.acknowledged, done.arrivals) == ([], {})
    writer = RecordingWriter(PARTITIONS, NOW)
    assert sending(sender, writer, Journal(), done).turn(Event()) == 1
    assert [value for _, value in rows(writer)] == [1_000]


def test_a_stop_in_the_middle_acknowledges_nothing(sender: Sender) -> None:
    stop = Event()
    sender.files = {"one.csv": loads("A,2026-07-01 12:00,1")}
    form = Table(parse_profile(LOADS, "loads", "loads.toml"), Said(), ZoneInfo("UTC"))
    feeds: list[Feed] = []

    def feed_for(told) -> Feed:
        stop.set()
        feeds.append(Feed(RecordingWriter(PARTITIONS, NOW), live("town", form.dataset), told, "tests"))
        return feeds[-1]

    source = LiveSource(sender, form, None)
    sent = SourceSender(source, feed_for, Journal(), Done(), register("A"), lambda: NOW)
    assert (sent.turn(stop), sender.acknowledged, len(feeds)) == (0, [], 1)
