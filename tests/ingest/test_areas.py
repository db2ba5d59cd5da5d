import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from ingest.areas import MARGIN, partition
from ingest.cities import City, District
from store.areas import Area
from tests.ingest.small_city import city

MINIMUMS = {"residential": 100, "commercial": 15}


@dataclass(frozen=True)
class Case:
    city: City
    counts: Mapping[tuple[str, str], int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 14))
    pairs = [(a, b) for a in range(size) for b in range(a)]
    edges = draw(st.sets(st.sampled_from(pairs), max_size=30)) if pairs else set()
    beside: dict[int, set[int]] = {n: set() for n in range(size)}
    for a, b in edges:
        beside[a].add(b)
        beside[b].add(a)
    districts = tuple(
        District(
            f"d{n}",
            f"District {n}",
            "ward",
            draw(st.integers(1, 9)),
            "estimated",
            0,
            0,
            tuple(f"d{m}" for m in sorted(beside[n])),
        )
        for n in range(size)
    )
    counts = {
        (district.id, class_): draw(st.integers(0, 2 * minimum))
        for district in districts
        for class_, minimum in MINIMUMS.items()
        if draw(st.booleans())
    }
    return Case(replace(city(), districts=districts), counts)


def component(case: Case, start: str, within: set[str]) -> set[str]:
    """Districts reached from one, without leaving `within`."""
    by_id = {district.id: district for district in case.city.districts}
    reached, frontier = {start}, [start]
    while frontier:
        for other in by_id[frontier.pop()].neighbours:
            if other in within and other not in reached:
                reached.add(other)
                frontier.append(other)
    return reached


def passes(case: Case, area: Area) -> bool:
    for class_, minimum in MINIMUMS.items():
        if sum(case.counts.get((d.id, class_), 0) for d in case.city.districts) == 0:
            continue
        if sum(case.counts.get((d, class_), 0) for d in area.districts) < ceil(minimum * MARGIN):
            return False
    return True


@given(cases())
def test_every_district_is_in_exactly_one_area(case: Case) -> None:
    areas = partition(case.city, case.counts, MINIMUMS)
    assert sorted(d for area in areas for d in area.districts) == sorted(d.id for d in case.city.districts)
    assert sum(area.population for area in areas) == sum(d.population for d in case.city.districts)


@given(cases())
def test_an_area_is_connected(case: Case) -> None:
    for area in partition(case.city, case.counts, MINIMUMS):
        assert component(case, area.districts[0], set(area.districts)) == set(area.districts)


@given(cases())
def test_an_area_passes_unless_it_has_no_neighbour_left(case: Case) -> None:
    everywhere = {d.id for d in case.city.districts}
    for area in partition(case.city, case.counts, MINIMUMS):
        assert passes(case, area) or component(case, area.districts[0], everywhere) == set(area.districts)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(case: Case, shuffled: random.Random) -> None:
    districts = [
        replace(d, neighbours=tuple(shuffled.sample(d.neighbours, len(d.neighbours)))) for d in case.city.districts
    ]
    shuffled.shuffle(districts)
    counts = list(case.counts.items())
    shuffled.shuffle(counts)
    other = partition(replace(case.city, districts=tuple(districts)), dict(counts), MINIMUMS)
    assert other == partition(case.city, case.counts, MINIMUMS)


def test_districts_that_pass_stay_apart_and_failing_ones_join_their_smallest_neighbour() -> None:
    counts = {(f"town-{d}", "residential"): n for d, n in zip("abcdef", (500, 10, 130, 400, 500, 600), strict=True)}
    areas = partition(city(), counts, MINIMUMS)
    assert [area.districts for area in areas] == [
        ("town-a",),
        ("town-b", "town-c"),
        ("town-d",),
        ("town-e",),
        ("town-f",),
    ]
    assert [area.name for area in areas] == ["A", "B + C", "D", "E", "F"]


def test_an_area_needs_the_margin_and_no_more() -> None:
    counts = {(f"town-{d}", "residential"): n for d, n in zip("abcdef", (120, 120, 120, 120, 120, 120), strict=True)}
    assert len(partition(city(), counts, MINIMUMS)) == 6
    counts["town-f", "residential"] = 119
    assert len(partition(city(), counts, MINIMUMS)) == 5


def test_names_of_many_or_long_districts_stay_short() -> None:
    (area,) = partition(city(), {("town-a", "residential"): 1}, MINIMUMS)
    assert area.name == "F and 5 more"
    long = replace(city(), districts=tuple(replace(d, name=d.name * 300) for d in city().districts))
    assert all(len(area.name) <= 80 for area in partition(long, {}, MINIMUMS))
