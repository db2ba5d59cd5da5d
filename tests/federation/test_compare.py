"""Cities side by side: per person and day, or as a mean."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.compare import DAY_MS, comparable, compare, comparisons, decimals, whole_span
from federation.disclosure.precision import rounded
from schemas.catalogue import Metric, catalogue
from store.database import connect
from store.moments import milliseconds
from store.partner_figures import PartnerMetric
from store.publication_log import WindowTotal
from store.publications import PublishedCell, Window
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, a_published_city, found_areas
from tests.publishing import publish

FILL, COLLECTED, TONNAGE = (catalogue()[name] for name in ("waste.fill", "waste.collected", "waste.tonnage"))
REGIONS = catalogue()["traffic.regions"]
SHORT_DAY = Window(T0, T0 + 23 * HOUR)


def total(value: int, released: int, people: int, *, class_: str = "residential", hour: int = 0) -> WindowTotal:
    window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
    return WindowTotal(IMPORT.name, class_, window, value, released, 4, people, 1000, 0)


def test_each_window_is_divided_by_the_population_of_its_own_released_areas() -> None:
    totals = [total(6000, 2, 100, hour=1), total(9000, 3, 300, hour=4), total(0, 0, 0, hour=2)]
    found = compare("hue", "residential", IMPORT, 1000, totals)
    assert found is not None
    assert (found.figure, found.unit, found.measure) == (
        (6000 / 100 + 9000 / 300) / 1000,
        "Wh",
        "per-person-per-day",
    )
    assert found.cells_share == 5 / 12
    assert found.population_share == 400 / 3000
    assert (found.windows, found.until) == (2, T0 + 5 * HOUR)


def test_a_class_without_a_released_cell_has_no_figure_and_an_unpublished_class_no_row() -> None:
    for metric in (IMPORT, FILL):
        found = compare("hue", "residential", metric, 1000, [total(0, 0, 0)])
        assert found is not None
        assert (found.figure, found.cells_share, found.windows) == (None, 0, 0)
        assert compare("hue", "commercial", metric, 1000, [total(0, 0, 0)]) is None


def test_cells_released_only_in_areas_without_people_give_no_figure_but_are_counted() -> None:
    for metric in (IMPORT, FILL):
        found = compare("hue", "residential", metric, 1000, [total(6000, 2, 0)])
        assert found is not None
        assert (found.figure, found.cells_share, found.windows) == (None, 0.5, 0)


@given(st.lists(st.tuples(st.integers(-(2**70), 2**70), st.integers(1, 10**7)), min_size=1, max_size=24))
def test_huge_amounts_are_added_exactly(windows: list[tuple[int, int]]) -> None:
    found = compare("hue", "residential", IMPORT, 3_600_000, [total(value, 1, people) for value, people in windows])
    assert found is not None
    assert found.figure == float(sum(Fraction(v, p) for v, p in windows) / 3_600_000)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10**7)), min_size=1, max_size=5),
        min_size=1,
        max_size=24,
    ),
)
def test_a_mean_weights_every_released_cell_by_its_population(windows: list[list[tuple[int, int]]]) -> None:
    totals = [
        WindowTotal(
            *(FILL.name, "organic", Window(0, HOUR), sum(value for value, _ in cells), len(cells), 9),
            *(sum(people for _, people in cells), 10**9, sum(value * people for value, people in cells)),
        )
        for cells in windows
    ]
    found = compare("hue", "organic", FILL, FILL.smallest_per_unit, totals)
    assert found is not None and (found.measure, found.unit) == ("mean", "%")
    flat = [cell for cells in windows for cell in cells]
    people = sum(people for _, people in flat)
    expected = float(Fraction(sum(v * p for v, p in flat), 100 * people)) if people else None
    assert found.figure == expected
    assert found.figure is None or min(v for v, p in flat if p) / 100 <= found.figure <= 100


def window_of(metric: Metric, class_: str, start: datetime, end: datetime, grams: int) -> WindowTotal:
    window = Window(milliseconds(start), milliseconds(end))
    return WindowTotal(metric.name, class_, window, grams, 1, 1, 1000, 1000, grams * 1000)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00", 29),
        ("2025-02-01T00:00:00+00:00", "2025-03-01T00:00:00+00:00", 28),
        ("2025-03-01T00:00:00+01:00", "2025-04-01T00:00:00+02:00", 31),  # clocks are set forward in this month
        ("2025-10-01T00:00:00+02:00", "2025-11-01T00:00:00+01:00", 31),
    ],
)
def test_a_month_is_divided_by_its_own_days_and_tons_are_shown_in_kilograms(start: str, end: str, days: int) -> None:
    bounds = (datetime.fromisoformat(start), datetime.fromisoformat(end))
    month = window_of(TONNAGE, "residual", *bounds, grams=days * 1_500_000)
    found = compare("hue", "residual", TONNAGE, 1_000_000, [month])
    assert found is not None
    assert (found.figure, found.unit, found.windows) == (1.5, "kg", 1)


@pytest.mark.parametrize("hours", [23, 24, 25])
def test_a_day_in_which_clocks_are_moved_is_one_day(hours: int) -> None:
    start = datetime(2025, 3, 30, 0, tzinfo=UTC)
    end = datetime.fromtimestamp(start.timestamp() + hours * 3600, UTC)
    found = compare("hue", "residual", COLLECTED, 1000, [window_of(COLLECTED, "residual", start, end, 500_000)])
    assert found is not None
    assert (found.figure, found.unit) == (0.5, "kg")


def test_a_whole_span_has_the_windows_of_a_day_or_the_newest_one() -> None:
    assert {metric.name: whole_span(metric) for metric in catalogue().values()} == {
        "energy.import": 24,
        "energy.solar": 24,
        "waste.fill": 24,
        "waste.collected": 1,
        "waste.tonnage": 1,
        "traffic.regions": 96,
        "traffic.passes": 96,
        "traffic.occupancy": 24,
        "traffic.counts": 96,
    }


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (0.0, "0"),
        (2429.4, "2,429"),
        (100.4, "100"),
        (99.96, "100.0"),
        (43.14, "43.1"),
        (-1.006, "-1.01"),
        (0.012345, "0.0123"),
        (0.00000123456, "0.00000123"),
    ],
)
def test_figures_are_shown_with_three_significant_digits_and_a_whole_part_is_never_rounded(
    figure: float, shown: str
) -> None:
    assert f"{figure:,.{decimals(figure)}f}" == shown


def of_a_partner(metric: Metric, **other: Any) -> PartnerMetric:
    same = PartnerMetric(metric.unit, metric.smallest_unit, metric.smallest_per_unit, metric.kind, metric.window)
    return replace(same, **other)


@pytest.mark.parametrize("other", [{"unit": "kWh"}, {"kind": "mean-of-last"}, {"window": "day"}])
def test_a_partner_that_defines_the_metric_differently_is_not_comparable(other: dict[str, str]) -> None:
    assert comparable(IMPORT, of_a_partner(IMPORT))
    assert not comparable(IMPORT, of_a_partner(IMPORT, **other))


@pytest.mark.services
def test_the_last_day_of_this_city_is_compared(database_url: str) -> None:
    with a_published_city(database_url, 26, (1000, 3000)) as areas, connect(database_url) as connection:
        rows = comparisons(connection, "isfahan", catalogue())
        assert [(row.city, row.metric, row.class_) for row in rows] == [
            ("isfahan", IMPORT.name, "residential"),
            ("isfahan", IMPORT.name, "commercial"),
        ]
        values = [(1000 * hour + area) * IMPORT.base for hour in range(2, 26) for area in areas]
        outside = sum(rounded(value, IMPORT.base) for value in values)
        assert outside != sum(values)
        assert rows[0].figure == pytest.approx(outside / 4000 / 3_600_000, rel=1e-12)
        assert (rows[0].windows, rows[0].cells_share, rows[0].population_share) == (24, 1, 1)
        assert rows[0].until == T0 + 26 * HOUR
        assert (rows[1].figure, rows[1].windows) == (None, 0)
        assert DAY_MS == 24 * HOUR


@pytest.mark.services
def test_means_days_months_and_quarter_hours_are_compared_in_their_own_span(database_url: str) -> None:
    quarter = HOUR // 4
    with connect(database_url) as connection:

        def release(metric: Metric, class_: str, window: Window, values: list[int | None]) -> None:
            numbers = areas[metric.name]
            cells = [
                PublishedCell(area, class_, value, None if value is None else "high", metric.rule)
                for area, value in zip(numbers, values, strict=True)
            ]
            publish(connection, metric.name, window, TOPIC, cells)

        areas = {
            metric.name: found_areas(connection, [1000, 3000], metric.name)
            for metric in (FILL, COLLECTED, TONNAGE, REGIONS)
        }
        release(FILL, "organic", Window(T0 - 25 * HOUR, T0 - 24 * HOUR), [10_000, 10_000])  # a day before the span
        release(FILL, "organic", Window(T0 - 2 * HOUR, T0 - HOUR), [2000, 6000])
        release(FILL, "organic", Window(T0 - HOUR, T0), [1000, None])
        release(COLLECTED, "residual", Window(T0 - 23 * HOUR, T0), [9, 9])
        release(COLLECTED, "residual", SHORT_DAY, [600_000, 1_000_000])
        release(TONNAGE, "residual", Window(T0 - 30 * DAY_MS, T0), [9, 9])
        release(TONNAGE, "residual", Window(T0, T0 + 31 * DAY_MS), [31 * 1_200_000, None])
        for number in range(97):
            release(REGIONS, "any", Window(T0 + number * quarter, T0 + (number + 1) * quarter), [1, 3])
        found = {row.metric: row for row in comparisons(connection, "isfahan", catalogue())}
    assert {name: (row.figure, row.unit, row.measure) for name, row in found.items()} == {
        FILL.name: ((1000 * 20 + 3000 * 60 + 1000 * 10) / 5000, "%", "mean"),
        COLLECTED.name: (1_600_000 / 4000 / 1000, "kg", "per-person-per-day"),
        TONNAGE.name: (1.2, "kg", "per-person-per-day"),
        REGIONS.name: (96 * 4 / 4000, "region", "per-person-per-day"),
    }
    assert {name: row.windows for name, row in found.items()} == {
        FILL.name: 2,
        COLLECTED.name: 1,
        TONNAGE.name: 1,
        REGIONS.name: 96,
    }
    assert found[FILL.name].population_share == 5000 / 8000
    assert found[TONNAGE.name].until == T0 + 31 * DAY_MS
