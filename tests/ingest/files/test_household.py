import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.importing import Imported
from ingest.files.reading import NotSuchFile
from ingest.register import Register
from ingest.tables.table import Table
from schemas.catalogue import Metric
from store.deliveries import Refused
from tests.ingest.account import RecordingWriter, outcome, read
from tests.ingest.files import imports
from tests.ingest.files.imports import ABSENT, DATA, Journal, register, sources
from tests.ingest.files.profiled import household
from tests.ingest.registers import InMemorySources

REAL = DATA / "energy/household_power_consumption_2007-02-01_02.txt"
HEADER = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_1;Sub_2;Sub_3\n"
PARIS_WINTER = timedelta(hours=1)


def imported(
    path: Path,
    registered: Register | None = None,
    journal: Journal | None = None,
    zone: str = "Etc/GMT-1",
    form: Table | None = None,
) -> tuple[Imported, RecordingWriter, Journal]:
    """Minutes in kW, without another `form`."""
    form = form or household(ZoneInfo(zone), "kW", 60_000)
    return imports.imported(form, path, registered or register("household"), journal, "household")


def sent(writer: RecordingWriter) -> list[tuple[datetime, int]]:
    """(begin, millijoules) of every reading, in the order of the log."""
    found = []
    for message in writer.sent:
        batch = read(message.value)
        assert batch is not None
        for row in batch["rows"]:
            assert (batch["metric"], batch["area"], batch["class"]) == ("energy.import", 3, "residential")
            assert (batch["interval"], row["quality"], row["source"]) == (60_000, b"\x01", b"\x0a\0\0\0")
            found.append((batch["start"] + timedelta(milliseconds=row["after"]), int(row["value"])))
    return found


@pytest.mark.skipif(not REAL.exists(), reason=ABSENT)
def test_the_published_file_agrees_with_csv_and_decimal() -> None:
    with REAL.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    wanted = []
    for row in rows:
        local = datetime.strptime(row["Date"] + row["Time"], "%d/%m/%Y%H:%M:%S").replace(tzinfo=UTC)
        joules = Decimal(row["Global_active_power"]) * 1000 * 60
        wanted.append((local - PARIS_WINTER, int(joules * 1000)))
    report, writer, journal = imported(REAL, form=household(ZoneInfo("Etc/GMT-1")))
    assert report == Imported(len(rows), len(rows), {})
    assert sent(writer) == wanted
    assert journal.kept == {}


def test_every_line_of_a_faulty_file_has_an_outcome(tmp_path: Path) -> None:
    lines = [
        b"1/2/2007;23:59:00;0.326;0;0;0;0;0;0",
        b"2/2/2007;00:00:00;?;?;?;?;?;?;",
        b"2/2/2007;00:01:00;;;;;;;",
        b"30/2/2007;00:02:00;1.000;0;0;0;0;0;0",
        b"2/2/2007;24:00:00;1.000;0;0;0;0;0;0",
        b"2/2/2007;00:03:00;-1.000;0;0;0;0;0;0",
        b"2/2/2007;00:04:00;NaN;0;0;0;0;0;0",
        b"2/2/2007;00:05:00;1e3;0;0;0;0;0;0",
        b"2/2/2007;00:06:00;0.0000000250;0;0;0;0;0;0",
        b"2/2/2007;00:07:00;123456789012.0;0;0;0;0;0;0",
        b"1/1/1960;00:00:00;1.000;0;0;0;0;0;0",
        b"",
        b"\xff\xfe",
        b'"2/2/2007;00:08:00;1.0',
        b"2/2/2007",
        b"x" * 10_000,
        b"3/2/2007;00:00:00;2.5;0;0;0;0;0;0",
    ]
    path = tmp_path / "household.txt"
    path.write_bytes(HEADER.encode() + b"\n".join(lines))
    report, writer, journal = imported(path)
    assert report == Imported(17, 3, {"missing": 2, "time": 3, "number": 2, "unreadable": 5, "out-of-range": 2})
    midnight = datetime(2007, 2, 1, 23, tzinfo=UTC)
    assert sent(writer) == [
        (midnight - timedelta(minutes=1), 19_560_000),
        (midnight + timedelta(minutes=6), 2),  # one and a half, rounded to even
        (midnight + timedelta(days=1), 150_000_000),
    ]
    assert journal.kept["household.txt", 3] == Refused(3, "missing", lines[1])
    assert journal.kept["household.txt", 14] == Refused(14, "unreadable", lines[12])
    assert journal.kept["household.txt", 17].original == b"x" * 1000
    assert {position for _, position in journal.kept} == set(range(2, 19)) - {2, 10, 18}


