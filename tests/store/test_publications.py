"""The log of publications: how far processing has come, the cells of a lattice, numbers without gaps."""

import psycopg
import pytest

from store.cells import cells_of_window
from store.database import connect
from store.publication_log import areas_stamp, log_state, published_areas, series, snapshots, window_totals
from store.publications import (
    Header,
    LatticeCell,
    OutOfTurn,
    PublishedCell,
    Window,
    append,
    lattice,
    next_numbers,
    publisher_lock,
)
from store.publishing import Processed, begin, begins, published_until, topic_state
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, found_areas, open_topic, pass_time, register
from tests.published_log import published_log
from tests.publishing import another_log, publish

pytestmark = pytest.mark.services

METRIC = IMPORT.name
CLASSES = ("commercial", "residential")


def hour(number: int) -> Window:
    return Window(T0 + number * HOUR, T0 + (number + 1) * HOUR)


def cell(area: int, value: int | None = 5, class_: str = "residential") -> PublishedCell:
    return PublishedCell(area, class_, value, None if value is None else "high", "customers-100-15")


def test_a_topic_has_come_as_far_as_the_slowest_of_all_of_its_partitions(database_url: str) -> None:
    with connect(database_url) as connection:
        assert topic_state(connection, TOPIC) == Processed(None, None)
        open_topic(connection)
        pass_time(connection, hour(9).end, partition=0)
        assert topic_state(connection, TOPIC) == Processed(None, None)  # the other partition has no event time yet
        pass_time(connection, hour(0).end, partition=1)
        assert topic_state(connection, TOPIC) == Processed(hour(0).end, None)
        connection.execute("UPDATE stream_offsets SET incomplete_before = 7 WHERE partition = 1")
        assert topic_state(connection, TOPIC) == Processed(hour(0).end, 7)
        connection.execute("DELETE FROM stream_offsets WHERE partition = 1")
        assert topic_state(connection, TOPIC).event_time is None


def test_publishing_goes_on_where_the_newest_window_ended_whatever_was_published_of_earlier_times(
    database_url: str,
) -> None:
    with connect(database_url) as connection:
        (area,) = found_areas(connection, [1])
        publish(connection, METRIC, hour(-99), "an import", [cell(area)])
        begin(connection, METRIC, hour(2).start)
        begin(connection, METRIC, hour(7).start)
        assert begins(connection) == {METRIC: hour(2).start}
        assert published_until(connection, METRIC, hour(2).start) == hour(2).start
        publish(connection, METRIC, hour(2), TOPIC, [cell(area)])
        publish(connection, METRIC, hour(3), TOPIC, [cell(area)])
        publish(connection, METRIC, hour(2), TOPIC, [cell(area)], revision=1)
        assert published_until(connection, METRIC, hour(2).start) == hour(3).end


def test_a_lattice_holds_every_area_and_class_and_counts_the_sources_of_the_window(database_url: str) -> None:
    with connect(database_url) as connection:
        first, second = found_areas(connection, [10, 20])
        connection.execute("INSERT INTO area_districts VALUES (%s, 'district 7')", (second,))
        register(connection, 0, "residential", 3)
        register(connection, 0, "residential", 40, metric="energy.solar")
        register(connection, 1, "commercial", 2)
        register(connection, 7, "commercial", 1)
        register(connection, 0, "residential", 8, to=hour(5).start)
        register(connection, 0, "residential", 16, since=hour(6).end)
        register(connection, 0, "residential", 32, since=hour(6).end - 1)
        found = lattice(connection, METRIC, CLASSES, hour(5)).cells
        assert found == (
            LatticeCell(first, "commercial", 0),
            LatticeCell(first, "residential", 3),
            LatticeCell(second, "commercial", 3),
            LatticeCell(second, "residential", 0),
        )
        assert [lattice(connection, METRIC, CLASSES, hour(n)).cells[1].sources for n in (4, 6, 7)] == [11, 35, 51]


