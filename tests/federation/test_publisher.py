"""Publishing: every window in its slot, whole publications in order, one publisher, whatever happens between."""

import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from psycopg.conninfo import conninfo_to_dict

from federation.disclosure.precision import rounded
from federation.disclosure.rules import passes, rule_in_force
from federation.disclosure.standing import judge
from federation.publications.deciding import decide
from federation.publications.publisher import Publisher, publish_due
from federation.publications.schedule import HasBegun, NoAreas, Since, Stream
from federation.publications.slots import slot
from schemas.catalogue import metrics_of
from store.database import Connection, connect
from store.processing import Amounts, Cell
from store.publication_log import log_state
from store.publications import Lattice, LatticeCell, Window, publisher_lock
from store.publishing import begins
from tests.federation.city import (
    HOUR,
    IMPORT,
    SOLAR,
    T0,
    TOPIC,
    add_cell,
    found_areas,
    open_topic,
    pass_time,
    register,
)
from tests.published_log import published_log
from tests.publishing import appender, publish, publish_until
from tests.waiting import until

WINDOW = Window(T0, T0 + HOUR)
SLOT = slot(IMPORT, WINDOW)
DAY = 24 * HOUR
NEVER = 2**63 - 1

places = st.tuples(st.integers(1, 5), st.sampled_from(["residential", "commercial"]))
reduced = st.builds(
    lambda place, contributors, shares, covered: Cell(
        IMPORT.name,
        WINDOW.start,
        WINDOW.end,
        place[0],
        place[1],
        Amounts(sum(shares), len(shares), contributors, max(shares), sum(shares), covered, 0, 0),
        incomplete=False,
    ),
    places,
    st.sampled_from([0, 14, 15, 99, 100]),
    st.lists(st.integers(0, 100), min_size=1, max_size=12),
    st.integers(0, 10 * HOUR),
)


def lattice_of(cells: set[tuple[int, str]], sources: int) -> Lattice:
    return Lattice(tuple(LatticeCell(*cell, sources) for cell in sorted(cells)), WINDOW, NEVER, NEVER, NEVER)


@given(
    st.sets(places),
    st.sets(places),
    st.lists(reduced, unique_by=lambda cell: (cell.area, cell.class_)),
    st.integers(0, 3),
)
def test_every_cell_of_the_lattice_is_decided_and_only_open_cells_that_pass_the_rule_have_a_value(
    cells: set[tuple[int, str]], opened: set[tuple[int, str]], found: list[Cell], sources: int
) -> None:
    passing = judge(opened, found, partial(passes, rule_in_force(IMPORT))).released
    decided = decide(IMPORT, WINDOW, lattice_of(cells, sources), found, passing)
    assert [(cell.area, cell.class_) for cell in decided] == sorted(cells)
    by_place = {(cell.area, cell.class_): cell.amounts for cell in found}
    for cell in decided:
        source = by_place.get((cell.area, cell.class_))
        residential = cell.class_ == "residential"
        allowed = (
            source is not None
            and (cell.area, cell.class_) in opened
            and source.contributors >= (100 if residential else 15)
            and source.absolute > 0
            and Fraction(source.largest, source.absolute) <= Fraction(15, 100)
        )
        assert cell.value == (rounded(source.value, IMPORT.base) if allowed and source else None)
        assert (cell.coverage is None) == (cell.value is None)
        assert cell.rule == IMPORT.rule


def a_city(database_url: str, hours: int) -> list[int]:
    """Two areas, and cells of two metrics that every partition has passed."""
    with connect(database_url) as connection:
        areas = found_areas(connection, [1000, 2000])
        solar = found_areas(connection, [3000], metric=SOLAR.name)
        register(connection, 0, "residential", 200)
        open_topic(connection)
        for hour in range(hours):
            add_cell(connection, hour, areas[0], value=hour, covered_ms=100 * HOUR)
            add_cell(connection, hour, solar[0], metric=SOLAR.name, value=-hour)
        pass_time(connection, T0 + hours * HOUR + IMPORT.lateness_ms)
    return areas


