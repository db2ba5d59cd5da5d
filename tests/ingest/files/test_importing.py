from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import clashes, importing
from ingest.files.importing import Imported, named
from ingest.files.reading import Empty, NotSuchFile, Outcome, Parsed
from ingest.register import Register
from schemas.batch import ROW, decode
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused
from tests.ingest.account import RecordingWriter, outcome
from tests.ingest.files.imports import NOW, PARTITIONS, imported, peak_bytes, rows, sources
from tests.ingest.registers import InMemorySources, Registered

HOUR = 3_600_000
DAY = 24 * HOUR
QUARTER = 900_000
START = 1_500_000_000_000 // DAY * DAY
FILE = Path(__file__)
"""Any file: the test says what is in it."""


@dataclass(frozen=True)
class Listed:
    """A format whose file says what the test says; a file called broken is of another kind."""

    found: Sequence[Outcome]
    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "readings"

    def read(self, path: Path) -> Iterator[Outcome]:
        yield from self.found
        if path.name == "broken":
            raise NotSuchFile("broken")


@dataclass(frozen=True)
class Weights(Listed):
    dataset: ClassVar[str] = "waste.collections"


def reading(start: int, source: str | None = "a", value: int = 1, position: int = 1, **more: Any) -> Parsed:
    found = Parsed(position, source, "energy.import", start, QUARTER, value, 1, b"%d" % position)
    return replace(found, **more)


def town(*ids: str) -> Register:
    """A register that never changes: every source in an area of its own."""
    rows = {source: Registered(10 + place, 5, place) for place, source in enumerate(sorted(ids))}
    return Register(lambda metric, time_ms: InMemorySources(rows), lambda: 0)


def touched(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def ticks(writer) -> list[tuple[int, int]]:
    """Partition and time of every tick."""
    batches = [(message.partition, decode(message.value)) for message in writer.sent]
    return [(partition, batch.start) for partition, batch in batches if not batch.count]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3_000)), min_size=1, max_size=300, unique=True),
    st.integers(1, 50),
)
def test_no_order_of_a_file_makes_a_reading_late(places, step: int) -> None:
    """Source after source over years, newest first, or in any other order."""
    found = [reading(START + quarter * 7 * QUARTER, source) for source, quarter in places]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "_STEP", step)
        report, writer, _ = imported(Listed(found), FILE, town(*"abcdefgh"))
    account = outcome(writer.sent, "Asia/Ho_Chi_Minh")  # the account knows no hours that clocks repeat
    assert report == Imported(len(found), len(found), {})
    assert (account.aggregated, account.expected.late, account.open) == (len(found), 0, 0)


def test_the_register_is_read_once_for_each_span_without_changes() -> None:
    asked: list[int] = []
    change = START + DAY

    def read(metric: Metric, time_ms: int) -> InMemorySources:
        asked.append(time_ms)
        return sources("a", "b", ends=change) if time_ms < change else sources("a", area=4, begins=change)

    found = [reading(START + n * 37 % 96 * QUARTER * 2, "ab"[n % 2], position=n, interval_ms=HOUR) for n in range(192)]
    report, writer, journal = imported(Listed(found), FILE, Register(read, lambda: 0))
    assert len(asked) == 2
    assert report == Imported(192, 144, {"unknown-source": 48})
    batches = [decode(message.value) for message in writer.sent]
    assert Counter(batch.area for batch in batches for _ in range(batch.count)) == {3: 96, 4: 48}
    assert {kept.original for kept in journal.kept.values()} == {
        outcome.original for outcome in found if outcome.source == "b" and outcome.start_ms >= change
    }


def test_every_reading_has_an_outcome_and_only_refusals_are_kept() -> None:
    largest = catalogue()["energy.import"].maximum
    found: list[Outcome] = [
        reading(START, position=1),
        reading(START + QUARTER, value=-1, position=2),
        reading(START + QUARTER, value=largest, position=3),
        reading(START + 2 * QUARTER, value=largest + 1, position=4),
        reading(START, "stranger", position=5),
        reading(START, "a\0", position=6),
        reading(START, "x" * 1_000_000, position=7),
        reading(START, None, position=8),
        Refused(9, "missing", b"nine"),
        Empty("not-collected"),
        Empty("not-collected"),
    ]
    report, writer, journal = imported(Listed(found), FILE, town("a"))
    assert report.refused == {"out-of-range": 2, "unknown-source": 4, "missing": 1}
    assert report.empty == {"not-collected": 2}
    assert report.read == report.readings + sum(report.refused.values()) + sum(report.empty.values()) == len(found)
    assert sum(message.readings for message in writer.sent) == report.readings == 2
    assert {(origin, position) for origin, position in journal.kept} == {
        (FILE.name, position) for position in (2, 4, 5, 6, 7, 8, 9)
    }


