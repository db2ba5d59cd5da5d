"""Cities side by side, per person and day."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.compare import DAY_MS, compare, comparisons
from schemas.catalogue import catalogue
from store.database import connect
from store.publication_log import WindowTotal
from store.publications import Window
from tests.federation.city import HOUR, IMPORT, T0, a_published_city


def total(value: int, released: int, people: int, *, class_: str = "residential", hour: int = 0) -> WindowTotal:
    window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
    return WindowTotal(IMPORT.name, class_, window, value, released, 4, people, 1000)


def test_each_window_is_divided_by_the_people_of_its_own_released_areas() -> None:
    found = compare("hue", "residential", "Wh", 1000, [total(6000, 2, 100), total(9000, 3, 300), total(0, 0, 0)])
    assert found is not None
    assert found.per_person_per_day == (6000 / 100 + 9000 / 300) / 1000
    assert found.cells_share == 5 / 12
    assert found.population_share == 400 / 3000
    assert found.windows == 2


def test_nothing_released_has_no_figure_and_another_class_no_row() -> None:
    found = compare("hue", "residential", "Wh", 1000, [total(0, 0, 0)])
    assert found is not None
    assert (found.per_person_per_day, found.cells_share, found.windows) == (None, 0, 0)
    assert compare("hue", "commercial", "Wh", 1000, [total(0, 0, 0)]) is None


@given(st.lists(st.tuples(st.integers(-(2**70), 2**70), st.integers(1, 10**7)), min_size=1, max_size=24))
def test_huge_amounts_are_added_exactly(windows: list[tuple[int, int]]) -> None:
    found = compare("hue", "residential", "Wh", 3_600_000, [total(value, 1, people) for value, people in windows])
    assert found is not None
    assert found.per_person_per_day == float(sum(Fraction(v, p) for v, p in windows) / 3_600_000)


@pytest.mark.services
def test_the_last_day_of_this_city_is_compared(database_url: str) -> None:
    with a_published_city(database_url, 26, (1000, 3000)) as areas, connect(database_url) as connection:
        rows = comparisons(connection, "isfahan", catalogue())
        assert [(row.city, row.metric, row.class_) for row in rows] == [
            ("isfahan", IMPORT.name, "residential"),
            ("isfahan", IMPORT.name, "commercial"),
        ]
        millijoules = sum(2 * 1000 * hour + sum(areas) for hour in range(2, 26))
        assert rows[0].per_person_per_day == pytest.approx(millijoules / 4000 / 3_600_000, rel=1e-12)
        assert (rows[0].windows, rows[0].cells_share, rows[0].population_share) == (24, 1, 1)
        assert (rows[1].per_person_per_day, rows[1].windows) == (None, 0)
        assert DAY_MS == 24 * HOUR