def publisher(database_url: str, folder: Path, hours: int, stop: threading.Event, poll_s: float = 0.01) -> Publisher:
    """A publisher of both metrics by a clock at which so many hours are due."""
    streams = [Stream(TOPIC, metrics_of("energy.readings"))]
    now = SLOT + (hours - 1) * HOUR
    where = (database_url, folder / "ledger.jsonl", "isfahan", "UTC")
    return Publisher(*where, lambda _: streams, since=Since(T0), clock=lambda: now, poll_s=poll_s, stop=stop)


def assert_complete(connection: Connection, hours: int) -> None:
    """Both metrics' hours are in the log once each, in order, without a gap."""
    found = [header for header, _ in published_log(connection)]
    assert [header.position for header in found] == list(range(1, 2 * hours + 1))
    assert log_state(connection).head == 2 * hours
    for metric in (IMPORT.name, SOLAR.name):
        own = [header for header in found if header.metric == metric]
        assert [header.sequence for header in own] == list(range(1, hours + 1))
        assert [header.window.start for header in own] == [T0 + hour * HOUR for hour in range(hours)]


def crash_at(connection: Connection, publication: int) -> None:
    """Make PostgreSQL end the connection that writes the nth publication, once, in the middle of its cells."""
    connection.execute(
        f"""
        CREATE SEQUENCE crashes;
        CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.position = {publication} AND nextval('crashes') = 1 THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER crash AFTER INSERT ON published_cells FOR EACH ROW EXECUTE FUNCTION crash();
        """
    )


@pytest.mark.services
def test_a_window_is_published_whole_and_once_in_its_slot_and_not_before(database_url: str) -> None:
    areas = a_city(database_url, 1)
    with connect(database_url) as connection:
        assert publish_until(connection, [IMPORT], TOPIC, SLOT - 1, T0) == []
        made = publish_until(connection, [IMPORT], TOPIC, SLOT + 77, T0)
        assert [(published.header.metric, published.released, published.suppressed) for published in made] == [
            (IMPORT.name, 1, 3)
        ]
        [(header, columns)] = published_log(connection)
        assert (header.published_at, header.kind, header.revision) == (SLOT, "publication", 0)
        rows = zip(columns.area, columns.class_, columns.status, columns.value, columns.coverage, strict=True)
        assert list(rows) == [
            (areas[0], "commercial", "suppressed", None, None),
            (areas[0], "residential", "released", 0, "medium"),
            (areas[1], "commercial", "suppressed", None, None),
            (areas[1], "residential", "suppressed", None, None),
        ]
        assert publish_until(connection, [IMPORT], TOPIC, SLOT + HOUR - 1, T0) == []


@pytest.mark.services
def test_every_window_from_the_first_day_on_is_published_whatever_came_in(database_url: str) -> None:
    with connect(database_url) as connection:
        found_areas(connection, [1000])
        open_topic(connection)
        pass_time(connection, T0 + 9 * HOUR)
        add_cell(connection, -2, 1)  # a wrong date, before the city began to publish
        made = publish_until(connection, [IMPORT], TOPIC, SLOT + 3 * HOUR, T0)
        assert [published.header.window.start for published in made] == [T0 + hour * HOUR for hour in range(4)]
        assert {(published.suppressed, published.incomplete) for published in made} == {(2, 0)}


@pytest.mark.services
def test_a_window_that_a_partition_has_not_passed_leaves_incomplete_and_its_values_follow_at_a_fixed_time(
    database_url: str,
) -> None:
    a_city(database_url, 1)
    with connect(database_url) as connection:
        pass_time(connection, T0 + HOUR + IMPORT.lateness_ms - 1, partition=1)
        [first] = publish_until(connection, [IMPORT], TOPIC, SLOT, T0)
        assert (first.released, first.suppressed, first.incomplete) == (0, 0, 4)
        pass_time(connection, T0 + 9 * HOUR)
        now = SLOT + HOUR
        assert publish_until(connection, [IMPORT], TOPIC, now - 1, T0, most=1) == []
        made = publish_until(connection, [IMPORT], TOPIC, now + 5000, T0)
        assert [(published.header.revision, published.header.kind) for published in made] == [
            (1, "correction"),
            (0, "publication"),
        ]
        assert (made[0].header.published_at, made[0].released, made[0].incomplete) == (now, 1, 0)
        assert made[0].header.window == WINDOW