def test_a_lattice_of_a_derived_metric_counts_its_sources_in_every_class(database_url: str) -> None:
    with connect(database_url) as connection:
        first, second = found_areas(connection, [10, 20])
        connection.execute("INSERT INTO area_districts VALUES (%s, 'district 7')", (second,))
        register(connection, 0, "residential", 3)
        found = lattice(connection, METRIC, ("one-line", "two-lines"), hour(3), of_any_class=True)
        assert {(cell.area, cell.class_): cell.sources for cell in found.cells if cell.sources} == (
            {(first, "one-line"): 3, (first, "two-lines"): 3}
        )
        assert len(found.cells) == 4


def test_a_lattice_holds_exactly_as_long_as_it_would_be_the_same(database_url: str) -> None:
    with connect(database_url) as connection:
        found_areas(connection, [10])
        register(connection, 0, "residential", 1)
        register(connection, 0, "residential", 1, to=hour(5).start)
        register(connection, 0, "residential", 2, since=hour(8).start + 1)
        register(connection, 0, "residential", 4, since=hour(10).start)
        found_areas(connection, [10, 20], since=hour(11).start)
        hours = [hour(number) for number in range(14)]
        lattices = [lattice(connection, METRIC, CLASSES, window) for window in hours]
        for index, known in enumerate(lattices):
            for later in range(index, len(hours)):
                assert known.holds(hours[later]) == (known.cells == lattices[later].cells)
        assert not lattices[3].holds(hours[2])


def test_the_areas_of_a_window_are_those_of_the_last_version_before_it_or_else_the_first(database_url: str) -> None:
    with connect(database_url) as connection:
        (second,) = found_areas(connection, [1], since=hour(8).start)
        (first,) = found_areas(connection, [1], since=hour(4).start)
        chosen = [lattice(connection, METRIC, ["x"], hour(n)).cells[0].area for n in (0, 3, 4, 7, 8, 99)]
        assert chosen == [first, first, first, first, second, second]


def test_a_publication_must_be_the_next_one_and_a_refused_one_leaves_no_gap(database_url: str) -> None:
    with connect(database_url) as connection:
        (area,) = found_areas(connection, [1])
        publish(connection, METRIC, hour(0), TOPIC, [cell(area)])
        for position, sequence in ((1, 2), (3, 2), (2, 1), (2, 3)):
            with pytest.raises(OutOfTurn):
                append(connection, Header(position, METRIC, sequence, hour(1), 0, 0), TOPIC, [cell(area)], left_at=0)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            publish(connection, METRIC, hour(1), TOPIC, [cell(area), cell(area + 999)])
        publish(connection, "energy.solar", hour(0), TOPIC, [cell(area)])
        publish(connection, METRIC, hour(1), TOPIC, [cell(area)])
        found = [(header.position, header.metric, header.sequence) for header, _ in published_log(connection)]
        assert found == [(1, METRIC, 1), (2, "energy.solar", 1), (3, METRIC, 2)]
        append(connection, Header(90, METRIC, 70, hour(2), 0, 0, "skip"), TOPIC, [], left_at=0)
        assert next_numbers(connection, METRIC) == (91, 71)


def test_a_window_is_published_once_per_revision(database_url: str) -> None:
    with connect(database_url) as connection:
        (area,) = found_areas(connection, [1])
        publish(connection, METRIC, hour(0), TOPIC, [cell(area)])
        with pytest.raises(psycopg.errors.UniqueViolation):
            publish(connection, METRIC, hour(0), TOPIC, [cell(area)])
        assert log_state(connection).head == 1
        assert publish(connection, METRIC, hour(0), TOPIC, [cell(area)], revision=1).sequence == 2


def test_there_is_one_publisher_until_its_context_ends(database_url: str) -> None:
    with connect(database_url) as first, connect(database_url) as second:
        with publisher_lock(first) as first_holds, publisher_lock(second) as second_holds:
            assert (first_holds, second_holds) == (True, False)
        with publisher_lock(second) as second_holds:
            assert second_holds


