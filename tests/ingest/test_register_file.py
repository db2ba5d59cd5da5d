import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from eventlog.memory import MemoryLog
from ingest.feed import Feed
from ingest.journal import StoreJournal
from ingest.redraw import Drawn, redraw
from ingest.register import stored_register
from ingest.register_file import LoadReport, load_register, write_register
from ingest.register_table import COLUMNS
from ingest.simulated.bins import Bins
from ingest.simulated.faults import FaultRates
from ingest.simulated.fleet import Fleet
from ingest.simulated.premises import Premises
from ingest.simulated.simulator import Simulator
from ingest.simulated.sources import SimulatedSources
from schemas.catalogue import catalogue
from store import deliveries
from store.areas import versions
from store.database import Connection, connect
from store.register_columns import Loaded, RegisterError
from tests.ingest.clocks import clock_at
from tests.ingest.small_city import END, HOUR, city

NOW = int(datetime(2025, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
TEHRAN = ZoneInfo("Asia/Tehran")
THIS_QUARTER = int(datetime(2025, 10, 1, tzinfo=TEHRAN).timestamp() * 1000)
NEXT_QUARTER = int(datetime(2026, 1, 1, tzinfo=TEHRAN).timestamp() * 1000)
METRIC = catalogue()["energy.import"]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


at_now = clock_at(NOW)


def line(number: int, **changes: str) -> dict[str, str]:
    given = {"source": f"m{number}", "metric": "energy.import", "district": "town-a", "contributor": f"c{number}"}
    given |= {"class": "residential", "valid_from": "2020-01-01", "valid_to": ""}
    return given | {key.rstrip("_"): value for key, value in changes.items()}


def town(counts: str, start: int = 0, **changes: str) -> list[dict[str, str]]:
    """Customers for the districts A to F: "500 10 ..."."""
    districts = [d for d, n in zip("abcdef", counts.split(), strict=True) for _ in range(int(n))]
    return [line(start + n, district=f"town-{d}", **changes) for n, d in enumerate(districts)]


def written(folder: Path, rows: list[dict[str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "register.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


WRONG = [
    ({"source": ""}, "source"),
    ({"source": "x" * 201}, "source"),
    ({"source": "a\0b"}, "source"),
    ({"contributor": " "}, "contributor"),
    ({"metric": "energy.export"}, "metric"),
    ({"class_": "industrial"}, "class"),
    ({"district": "town-z"}, "district"),
    ({"valid_from": ""}, "valid_from"),
    ({"valid_from": "2020-02-30"}, "valid_from"),
    ({"valid_from": "01/02/2020"}, "valid_from"),
    ({"valid_from": "2020-01-01T00:00:00"}, "valid_from"),
    ({"valid_from": "1960-01-01"}, "valid_from"),
    ({"valid_to": "soon"}, "valid_to"),
    ({"valid_to": "2020-01-01"}, "valid_to"),
    ({"valid_to": "2019-01-01T00:00:00Z"}, "valid_to"),
    ({"source": "m0", "contributor": "c0"}, "source"),
    ({"source": "m0", "contributor": "c0", "valid_from": "2021-01-01"}, "valid_from"),
]


@pytest.mark.services
@pytest.mark.parametrize(("changes", "column"), WRONG)
def test_a_wrong_line_is_named_with_its_column_and_nothing_is_loaded(
    connection: Connection, tmp_path: Path, changes: dict[str, str], column: str
) -> None:
    path = written(tmp_path, [line(0), line(1), line(2, **changes), line(3)])
    with pytest.raises(RegisterError) as caught:
        load_register(connection, city(), path, at_now)
    assert (caught.value.line, caught.value.column) == (4, column)
    assert str(caught.value).startswith(f"line 4, column {column}: ")
    if column == "district":
        assert "its districts are " + ", ".join(each.id for each in city().districts[:5]) in str(caught.value)
    for table in ("sources", "contributors", "areas", "area_versions"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.services
@pytest.mark.parametrize(
    ("content", "at"),
    [
        (b"", 1),
        (b"source,metric\n", 1),
        (",".join(COLUMNS).encode() + b",source\n", 1),
        (",".join(COLUMNS).encode() + b"\na,b\n", 2),
        (",".join(COLUMNS).encode() + b"\n\xff,b\n", 2),
        (",".join(COLUMNS).encode() + b'\n"a"b,c\n', 2),
    ],
)
def test_a_file_that_is_no_register_is_refused(connection: Connection, tmp_path: Path, content: bytes, at: int) -> None:
    path = tmp_path / "register.csv"
    path.write_bytes(content)
    with pytest.raises(RegisterError) as caught:
        load_register(connection, city(), path, at_now)
    assert caught.value.line == at


@pytest.mark.services
@pytest.mark.parametrize("end", [b'"a"b,c', b"a,b", b"\xff"])
def test_of_several_errors_the_first_is_named(connection: Connection, tmp_path: Path, end: bytes) -> None:
    """In a file that is checked in several blocks, whether the lines after the error can be read or not."""
    wrong = {5000: {"class_": "industrial"}, 5001: {"source": ""}, 5002: {"valid_to": "soon"}, 9000: {"metric": "x"}}
    path = written(tmp_path, [line(n, **wrong.get(n, {})) for n in range(9500)])
    content = path.read_bytes().splitlines(keepends=True)
    for last in (5100, 9500):
        path.write_bytes(b"".join(content[: 1 + last]) + end + b"\n")
        with pytest.raises(RegisterError) as caught:
            load_register(connection, city(), path, at_now)
        assert (caught.value.line, caught.value.column) == (5002, "class")
    assert connection.execute("SELECT count(*) FROM sources").fetchone() == (0,)


@pytest.mark.services
@pytest.mark.parametrize("broken", ["c\nd", "c\r\nd"])
def test_lines_are_counted_as_an_editor_counts_them(connection: Connection, tmp_path: Path, broken: str) -> None:
    """A quoted field may hold a line break: no id may, but the error names the line on which the row ends."""
    rows = [line(n) for n in range(2500)]
    for wrong, at in ((2100, 2103), (2200, 2203)):
        path = written(tmp_path, [*rows[:wrong], line(wrong, contributor=broken), *rows[wrong + 1 :]])
        with pytest.raises(RegisterError) as caught:
            load_register(connection, city(), path, at_now)
        assert (caught.value.line, caught.value.column) == (at, "contributor")


@pytest.mark.services
def test_times_are_read_on_the_citys_clock_or_with_their_offset(connection: Connection, tmp_path: Path) -> None:
    rows = [
        line(0, valid_from="2020-06-01", valid_to="2020-07-01T00:00:00Z"),
        line(1, valid_from="2020-01-01T00:00:00+03:30"),
        line(2, valid_from="2020-01-01t00:00:00.5z"),
    ]
    path = written(tmp_path, rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    load_register(connection, city(), path, at_now)
    found = connection.execute("SELECT valid_from, valid_to FROM sources ORDER BY source").fetchall()
    assert found == [
        (datetime(2020, 6, 1, tzinfo=TEHRAN), datetime(2020, 7, 1, tzinfo=UTC)),
        (datetime(2020, 1, 1, tzinfo=TEHRAN), None),
        (datetime(2020, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC), None),
    ]


@pytest.mark.services
def test_the_first_areas_begin_with_this_quarter_and_add_up_to_the_people(connection: Connection) -> None:
    report = load_register(connection, city(), town("500 10 330 400 500 600"), at_now, people=1000)
    assert report == LoadReport(Loaded(2340, 0, 0, 2340), (Drawn("energy.import", THIS_QUARTER, 5),))
    (version,) = versions(connection, "energy.import")
    assert [area.districts for area in version.areas.values()][1] == ("town-b", "town-c")
    assert sum(area.population for area in version.areas.values()) == 1000
    assert versions(connection, "energy.solar") == []


@pytest.mark.services
def test_a_load_never_changes_areas(connection: Connection) -> None:
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now)
    drawn = versions(connection, "energy.import")
    assert [version.valid_from_ms for version in drawn] == [THIS_QUARTER]
    assert load_register(connection, city(), town("0 400 0 0 0 0", start=5000), at_now).drawn == ()
    assert load_register(connection, city(), [], at_now, people=77).drawn == ()
    later = load_register(connection, city(), town("0 0 0 0 0 1", start=8000), clock_at(NEXT_QUARTER + 1))
    assert later.drawn == ()
    assert versions(connection, "energy.import") == drawn
    solar = town("500 10 330 400 500 600", start=9000, metric="energy.solar")
    assert load_register(connection, city(), solar, at_now).drawn == (Drawn("energy.solar", THIS_QUARTER, 5),)


@pytest.mark.services
def test_a_new_district_has_sources_only_when_areas_contain_it(connection: Connection) -> None:
    """Otherwise no source of the metric could be looked up, since areas that have begun stay."""
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now)
    grown = city(districts=7)
    for valid_from in ("2020-01-01", "2025-11-25", "2026-01-01"):
        with pytest.raises(RegisterError, match=r"town-g, which lies in no area.*sistercity areas redraw"):
            load_register(connection, grown, [line(9000, district="town-g", valid_from=valid_from)], at_now)
    assert redraw(connection, grown, METRIC, at_now).drawn == Drawn("energy.import", NEXT_QUARTER, 5)
    with pytest.raises(RegisterError, match=r"town-g.* until 2026-01-01T00:00:00"):
        load_register(connection, grown, [line(9000, district="town-g", valid_from="2025-11-25")], at_now)
    load_register(connection, grown, [line(9000, district="town-g", valid_from="2026-01-01")], at_now)
    register = stored_register(connection, at_now)
    for time_ms in (NOW, NEXT_QUARTER - 1, NEXT_QUARTER):
        known = register.at(METRIC, time_ms).look_up(["m0", "m9000"]).known.tolist()
        assert known == [True, time_ms == NEXT_QUARTER]


@pytest.mark.services
def test_a_district_that_the_city_drops_must_have_no_sources(connection: Connection) -> None:
    """Areas without it could not be drawn, and its sources could not be looked up any more."""
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now)
    smaller = city(districts=5)
    with pytest.raises(RegisterError, match=r"town-f .*city's file does not have"):
        load_register(connection, smaller, [line(9000)], at_now)
    with pytest.raises(RegisterError, match="town-f"):
        redraw(connection, smaller, METRIC, at_now)
    gone = [row | {"valid_to": "2026-01-01"} for row in town("500 10 330 400 500 600") if row["district"] == "town-f"]
    load_register(connection, city(), gone, at_now)
    assert redraw(connection, smaller, METRIC, at_now).drawn.valid_from_ms == NEXT_QUARTER


@pytest.mark.services
def test_a_load_does_not_change_areas_of_metrics_that_its_rows_do_not_name(connection: Connection) -> None:
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now, people=1000)
    before = versions(connection, "energy.import")
    fill = town("20 20 0 20 20 20", start=9000, metric="waste.fill", class_="organic")
    report = load_register(connection, city(), fill, at_now, people=77)
    assert report.drawn == (Drawn("waste.fill", THIS_QUARTER, 5),)
    assert versions(connection, "energy.import") == before


@pytest.mark.services
def test_registers_of_different_metrics_can_be_loaded_at_the_same_time(
    connection: Connection, database_url: str
) -> None:
    """Whichever is first, each has its own areas, which stand for its own people, and no number is given twice."""
    simulated: dict[int, SimulatedSources] = {
        1000: Fleet(city(), 2000, 1),
        300: Bins(city(), 300, 1),
        200: Premises(city(), 400, 1),
    }
    ready = Barrier(len(simulated))

    def load(people: int) -> LoadReport:
        with connect(database_url) as mine:
            rows = list(simulated[people].register())
            ready.wait(20)
            return load_register(mine, city(), rows, at_now, people)

    for _ in range(2):  # the second time nothing is new, and nothing is drawn anew
        with ThreadPoolExecutor(len(simulated)) as threads:
            reports = list(threads.map(load, simulated))
        for (people, sources), report in zip(simulated.items(), reports, strict=True):
            loaded = sum(1 for _ in sources.register())
            assert report.rows.sources_new in (loaded, 0)
            assert report.rows.sources_new + report.rows.sources_unchanged == loaded
            for metric in sources.metrics:
                (version,) = versions(connection, metric.name)
                assert sum(area.population for area in version.areas.values()) == people
                assert version.valid_from_ms == THIS_QUARTER
    assert [report.drawn for report in reports] == [(), (), ()]
    rows, numbers = connection.execute("SELECT count(*), count(DISTINCT number) FROM sources").fetchone() or (0, 1)
    assert rows == numbers == sum(1 for sources in simulated.values() for _ in sources.register())


@pytest.mark.services
def test_if_the_areas_cannot_be_stored_nothing_is_loaded(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        load_register(connection, city(), town("1 1 1 1 1 1"), at_now, people=-600)
    assert connection.execute("SELECT count(*) FROM sources").fetchone() == (0,)


@pytest.mark.services
def test_a_simulated_city_is_loaded_looked_up_and_accounted_for(connection: Connection, tmp_path: Path) -> None:
    fleet = Fleet(city(), 300, 1)
    path = tmp_path / "register.csv"
    write_register(path, fleet.register())
    report = load_register(connection, city(), path, lambda: END, fleet.people)
    assert report.rows.contributors_new == 300
    log = MemoryLog(lambda: END)
    log.create("city.energy.readings.v1", 4, {})
    journal = StoreJournal(connection, uuid4())
    simulator = Simulator(
        fleet,
        Feed(log.writer(), "city.energy.readings.v1", journal, "tests"),
        journal,
        stored_register(connection, lambda: END),
        lambda: END,
        FaultRates(),
    )
    expected = simulator.replay(END - 6 * HOUR, END)
    delivered = deliveries.totals(connection)["city.energy.readings.v1"]
    assert (delivered.messages, delivered.readings) == (expected.messages, expected.readings)
    refused = [deliveries.refusals(connection, f"{fleet.origin}/{metric}") for metric in catalogue()]
    assert sum(each.get("unknown-source", 0) for each in refused) == expected.refused > 0
