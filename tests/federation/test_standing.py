"""Standing decisions: what is open for a month, from what was measured before, and what closes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.disclosure.standing import decide, is_open, judge, measure, month_of, time_of, times_of
from schemas.catalogue import Metric, catalogue
from store.processing import Amounts, Cell
from store.publications import Window
from store.standing import Decision, Place, Standing

ZONE = "Asia/Tehran"
HOUR = 3_600_000
DAY = 24 * HOUR
IMPORT = catalogue()["energy.import"]
SOLAR = catalogue()["energy.solar"]
PASSES = catalogue()["traffic.passes"]
COLLECTED = catalogue()["waste.collected"]
TONNAGE = catalogue()["waste.tonnage"]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


JUNE = month_of(at("2025-06-15"), ZONE)
JULY = month_of(at("2025-07-15"), ZONE)


def passes(class_: str, amounts: Amounts) -> bool:
    """A rule of these tests: a cell passes if its value is not zero."""
    return amounts.value != 0


def cell(metric: Metric, window: Window, place: Place, passed: bool, *, incomplete: bool = False) -> Cell:
    amounts = Amounts(int(passed), 1, 1, 1, 1, 0, 0, 0)
    return Cell(metric.name, window.start, window.end, *place, amounts, incomplete)


def hours(first: int, until: int) -> list[Window]:
    return [Window(start, start + HOUR) for start in range(first, until, HOUR)]


def decided(
    metric: Metric,
    windows: Sequence[Window],
    passed: Mapping[Place, Callable[[Window], bool]],
    registered: Mapping[Place, int] | None = None,
    period: Window = JULY,
) -> Decision:
    """What is decided for the period if these cells pass in these windows."""
    rows = [(window, [cell(metric, window, place, of(window)) for place, of in passed.items()]) for window in windows]
    found = measure(metric, rows, passes, ZONE)
    span = Window(windows[0].start, windows[-1].end) if windows else period
    return decide(metric, passed, period, ZONE, span, found, registered or {})


def alike(metric: Metric, times: frozenset[int]) -> Mapping[str, frozenset[int]]:
    """These opening times for every class."""
    return dict.fromkeys(metric.classes, times)


def opened(decision: Decision) -> set[Place]:
    return {(cell.area, cell.class_) for cell in decision.cells if cell.open}


def always(window: Window) -> bool:
    return True


def by_day(window: Window) -> bool:
    return 6 <= time_of(SOLAR, window.start, ZONE) < 19


SHOPS, HOMES, FACTORY = (1, "commercial"), (1, "residential"), (2, "commercial")


def test_a_cell_that_always_passed_is_open_at_all_times_and_a_factory_that_dominates_by_shifts_is_not() -> None:
    def without_shift(window: Window) -> bool:
        return datetime.fromtimestamp(window.start / 1000, ZoneInfo(ZONE)).hour not in range(8, 16)

    found = decided(IMPORT, hours(JUNE.start, JUNE.end), {SHOPS: always, HOMES: always, FACTORY: without_shift})
    assert (found.basis, found.times, opened(found)) == ("measurement", alike(IMPORT, times_of(IMPORT)), {SHOPS, HOMES})
    assert found.month_ms == JULY.start
    assert found.period == JULY
    assert found.windows == 30 * 24


def test_the_opening_times_of_a_small_city_are_not_those_of_its_factory() -> None:
    found = decided(IMPORT, hours(JUNE.start, JUNE.end), {SHOPS: by_day, FACTORY: by_day})
    assert found.times == alike(IMPORT, times_of(IMPORT))
    assert opened(found) == set()


def test_hours_in_which_the_metric_passes_nowhere_are_closed_with_the_hour_beside_them() -> None:
    places = {(area, "residential"): by_day for area in range(1, 6)}
    found = decided(SOLAR, hours(JUNE.start, JUNE.end), places)
    assert found.times == {"residential": frozenset(range(7, 18)), "commercial": times_of(SOLAR)}
    assert opened(found) == set(places)


def test_a_single_boulevard_that_is_busy_at_night_does_not_keep_the_city_open_at_night() -> None:
    cars: dict[Place, Callable[[Window], bool]] = {(area, "one-line"): by_day for area in range(1, 6)}
    motorcycles: dict[Place, Callable[[Window], bool]] = {(area, "two-lines"): always for area in range(1, 6)}
    boulevard = (9, "one-line")
    found = decided(PASSES, hours(JUNE.start, JUNE.end), {**cars, **motorcycles, boulevard: always})
    assert (found.times["one-line"], found.times["two-lines"]) == (frozenset(range(7, 18)), times_of(PASSES))
    assert opened(found) == {*cars, *motorcycles, boulevard}


@pytest.mark.parametrize(("failing", "open_"), [(7, True), (8, False)])
def test_an_outage_of_some_hours_is_within_nearly_all_and_more_is_not(failing: int, open_: bool) -> None:
    windows = hours(JUNE.start, JUNE.end)
    out = set(windows[100 : 100 + failing])
    found = decided(IMPORT, windows, {SHOPS: lambda window: window not in out, HOMES: always})
    assert (SHOPS in opened(found)) is open_
    assert found.times == alike(IMPORT, times_of(IMPORT))


def test_windows_of_a_day_have_opening_days_of_the_week_and_those_of_a_month_none() -> None:
    days = [Window(start, start + DAY) for start in range(JUNE.start, JUNE.end, DAY)]
    weekday = [time_of(COLLECTED, window.start, ZONE) for window in days]
    assert weekday[:3] == [6, 0, 1]  # 1 June 2025 was a Sunday
    areas = {(area, "organic") for area in (1, 2, 3)}
    found = decided(COLLECTED, days, dict.fromkeys(areas, lambda window: time_of(COLLECTED, window.start, ZONE) != 4))
    assert found.times["organic"] == frozenset({0, 1, 2, 3, 5, 6})
    assert opened(found) == areas
    assert decided(TONNAGE, [JUNE], {(1, "organic"): always}).times["organic"] == {0}


def test_a_new_city_opens_residential_cells_by_its_register_and_the_rest_after_seven_measured_days() -> None:
    crowded, small = (1, "residential"), (2, "residential")
    places = {crowded: always, small: always, SHOPS: always}
    registered = {crowded: 200, small: 199, SHOPS: 10_000}
    begins = Window(at("2025-07-10"), JULY.end)
    for measured_days, basis, wanted in (
        (0, "register", {crowded}),
        (6, "register", {crowded}),
        (7, "measurement", set(places)),
    ):
        windows = hours(begins.start - measured_days * DAY, begins.start)
        found = decided(IMPORT, windows, places, registered, begins)
        assert (found.basis, opened(found), found.times) == (basis, wanted, alike(IMPORT, times_of(IMPORT)))
        assert found.month_ms == JULY.start
    assert opened(decided(SOLAR, [], places, registered, begins)) == set()


def test_windows_that_were_not_whole_say_nothing_and_a_cell_without_a_row_has_failed() -> None:
    windows = hours(JUNE.start, JUNE.end)
    rows = []
    for index, window in enumerate(windows):
        rows.append((window, [cell(IMPORT, window, HOMES, True), cell(IMPORT, window, SHOPS, True)]))
        if index < 300:
            rows[-1] = window, [cell(IMPORT, window, SHOPS, False, incomplete=True)]
        if index == 400:
            rows[-1] = window, [cell(IMPORT, window, HOMES, True)]
    found = measure(IMPORT, rows, passes, ZONE)
    assert found.width_ms == (720 - 300) * HOUR
    assert sum(found.passed[HOMES].values()) == 420
    assert sum(found.passed[SHOPS].values()) == 419


def test_an_open_cell_fails_where_others_came_in_and_nothing_fails_where_nothing_came_in_or_the_hour_is_closed() -> (
    None
):
    window = Window(at("2025-07-01T12:00:00"), at("2025-07-01T13:00:00"))
    night = Window(at("2025-07-01T02:00:00"), at("2025-07-01T03:00:00"))
    known = Standing(JULY, frozenset({HOMES, SHOPS}), alike(SOLAR, frozenset({12})), "measurement")
    cells = [cell(SOLAR, window, HOMES, True), cell(SOLAR, window, FACTORY, True)]
    may = is_open(SOLAR, known, window, ZONE)
    assert judge(may, cells, passes).released == {HOMES}
    assert judge(may, cells, passes).failed == {SHOPS}
    assert judge(may, [], passes) == judge(frozenset(), cells, passes)
    assert is_open(SOLAR, known, night, ZONE) == is_open(SOLAR, None, window, ZONE) == frozenset()


places = st.tuples(st.integers(1, 3), st.sampled_from(["residential", "commercial"]))


@given(st.data())
def test_a_cell_changes_its_status_at_most_twice_in_a_month_whatever_it_does(data: st.DataObject) -> None:
    """Windows of a day, over a quarter; each cell passes or fails as it likes, often for weeks."""
    start, end = at("2025-06-01"), at("2025-09-01")
    days = [
        Window(round(day.timestamp() * 1000), round((day + timedelta(days=1)).timestamp() * 1000))
        for day in (
            datetime(2025, 6, 1, tzinfo=ZoneInfo(ZONE)) + timedelta(days=n) for n in range((end - start) // DAY)
        )
    ]
    cells = data.draw(st.lists(places, min_size=1, max_size=3, unique=True))
    fails = {place: data.draw(st.sets(st.integers(0, len(days) - 1), max_size=4)) for place in cells}
    changes: dict[tuple[int, Place], int] = {}
    shown = dict.fromkeys(cells, False)
    standing, closed = frozenset[Place](), set[Place]()
    for index, window in enumerate(days):
        month = month_of(window.start, ZONE)
        new = window.start == month.start
        if new or index == 7:
            closed = set() if new else closed
            passed = {place: (lambda w, place=place: days.index(w) not in fails[place]) for place in cells}
            standing = frozenset(
                opened(
                    decided(COLLECTED, days[max(0, index - 30) : index], passed, {}, Window(window.start, month.end))
                )
            )
        rows = [cell(COLLECTED, window, place, index not in fails[place]) for place in cells]
        judged = judge(standing - closed, rows, passes)
        closed |= judged.failed
        for place in cells:
            if shown[place] != (place in judged.released):
                shown[place] = not shown[place]
                changes[month.start, place] = changes.get((month.start, place), 0) + 1
    assert all(count <= 2 for count in changes.values())
