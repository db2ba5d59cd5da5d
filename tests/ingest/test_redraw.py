from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.area_pieces import Piece, Version
from ingest.area_report import present, report, too_few
from ingest.redraw import Drawn, Redrawn, RedrawRefused, choose, redraw, scaled
from ingest.register_file import load_register
from schemas.catalogue import catalogue
from store.areas import Area, versions
from store.database import Connection, connect
from tests.ingest.clocks import clock_at
from tests.ingest.small_city import city
from tests.ingest.test_register_file import line, town

NOW = int(datetime(2025, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
TEHRAN = ZoneInfo("Asia/Tehran")
THIS_QUARTER, NEXT_QUARTER, SECOND_QUARTER = (
    int(datetime(year, month, 1, tzinfo=TEHRAN).timestamp() * 1000)
    for year, month in ((2025, 10), (2026, 1), (2026, 4))
)
METRIC = catalogue()["energy.import"]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


at_now = clock_at(NOW)


def areas(*groups: str) -> list[Area]:
    return [Area(group, tuple(f"town-{district}" for district in group), 1000) for group in groups]


def counts(contributors: str) -> dict[tuple[str, str], int]:
    """Residential customers of the districts A to F; "-" for a district without any."""
    given = zip("abcdef", contributors.split(), strict=True)
    return {(f"town-{district}", "residential"): int(count) for district, count in given if count != "-"}


def drawn(before: list[Area], then: str, now: str) -> tuple[list[str], Piece | None]:
    chosen, avoided = choose(city(), METRIC, [Version(before, counts(then))], counts(now))
    return ["".join(district[-1] for district in area.districts) for area in chosen], avoided


def test_areas_are_drawn_freely_if_no_piece_of_old_and_new_is_too_small() -> None:
    assert drawn(areas("ab", "cdef"), "300 300 300 300 300 300", "300 300 300 300 300 300") == (list("abcdef"), None)


def test_otherwise_the_present_areas_are_split_and_what_that_avoids_is_said() -> None:
    """Freely, c would go to a and b, and be a piece of its own."""
    groups, avoided = drawn(areas("ab", "cd", "ef"), "200 200 50 400 400 400", "200 200 50 450 400 400")
    assert groups == ["ab", "cd", "e", "f"]
    assert avoided == Piece(("town-c",), "residential", 50, 300)


def test_a_redraw_that_would_show_a_piece_is_refused_in_words() -> None:
    with pytest.raises(RedrawRefused, match=r"cut out B, where 40 contributors of class residential are and 300 are"):
        drawn(areas("a", "bc", "d", "e", "f"), "500 40 400 700 700 700", "500 40 600 700 700 700")


def test_an_area_that_can_no_longer_pass_stays_as_it_is() -> None:
    """Added to a neighbour it would be the difference between the neighbour before and both after."""
    with pytest.raises(RedrawRefused, match="cut out B, where 40"):
        drawn(areas(*"abcdef"), "500 40 600 700 700 700", "500 40 600 700 700 700")


@pytest.mark.services
def test_a_redraw_begins_with_the_next_quarter_and_replaces_what_was_planned_for_it(connection: Connection) -> None:
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now, people=1000)
    begun = versions(connection, "energy.import")[0]
    with pytest.raises(RedrawRefused, match="same as now"):
        redraw(connection, city(), METRIC, at_now)
    load_register(connection, city(), town("0 400 0 0 0 0", start=5000), at_now)
    for _ in range(2):
        assert redraw(connection, city(), METRIC, at_now) == Redrawn(Drawn("energy.import", NEXT_QUARTER, 6), None)
    first, second = versions(connection, "energy.import")
    assert first == begun
    assert second.valid_from_ms == NEXT_QUARTER
    assert sum(area.population for area in second.areas.values()) == 1000
    redraw(connection, city(), METRIC, at_now, people=77)
    assert sum(area.population for area in versions(connection, "energy.import")[1].areas.values()) == 77


@pytest.mark.services
def test_areas_that_processes_may_not_know_of_in_time_begin_with_the_quarter_after(connection: Connection) -> None:
    """Readings of a quarter's first hours are sent soon after its start, by processes that read the register before."""
    load_register(connection, city(), town("500 10 330 400 500 600"), at_now)
    load_register(connection, city(), town("0 400 0 0 0 0", start=5000), at_now)
    redraw(connection, city(), METRIC, at_now)
    for before, begins in ((600_000, NEXT_QUARTER), (599_999, SECOND_QUARTER), (1, SECOND_QUARTER)):
        outcome = redraw(connection, city(), METRIC, clock_at(NEXT_QUARTER - before), people=before)
        assert outcome.drawn.valid_from_ms == begins
    assert [version.valid_from_ms for version in versions(connection, "energy.import")] == [
        *(THIS_QUARTER, NEXT_QUARTER, SECOND_QUARTER)
    ]


@pytest.mark.services
def test_a_redraw_needs_areas_and_those_of_a_derived_metric_are_not_its_own(connection: Connection) -> None:
    with pytest.raises(RedrawRefused, match="has no areas"):
        redraw(connection, city(), METRIC, at_now)
    with pytest.raises(RedrawRefused, match=r"traffic\.regions"):
        redraw(connection, city(), catalogue()["traffic.passes"], at_now)


@pytest.mark.services
def test_the_report_counts_each_contributor_once_and_says_which_areas_can_no_longer_pass(
    connection: Connection,
) -> None:
    rows = town("500 310 330 400 500 600")
    rows.append(line(9000, contributor="c0", district="town-b"))  # a second meter of a customer in A
    load_register(connection, city(), rows, at_now)
    version = present(report(connection, METRIC, NOW), NOW)
    assert version is not None
    assert [area.count("residential") for area in version.areas] == [500, 310, 330, 400, 500, 600]
    assert too_few(version) == []
    left = [row | {"valid_to": "2025-12-01"} for row in rows[:450]]
    load_register(connection, city(), left, at_now)
    later = NEXT_QUARTER - 1
    version = present(report(connection, METRIC, later), later)
    assert version is not None
    [few] = too_few(version)
    assert (few.class_, few.minimum, few.areas) == ("residential", 100, [("A", 50)])


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40), st.integers(0, 10**8))
def test_scaled_populations_add_up_and_keep_their_proportions(populations: list[int], people: int) -> None:
    areas = [replace(Area("", (), 0), population=population) for population in populations]
    found = scaled(areas, people)
    assert sum(area.population for area in found) == people
    for area, before in zip(found, areas, strict=True):
        assert abs(area.population - before.population * people / sum(populations)) < 1
