import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.areas import Standard, drawn_for, partition, split, standards
from ingest.cities import City, District
from schemas.catalogue import catalogue
from store.areas import Area
from tests.ingest.small_city import city

STANDARDS = [Standard("residential", 100, 120), Standard("commercial", 15, 45)]


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
        for class_, minimum in {of.class_: of.drawn for of in STANDARDS}.items()
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


def count(case: Case, class_: str, districts: Iterable[str]) -> int:
    return sum(case.counts.get((district, class_), 0) for district in districts)


def passes(case: Case, area: Area) -> bool:
    """Whether an area reaches what it is drawn for, in the classes that the whole city reaches it in."""
    reached = [of for of in STANDARDS if count(case, of.class_, (d.id for d in case.city.districts)) >= of.drawn]
    return all(count(case, of.class_, area.districts) >= of.drawn for of in reached)


@given(cases())
def test_every_district_is_in_exactly_one_area(case: Case) -> None:
    areas = partition(case.city, case.counts, STANDARDS)
    assert sorted(d for area in areas for d in area.districts) == sorted(d.id for d in case.city.districts)
    assert sum(area.population for area in areas) == sum(d.population for d in case.city.districts)


@given(cases())
def test_an_area_is_connected(case: Case) -> None:
    for area in partition(case.city, case.counts, STANDARDS):
        assert component(case, area.districts[0], set(area.districts)) == set(area.districts)


@given(cases())
def test_an_area_passes_unless_it_has_no_neighbour_left(case: Case) -> None:
    everywhere = {d.id for d in case.city.districts}
    for area in partition(case.city, case.counts, STANDARDS):
        assert passes(case, area) or component(case, area.districts[0], everywhere) == set(area.districts)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(case: Case, shuffled: random.Random) -> None:
    districts = [
        replace(d, neighbours=tuple(shuffled.sample(d.neighbours, len(d.neighbours)))) for d in case.city.districts
    ]
    shuffled.shuffle(districts)
    counts = list(case.counts.items())
    shuffled.shuffle(counts)
    other = partition(replace(case.city, districts=tuple(districts)), dict(counts), STANDARDS)
    assert other == partition(case.city, case.counts, STANDARDS)


def test_districts_that_pass_stay_apart_and_failing_ones_join_their_smallest_neighbour() -> None:
    counts = {(f"town-{d}", "residential"): n for d, n in zip("abcdef", (500, 10, 130, 400, 500, 600), strict=True)}
    areas = partition(city(), counts, STANDARDS)
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
    assert len(partition(city(), counts, STANDARDS)) == 6
    counts["town-f", "residential"] = 119
    assert len(partition(city(), counts, STANDARDS)) == 5


def test_what_the_whole_city_does_not_reach_is_left_out_unless_nothing_else_is_left() -> None:
    counts = {(f"town-{d}", "residential"): 120 for d in "abcdef"}
    assert len(partition(city(), counts | {("town-a", "commercial"): 44}, STANDARDS)) == 6
    assert len(partition(city(), counts | {("town-a", "commercial"): 45}, STANDARDS)) == 1
    few = {(f"town-{d}", "residential"): 18 for d in "abcdef"}
    assert len(partition(city(), few, STANDARDS)) == 1  # 108 pass the rule only together


@given(cases(), st.randoms(use_true_random=False))
def test_areas_that_are_split_stay_within_their_borders_and_every_part_passes(
    case: Case, chosen: random.Random
) -> None:
    """A class of which an area can show nothing needs nothing: its parts show nothing either."""
    before = partition(case.city, {key: chosen.randint(0, n) for key, n in case.counts.items()}, STANDARDS)
    parts = split(case.city, before, case.counts, STANDARDS)
    assert sorted(d for part in parts for d in part.districts) == sorted(d.id for d in case.city.districts)
    for area in before:
        inside = [part for part in parts if set(part.districts) <= set(area.districts)]
        assert sorted(d for part in inside for d in part.districts) == sorted(area.districts)
        shown = [of for of in STANDARDS if count(case, of.class_, area.districts) >= of.minimum]
        assert len(inside) == 1 or all(
            count(case, of.class_, part.districts) >= of.drawn for part in inside for of in shown
        )


def test_a_split_gives_new_districts_to_a_neighbour_and_leaves_out_those_that_are_gone() -> None:
    before = [Area("A + B", ("town-a", "town-b"), 0), Area("C and more", ("town-c", "town-d", "town-z"), 0)]
    counts = {(f"town-{d}", "residential"): n for d, n in zip("abcdef", (200, 200, 100, 100, 0, 0), strict=True)}
    parts = split(city(), before, counts, STANDARDS)
    assert [part.districts for part in parts] == [("town-a",), ("town-b",), ("town-c", "town-d", "town-e", "town-f")]


def test_amounts_that_are_added_up_need_three_times_the_minimum() -> None:
    drawn = {name: {of.class_: of.drawn for of in standards(metric)} for name, metric in catalogue().items()}
    assert drawn["energy.import"] == {"residential": 300, "commercial": 45}
    assert set(drawn["waste.collected"].values()) == {33}
    assert set(drawn["waste.fill"].values()) == {14}  # a mean of levels: nobody dominates it


def test_areas_of_cameras_are_drawn_for_what_is_published_of_them() -> None:
    """Regions stay inside: the areas of video cameras are those of passes, in which any camera may have any vehicle."""
    assert {(of.class_, of.minimum, of.drawn) for of in drawn_for(catalogue()["traffic.regions"])} == {("any", 1, 2)}
    assert drawn_for(catalogue()["traffic.occupancy"]) == [Standard("any", 11, 33)]


@pytest.mark.parametrize(("contributors", "share"), [(11, 0.02), (20, 0.40), (30, 0.75)])
def test_three_times_the_minimum_keeps_one_contributor_below_15_percent_in_three_cases_of_four(
    contributors: int, share: float
) -> None:
    """The reason for `DOMINANCE_MARGIN`: lognormal amounts, sigma .8, of as many contributors, 20,000 times."""
    amounts = np.random.default_rng(17).lognormal(0, 0.8, (20_000, contributors))
    passed = (amounts.max(axis=1) * 100 <= 15 * amounts.sum(axis=1)).mean()
    assert passed == pytest.approx(share, abs=0.03)


def test_names_of_many_or_long_districts_stay_short() -> None:
    (area,) = partition(city(), {("town-a", "residential"): 1}, STANDARDS)
    assert area.name == "F and 5 more"
    long = replace(city(), districts=tuple(replace(d, name=d.name * 300) for d in city().districts))
    assert all(len(area.name) <= 80 for area in partition(long, {}, STANDARDS))