def test_an_id_that_no_register_can_hold_costs_the_others_no_memory() -> None:
    found = [*(reading(START, "stranger", position=n) for n in range(200)), reading(START, "x" * 1_000_000)]
    assert peak_bytes(lambda: imported(Listed(found), FILE, town("a"))) < 10_000_000


def test_values_qualities_and_intervals_reach_the_log_exactly() -> None:
    found = [
        reading(START, value=3_600_000_000_000_000, quality=0),
        reading(START + QUARTER, value=1, interval_ms=60_000),
        reading(START + 2, "b", value=7),
    ]
    _, writer, _ = imported(Listed(found), FILE, town("a", "b"))
    seen = set()
    for message in writer.sent:
        batch = decode(message.value)
        for row in np.frombuffer(batch.rows, ROW):
            start = batch.start + int(row["after"])
            seen.add((batch.area, batch.interval, start, int(row["value"]), int(row["quality"]), int(row["source"])))
    assert seen == {
        (0, QUARTER, START, 3_600_000_000_000_000, 0, 10),
        (0, 60_000, START + QUARTER, 1, 1, 10),
        (1, QUARTER, START + 2, 7, 1, 11),
    }


def test_history_ends_with_ticks_that_close_the_longest_window_of_its_metrics() -> None:
    found = [
        Parsed(1, "a", "waste.collected", START, 0, 5, 1, b""),
        Parsed(2, "a", "waste.tonnage", START, 28 * DAY, 5, 1, b""),
    ]
    closes = START + 31 * DAY + HOUR + 14 * DAY
    for order in (found, found[::-1]):
        _, writer, _ = imported(Weights(order), FILE, town("a"))
        assert ticks(writer) == [(partition, closes) for partition in range(PARTITIONS)]
    _, writer, _ = imported(Weights(found[:1]), FILE, town("a"))
    assert ticks(writer) == [(partition, START + 25 * HOUR + 6 * HOUR) for partition in range(PARTITIONS)]


def test_no_tick_is_ahead_of_the_clock_and_future_readings_do_not_move_it() -> None:
    recent = [reading(NOW - 2 * QUARTER), reading(NOW - QUARTER + 1), reading(NOW + DAY)]
    _, writer, _ = imported(Listed(recent), FILE, town("a"))
    assert {time for _, time in ticks(writer)} == {NOW}
    _, writer, _ = imported(Listed(recent), FILE, town("a"), history=False)
    assert ticks(writer) == [(partition, NOW - 2 * QUARTER) for partition in range(PARTITIONS)]
    report, writer, _ = imported(Listed([reading(NOW + DAY)]), FILE, town("a"))
    assert (report.readings, ticks(writer)) == (1, [])


def test_without_any_reading_there_is_no_tick() -> None:
    report, writer, _ = imported(Listed([reading(START, "stranger")]), FILE, town("a"))
    assert (report.readings, writer.sent) == (0, [])


def test_a_file_of_another_kind_stops_the_import_before_anything_is_sent(tmp_path: Path) -> None:
    broken, sound = touched(tmp_path, "broken", "sound")
    writer = RecordingWriter(PARTITIONS, NOW)
    with pytest.raises(NotSuchFile):
        imported(Listed([reading(START)]), [FILE, broken], town("a"), writer=writer)
    assert writer.sent == []
    imported(Listed([reading(START)]), [FILE, sound], town("a"), writer=writer)
    assert writer.sent != []


@pytest.mark.parametrize("when", ["while reading", "while sending"])
def test_a_stopped_import_is_incomplete_and_closes_no_window(when: str, monkeypatch) -> None:
    monkeypatch.setattr(importing, "_STEP", 10)
    stop = Event()
    if when == "while reading":
        stop.set()

    def read(metric: Metric, time_ms: int) -> InMemorySources:
        stop.set()
        return sources("a")

    form = Listed([reading(START + n * QUARTER) for n in range(30)])
    report, writer, _ = imported(form, FILE, Register(read, lambda: 0), stop=stop)
    assert not report.complete
    assert ticks(writer) == []
    assert (report.read, report.readings) == ((10, 0) if when == "while reading" else (30, 10))