@pytest.mark.services
def test_a_window_that_is_not_whole_at_one_fixed_time_waits_for_the_next_and_never_leaves_after_the_last(
    database_url: str,
) -> None:
    a_city(database_url, 1)
    with connect(database_url) as connection:
        connection.execute("UPDATE cells SET incomplete = true WHERE metric = %s", (IMPORT.name,))
        publish_until(connection, [IMPORT], TOPIC, SLOT, T0)

        publish(connection, IMPORT.name, Window(T0 + 90 * DAY, T0 + 91 * DAY), TOPIC, [])  # nothing else is due

        def revisions(at: int) -> list[int]:
            made = publish_until(connection, [IMPORT], TOPIC, at, T0)
            return [published.header.published_at for published in made if published.header.revision]

        assert revisions(SLOT + HOUR) == []
        connection.execute("UPDATE cells SET incomplete = false")
        assert revisions(SLOT + 2 * HOUR) == []  # whole by now, and the fixed time is over
        connection.execute("UPDATE cells SET incomplete = true")
        assert revisions(SLOT + DAY) == []
        assert revisions(SLOT + 7 * DAY) == []
        connection.execute("UPDATE cells SET incomplete = false")
        pass_time(connection, T0 + 99 * DAY)
        assert revisions(SLOT + 8 * DAY) == []


@pytest.mark.services
def test_a_gap_in_the_log_makes_windows_incomplete_that_have_no_cell_of_the_gap(database_url: str) -> None:
    a_city(database_url, 2)
    with connect(database_url) as connection:
        connection.execute("UPDATE stream_offsets SET incomplete_before = %s WHERE partition = 1", (T0 + HOUR,))
        made = publish_until(connection, [IMPORT], TOPIC, SLOT + HOUR, T0)
        assert [(published.released, published.incomplete) for published in made] == [(0, 4), (1, 0)]


@pytest.mark.services
def test_after_a_downtime_passed_slots_leave_in_order_and_a_turn_is_bounded(database_url: str) -> None:
    a_city(database_url, 3)
    now = SLOT + 2 * HOUR
    with connect(database_url) as connection:
        made = publish_until(connection, [SOLAR, IMPORT], TOPIC, now, T0, most=3)
        order = [(published.header.window.start, published.header.metric) for published in made]
        assert order == [(T0, IMPORT.name), (T0, SOLAR.name), (T0 + HOUR, IMPORT.name)]
        assert {published.header.published_at for published in made} == {SLOT, SLOT + HOUR}
        publish_until(connection, [SOLAR, IMPORT], TOPIC, now, T0)
        assert_complete(connection, 3)