def test_the_log_holds_every_cell_in_its_place(database_url: str) -> None:
    with connect(database_url) as connection:
        numbers = found_areas(connection, [1, 2])
        for index in range(5):
            cells = [cell(numbers[1], None), cell(numbers[0], 2**63 - 1), cell(numbers[0], -3, "commercial")]
            publish(connection, METRIC, hour(index), TOPIC, cells)
        assert [header.position for header, _ in published_log(connection)] == [1, 2, 3, 4, 5]
        header, columns = published_log(connection)[0]
        assert (header.window, header.sequence, header.revision) == (hour(0), 1, 0)
        assert list(zip(columns.area, columns.class_, columns.value, columns.coverage, strict=True)) == [
            (numbers[0], "commercial", -3, "high"),
            (numbers[0], "residential", 2**63 - 1, "high"),
            (numbers[1], "residential", None, None),
        ]


def test_a_series_gives_the_latest_revision_of_each_window_and_where_it_stopped(database_url: str) -> None:
    with connect(database_url) as connection:
        first, second = found_areas(connection, [1, 2])
        for index in (2, 0, 1):
            publish(connection, METRIC, hour(index), TOPIC, [cell(first, index), cell(second)])
        publish(connection, METRIC, hour(1), TOPIC, [cell(first, 77), cell(second)], revision=1)
        publish(connection, "energy.solar", hour(0), TOPIC, [cell(first)])

        def read(start: int, end: int, limit: int = 9, cells: int = 99) -> tuple[list[object], int | None]:
            found, rest = series(connection, METRIC, start, end, area=first, class_=None, limit=limit, most_cells=cells)
            return [columns.value for _, columns in found], rest

        assert read(hour(0).start, hour(3).start) == ([[0], [77], [2]], None)
        assert read(hour(0).start + 1, hour(2).start) == ([[77]], None)
        assert read(hour(0).start, hour(3).start, limit=2) == ([[0], [77]], hour(2).start)
        assert read(hour(0).start, hour(3).start, cells=1) == ([[0]], hour(1).start)


def test_areas_have_their_population_and_their_stamp_changes_with_them(database_url: str) -> None:
    with connect(database_url) as connection:
        empty = areas_stamp(connection)
        (number,) = found_areas(connection, [17])
        assert [(area.number, area.population, area.valid_from) for area in published_areas(connection)[METRIC]] == [
            (number, 17, T0 - 1000 * HOUR)
        ]
        assert areas_stamp(connection) != empty


def test_totals_span_the_last_day_of_the_newest_window_in_its_latest_revision(database_url: str) -> None:
    with connect(database_url) as connection:
        first, second = found_areas(connection, [10, 30])
        for index in (0, 1, 24):
            publish(connection, METRIC, hour(index), TOPIC, [cell(first, 2**63 - 1), cell(second, 2**63 - 1)])
        publish(connection, METRIC, hour(24), TOPIC, [cell(first, 5), cell(second, None)], revision=1)
        found = window_totals(connection, METRIC, 24 * HOUR)
        assert [(t.window, t.value, t.released, t.cells, t.released_population, t.population) for t in found] == [
            (hour(1), 2**64 - 2, 2, 2, 40, 40),
            (hour(24), 5, 1, 2, 10, 40),
        ]
        assert [t.weighted for t in found] == [40 * (2**63 - 1), 50]


def test_cells_are_read_by_topic_and_window(database_url: str) -> None:
    with connect(database_url) as connection:
        for topic in (TOPIC, "other"):
            open_topic(connection, topic)
        add_cell(connection, 0, 1, value=11)
        add_cell(connection, 1, 1)
        add_cell(connection, 0, 2, topic="other")
        [cell] = cells_of_window(connection, TOPIC, METRIC, T0)
        assert (cell.area, cell.amounts.value) == (1, 11)


def test_readers_see_one_state_and_write_nothing(database_url: str) -> None:
    with snapshots(database_url, most=2, wait_s=5) as pool, connect(database_url) as writer:
        with pool.connection() as reader:
            before = log_state(reader)
            another_log(writer)
            assert log_state(reader) == before
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), pool.connection() as reader:
            reader.execute("INSERT INTO publication_sequences VALUES ('x', 1)")