def test_files_are_named_by_as_many_last_parts_as_make_them_distinct() -> None:
    assert list(named([Path("/a/x.csv"), Path("/b/y.csv")])) == ["x.csv", "y.csv"]
    assert list(named([Path("/a/x.csv"), Path("/b/x.csv")])) == ["a/x.csv", "b/x.csv"]
    assert list(named([Path("/a/c/x.csv"), Path("/b/c/x.csv"), Path("/y")])) == ["a/c/x.csv", "b/c/x.csv", "/y"]
    assert list(named([Path("/a/x.csv"), Path("/a/x.csv")])) == ["x.csv"]
    [name] = named([Path("/a/\udcff.csv")])
    assert name.encode() == rb"\xff.csv"


def test_refused_readings_are_kept_under_their_file(tmp_path: Path) -> None:
    found: list[Outcome] = [reading(START, "stranger"), Refused(2, "missing", b"")]
    _, _, journal = imported(Listed(found), touched(tmp_path, "a/x", "b/x"), town("a"))
    assert set(journal.kept) == {("a/x", 1), ("a/x", 2), ("b/x", 1), ("b/x", 2)}


MINUTE = 60_000


@given(st.permutations(range(10)))
def test_readings_that_cannot_both_be_true_are_refused_in_whatever_order_they_come(order: list[int]) -> None:
    found = [
        reading(START, value=5, position=0),
        reading(START, value=5, position=1),  # repeated
        reading(START + QUARTER, value=1, position=2),
        reading(START + QUARTER, value=2, position=3),  # another value for the same interval
        reading(START + 2 * QUARTER, value=7, quality=0, position=4),
        reading(START + 2 * QUARTER, value=8, position=5),  # an actual value beside its estimate
        reading(START + 2 * QUARTER, value=9, position=6, source="b"),
        reading(START + 4 * QUARTER, interval_ms=HOUR, position=7),
        reading(START + 5 * QUARTER, interval_ms=MINUTE, position=8),  # within the hour before it
        reading(START + 8 * QUARTER, value=6, position=9),
    ]
    report, writer, journal = imported(Listed([found[place] for place in order]), FILE, town("a", "b"))
    assert report.refused == {"contradiction": 2, "overlap": 2}
    assert {position for _, position in journal.kept} == {2, 3, 7, 8}
    assert sorted(value for _, value in rows(writer)) == [5, 5, 6, 7, 8, 9]


def test_two_files_of_one_source_may_not_contradict_each_other(tmp_path: Path) -> None:
    quarters, hours = touched(tmp_path, "quarters", "hours")

    @dataclass(frozen=True)
    class ByName(Listed):
        def read(self, path: Path) -> Iterator[Outcome]:
            step = QUARTER if path.name == "quarters" else HOUR
            return (reading(start, interval_ms=step) for start in range(START, START + 2 * HOUR, step))

    report, _, _ = imported(ByName([]), [quarters, hours], town("a"))
    assert report == Imported(10, 0, {"overlap": 10})


def test_more_contradictions_than_memory_holds_stop_the_import(monkeypatch) -> None:
    monkeypatch.setattr(clashes, "MOST_CLASHES", 3)
    found = [reading(START + n * QUARTER, value=value) for n in range(4) for value in (1, 2)]
    with pytest.raises(NotSuchFile, match="more than 3 times"):
        imported(Listed(found), FILE, town("a"))


@pytest.mark.parametrize(("apart", "refused"), [(HOUR, {"spacing": 5}), (QUARTER, {}), (QUARTER // 2, {"overlap": 5})])
def test_readings_that_are_all_further_apart_than_they_are_long_contradict_it(apart: int, refused) -> None:
    found = [reading(START + n * apart, position=n) for n in range(5)]
    report, _, _ = imported(Listed(found), FILE, town("a"))
    assert report == Imported(5, 5 - sum(refused.values()), refused)


def test_gaps_contradict_no_interval() -> None:
    found = [reading(START + n * QUARTER, position=n) for n in (0, 1, 2, 5, 6, 10, 11, 14, 18, 22)]
    assert imported(Listed(found), FILE, town("a"))[0].refused == {}
    weighed = [Parsed(n, "a", "waste.collected", START + n * DAY, 0, 5, 1, b"") for n in range(9)]
    assert imported(Weights(weighed), FILE, town("a"))[0].refused == {}