@pytest.mark.services
def test_a_metric_begins_once_at_the_local_midnight_unless_told_otherwise(database_url: str) -> None:
    a_city(database_url, 1)
    with connect(database_url) as connection:
        streams = [Stream(TOPIC, [IMPORT, SOLAR])]
        publish_due(appender(connection), streams, "Asia/Tehran", T0 + 5 * HOUR, Since(of={SOLAR.name: T0}))
        assert begins(connection) == {IMPORT.name: T0 - 3 * HOUR - HOUR // 2, SOLAR.name: T0}
        with pytest.raises(HasBegun, match=r"energy\.solar"):
            publish_due(appender(connection), streams, "Asia/Tehran", T0 + 6 * HOUR, Since(of={SOLAR.name: T0 + HOUR}))


@pytest.mark.services
def test_a_window_of_a_stream_that_has_grown_is_looked_for_in_its_own_topic(database_url: str) -> None:
    areas = a_city(database_url, 1)
    later = "isfahan.energy.readings.v2"
    with connect(database_url) as connection:
        open_topic(connection, later)
        add_cell(connection, 1, areas[0], value=7 * IMPORT.base, topic=later)
        add_cell(connection, 1, areas[0], "commercial", contributors=100, topic=TOPIC)
        pass_time(connection, T0 + 9 * HOUR, topic=later)
        streams = [Stream(TOPIC, [IMPORT], None, T0 + HOUR), Stream(later, [IMPORT], T0 + HOUR, None)]
        publish_due(appender(connection), streams, "UTC", SLOT + HOUR, Since(T0))
        values = [columns.value for _, columns in published_log(connection)]
        assert values == [[None, 0, None, None], [None, 7 * IMPORT.base, None, None]]


@pytest.mark.services
def test_while_one_publishes_another_does_not(database_url: str) -> None:
    a_city(database_url, 1)
    with connect(database_url) as first, connect(database_url) as second, publisher_lock(first):
        assert publish_until(second, [IMPORT], TOPIC, SLOT, T0) == []
        assert log_state(second).head == 0


@pytest.mark.services
def test_two_publishers_race_and_each_window_is_published_once(database_url: str, tmp_path: Path) -> None:
    a_city(database_url, 40)
    stop = threading.Event()
    threads = [threading.Thread(target=publisher(database_url, tmp_path, 40, stop).run) for _ in range(2)]
    for thread in threads:
        thread.start()
    with connect(database_url) as connection:
        until(lambda: log_state(connection).head >= 80, "every window is published")
        stop.set()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert_complete(connection, 40)


@pytest.mark.services
def test_a_crash_in_the_middle_leaves_whole_publications_and_the_publisher_continues(
    database_url: str, tmp_path: Path
) -> None:
    a_city(database_url, 5)
    stop = threading.Event()
    with connect(database_url) as connection:
        crash_at(connection, 4)
        thread = threading.Thread(target=publisher(database_url, tmp_path, 5, stop, poll_s=0.1).run)
        thread.start()
        until(lambda: log_state(connection).head >= 10, "every window is published")
        stop.set()
        thread.join(10)
        crashes = connection.execute("SELECT is_called FROM crashes").fetchone()
        assert crashes == (True,)
        assert_complete(connection, 5)
        cells = [len(columns.area) for _, columns in published_log(connection)]
        assert cells == [4, 2] * 5


@pytest.mark.services
def test_a_publisher_outlives_a_database_that_can_only_be_read_for_a_while(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_city(database_url, 1)
    stop = threading.Event()
    with connect(database_url) as connection:
        name = conninfo_to_dict(database_url)["dbname"]
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # as after a fail-over
        thread = threading.Thread(target=publisher(database_url, tmp_path, 1, stop, poll_s=0.05).run)
        thread.start()
        until(lambda: "read-only" in caplog.text or not thread.is_alive(), "the publisher met it")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        until(lambda: log_state(connection).head >= 2 or not thread.is_alive(), "every window is published")
        stop.set()
        thread.join(10)
        assert_complete(connection, 1)


def test_a_publisher_waits_for_a_database_that_is_away_and_stops_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"
    thread = threading.Thread(target=publisher(nowhere, tmp_path, 1, stop, poll_s=60).run)
    thread.start()
    until(lambda: "did not answer" in caplog.text, "the publisher reports that the database is away")
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.services
def test_cells_without_any_areas_stop_the_publisher_instead_of_an_empty_publication(database_url: str) -> None:
    with connect(database_url) as connection:
        open_topic(connection)
        assert publish_until(connection, [IMPORT], TOPIC, SLOT, T0) == []  # not measured in this city
        add_cell(connection, 0, 1)
        pass_time(connection, T0 + 9 * HOUR)
        with pytest.raises(NoAreas, match=r"energy\.import"):
            publish_until(connection, [IMPORT], TOPIC, SLOT, T0)
        assert log_state(connection).head == 0


@pytest.mark.services
def test_decided_cells_are_counted_by_outcome(database_url: str) -> None:
    def counted(outcome: str) -> float:
        labels = {"dataset": "energy.readings", "outcome": outcome}
        return REGISTRY.get_sample_value("sistercity_published_cells_total", labels) or 0

    before = {outcome: counted(outcome) for outcome in ("released", "suppressed", "outside")}
    areas = a_city(database_url, 2)
    with connect(database_url) as connection:
        add_cell(connection, 0, max(areas) + 100)
        publish_until(connection, [IMPORT], TOPIC, SLOT + HOUR, T0)
    assert {outcome: counted(outcome) - was for outcome, was in before.items()} == {
        "released": 2,
        "suppressed": 6,
        "outside": 1,
    }