def test_importing_again_keeps_no_refusal_twice(tmp_path: Path) -> None:
    path = tmp_path / "household.txt"
    path.write_text(HEADER + "1/2/2007;00:00:00;?;;;;;;\n", encoding="ascii")
    journal = Journal()
    imported(path, journal=journal)
    imported(path, journal=journal)
    assert len(journal.kept) == 1


def test_an_unknown_source_is_refused_line_by_line(tmp_path: Path) -> None:
    path = write_minutes(tmp_path, 3)
    report, writer, journal = imported(path, register())
    assert report == Imported(3, 0, {"unknown-source": 3})
    assert writer.sent == []
    assert {item.reason for item in journal.kept.values()} == {"unknown-source"}


def test_a_source_is_looked_up_at_the_time_of_each_reading(tmp_path: Path) -> None:
    change = int(datetime(2007, 1, 31, 23, 2, tzinfo=UTC).timestamp() * 1000)

    def read(metric: Metric, time_ms: int) -> InMemorySources:
        return sources("household", ends=change) if time_ms < change else sources(begins=change)

    report, _, _ = imported(write_minutes(tmp_path, 5), Register(read, lambda: 0))
    assert report == Imported(5, 2, {"unknown-source": 3})


def test_ticks_at_the_end_close_every_window_in_every_partition(tmp_path: Path) -> None:
    _, writer, _ = imported(write_minutes(tmp_path, 90))
    found = outcome(writer.sent, "Europe/Paris")
    assert (found.aggregated, found.open) == (90, 0)
    last = [read(message.value) for message in writer.sent[-4:]]
    assert [message.partition for message in writer.sent[-4:]] == [0, 1, 2, 3]
    assert all(batch is not None and batch["rows"] == [] for batch in last)


def test_under_a_clock_with_summer_time_the_skipped_hour_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "household.txt"
    path.write_text(HEADER + "25/3/2007;02:30:00;1.0;;;;;;\n25/3/2007;03:30:00;1.0;;;;;;\n", encoding="ascii")
    report, writer, _ = imported(path, zone="Europe/Paris")
    assert report == Imported(2, 1, {"time": 1})
    assert sent(writer)[0][0] == datetime(2007, 3, 25, 3, 30, tzinfo=ZoneInfo("Europe/Paris"))
    report, _, _ = imported(path)
    assert report == Imported(2, 2, {})


def test_a_file_of_something_else_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("a;b;c\n1;2;3\n", encoding="ascii")
    with pytest.raises(NotSuchFile):
        imported(path)


def test_voltage_and_current_tell_the_unit_and_must_not_contradict_the_operator(tmp_path: Path) -> None:
    header = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity\n"
    zone, path = ZoneInfo("UTC"), tmp_path / "household.txt"
    for factor in (1, 1_000):
        lines = [f"1/2/2007;00:{n:02}:00;{0.3 * factor * n:g};0.1;240;{n * 1.4:g}\n" for n in range(5)]
        path.write_text(header + "".join(lines), encoding="ascii")
        _, writer, _ = imported(path, form=household(zone))
        assert sum(value for _, value in sent(writer)) == 180_000_000
        wrong = "W" if factor == 1 else "kW"
        with pytest.raises(NotSuchFile, match=f"contradicts --unit {wrong}"):
            imported(path, form=household(zone, wrong))


def test_a_file_of_several_intervals_is_read_by_its_spacing_and_the_rest_refused(tmp_path: Path) -> None:
    path = tmp_path / "household.txt"
    minutes = [*range(0, 120, 15), *range(150, 391, 60)]
    lines = [f"1/2/2007;{n // 60:02}:{n % 60:02}:00;1\n" for n in minutes]
    path.write_text("Date;Time;Global_active_power\n" + "".join(lines), encoding="ascii")
    report, _, _ = imported(path, form=household(ZoneInfo("UTC"), "kW"))
    assert report == Imported(13, 8, {"spacing": 5})
    with pytest.raises(NotSuchFile, match="900 s apart, which contradicts --interval-s 3600"):
        imported(path, form=household(ZoneInfo("UTC"), "kW", 3_600_000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.decimals(0, 1000, places=3))
def test_every_power_of_three_decimals_is_exact(tmp_path: Path, kilowatts: Decimal) -> None:
    path = tmp_path / "household.txt"
    path.write_text(HEADER + f"1/2/2007;00:00:00;{kilowatts};;;;;;\n", encoding="ascii")
    _, writer, _ = imported(path)
    assert sent(writer)[0][1] == kilowatts * 60_000_000


def write_minutes(folder: Path, count: int) -> Path:
    """A file of so many minutes from midnight on 1 February 2007."""
    path = folder / "household.txt"
    lines = [f"1/2/2007;{n // 60:02}:{n % 60:02}:00;{n / 1000:.3f};0;0;0;0;0;0\n" for n in range(count)]
    path.write_text(HEADER + "".join(lines), encoding="ascii")
    return path
