"""A quarter of two small cities, with late readings, gaps, a restore, withdrawals and new areas: what can be found out.

Attackers know who is in every figure, whose readings came late, and everybody's fuse. In `make test` they look at a few
days and at the redraw, in `make soak` at the quarter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest

from ingest.area_pieces import Version
from store.areas import Area
from tests.attacks.attackers import Weakest, narrowest_interval, weakest_difference, weakest_piece
from tests.attacks.simulated_city import MINIMUM, PERCENT, REDRAWN, Policy, Published, SimulatedCity
from tests.attacks.simulated_town import HOUR, Town
from tests.soak import SOAKING, amount, soak

HOURS = amount(100, soak=24 * 92)
DAY = 24 * HOUR
CITIES = ("isfahan", "ho-chi-minh-city")
PRODUCT = Policy()


@cache
def town(city: str) -> Town:
    return Town(city, amount(1_100, soak=1_700), amount(200, soak=300), seed=CITIES.index(city))


@cache
def published(city: str, policy: Policy = PRODUCT) -> Published:
    return SimulatedCity(town(city), policy).publish(range(HOURS))


def differences(found: Published, of: Town) -> Mapping[str, Weakest]:
    return weakest_difference(found.kept(), found.knowledge(of), found.amounts)


def below_the_bar(weakest: Mapping[str, Weakest]) -> set[str]:
    """The classes of which something can be computed that the rule would not let pass."""
    return {class_ for class_, of in weakest.items() if of.contributors < MINIMUM[class_] or of.share * 100 > PERCENT}


@soak
@pytest.mark.parametrize("city", CITIES)
def test_every_figure_has_enough_contributors_and_nobody_dominates_it(city):
    found = published(city)
    assert set(found.fewest) == set(MINIMUM)
    assert all(found.fewest[class_] >= MINIMUM[class_] for class_ in MINIMUM)
    assert all(share * 100 <= PERCENT for share in found.share.values())


@soak
@pytest.mark.parametrize("city", CITIES)
def test_no_difference_of_what_was_ever_released_is_below_the_bar(city):
    found = published(city)
    assert len({figure.revision for figure in found.kept()}) == 3
    weakest = differences(found, town(city))
    assert set(weakest) == set(MINIMUM)
    assert not below_the_bar(weakest)


@soak
@pytest.mark.parametrize(
    ("city", "insider"),
    [(city, insider) for city in CITIES for insider in (None, "a shop", "the factory")]
    if SOAKING
    else [(CITIES[0], None), (CITIES[1], "a shop"), (CITIES[0], "the factory")],
)
def test_no_amount_is_known_more_closely_than_by_its_own_size(city, insider):
    found, of = published(city), town(city)
    who = {None: -1, "a shop": int(of.mean[of.residential : -1].argmax()) + of.residential, "the factory": of.factory}
    own = {unknown: used for unknown, used in found.amounts.items() if unknown.contributor == who[insider]}
    days = 1 if insider is None else 5  # a look at every fifth day is enough for the others
    figures = [figure for figure in found.kept() if (figure.place.start - of.first) // DAY % days == 0]
    count, narrowest = narrowest_interval(figures, found.knowledge(of, own), found.amounts)
    assert count > 100 // days
    assert narrowest.ratio >= 1


def all_corrected(shown, corrected, released, passes, figure):
    """Whatever the late readings have changed leaves."""
    return [cell for cell in corrected if (cell.area, cell.class_) in shown]


def without_a_crowd(shown, corrected, released, passes, figure):
    """A change leaves if nobody dominates it, however few there are."""
    return PRODUCT.revised(shown, corrected, released, lambda class_, of: of.largest * 5 <= of.absolute, figure)


BROKEN = {
    "published anew after a restore": Policy(again=True),
    "an import is published beside the running stream": Policy(imported=range(97, 98)),
    "every correction leaves": Policy(revised=all_corrected),
    "a change needs no crowd": Policy(revised=without_a_crowd),
}
EXACT = list(BROKEN)[:3]
"""Those that show single customers."""


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_rule_of_revisions_is_noticed(broken):
    of = town("isfahan")
    found = SimulatedCity(of, BROKEN[broken]).publish(range(100))
    assert below_the_bar(differences(found, of))
    if broken in EXACT:
        _, narrowest = narrowest_interval(found.kept(), found.knowledge(of, changes_pass=False), found.amounts)
        assert narrowest.ratio < 1


def test_a_total_beside_a_suppressed_cell_is_noticed():
    few_shops = Town("isfahan", 1_700, 60, seed=4)
    found = SimulatedCity(few_shops, Policy(imported=range(0))).publish(range(24))
    assert {figure.status for figure in found.figures if figure.place.class_ == "commercial"} == {"suppressed"}
    assert not below_the_bar(differences(found, few_shops))
    crowds = Policy(passes=lambda class_, amounts: amounts.contributors >= MINIMUM[class_], totals=True)
    found = SimulatedCity(few_shops, crowds).publish(range(24))
    assert "commercial" in below_the_bar(differences(found, few_shops))


def test_a_rule_without_dominance_is_noticed():
    works = Town("isfahan", 600, 90, seed=1, factory_wh=60_000)
    crowds = Policy(passes=lambda class_, amounts: amounts.contributors >= MINIMUM[class_])
    found = SimulatedCity(works, crowds).publish(range(24 * 3))
    assert "commercial" in below_the_bar(differences(found, works))


@pytest.mark.parametrize("city", CITIES)
def test_no_piece_of_old_and_new_areas_is_below_the_bar(city):
    of = town(city)
    found = SimulatedCity(of, PRODUCT).publish(range(REDRAWN - 2, REDRAWN + 3))
    assert len(found.versions) == 2
    weakest = weakest_piece(of, found, REDRAWN)
    assert all(weakest[class_].contributors >= MINIMUM[class_] for class_ in weakest)


def one_district_moved(of: Town, history: Sequence[Version]) -> Sequence[Area]:
    """The areas of before, but a district of the first one goes to the second."""
    first, second, *others = history[-1].areas
    moved, *left = first.districts
    return [replace(first, districts=tuple(left)), replace(second, districts=(*second.districts, moved)), *others]


def test_a_district_that_moves_to_another_area_is_noticed():
    of = Town("isfahan", 1_700, 300, seed=0)
    found = SimulatedCity(of, Policy(areas=one_district_moved)).publish(range(REDRAWN - 2, REDRAWN + 3))
    weakest = weakest_piece(of, found, REDRAWN)
    assert weakest["residential"].contributors < 200
    assert any(weakest[class_].contributors < MINIMUM[class_] for class_ in weakest)
