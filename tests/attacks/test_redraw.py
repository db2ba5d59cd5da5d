"""Finding 7: areas drawn anew isolate a piece, which is the difference of what was published before and after.

Forty customers lay in one area until a quarter's end and in another from then on. The rule asked for a hundred in
either, and did not see the forty.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest

from ingest.area_pieces import Version
from ingest.areas import drawn_for, partition
from ingest.redraw import RedrawRefused, choose, redraw
from ingest.register_file import load_register
from schemas.catalogue import catalogue
from store.areas import Area, AreaVersion, versions
from store.database import Connection, connect
from tests.ingest.small_city import city
from tests.ingest.test_area_pieces import isolated
from tests.ingest.test_register_file import town

METRIC = catalogue()["energy.import"]
MINIMUM = 100
DAYS = 60
"""How long the attacker adds up, before and after."""
NOW = int(datetime(2025, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
BEFORE, AFTER = "500 40 400 700 700 700", "500 40 600 700 700 700"
"""Residential customers of the districts A to F. B is too small for an area and goes to the smaller neighbour."""

Choose = Callable[[Sequence[Version], Mapping[tuple[str, str], int]], Sequence[Area]]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def customers(counts: str) -> dict[tuple[str, str], int]:
    given = zip("abcdef", map(int, counts.split()), strict=True)
    return {(f"town-{district}", "residential"): count for district, count in given}


def pieces(before: AreaVersion, after: AreaVersion) -> list[set[str]]:
    """The districts that every old and new area have in common."""
    common = [set(old.districts) & set(new.districts) for old in before.areas.values() for new in after.areas.values()]
    return [districts for districts in common if districts]


def checked(history: Sequence[Version], counts: Mapping[tuple[str, str], int]) -> Sequence[Area]:
    """The areas of a redraw; the present ones if it is refused."""
    try:
        return choose(city(), METRIC, history, counts)[0]
    except RedrawRefused:
        return history[-1].areas


def unchecked(history: Sequence[Version], counts: Mapping[tuple[str, str], int]) -> Sequence[Area]:
    """The broken twin: only the next partition must pass, as it was before."""
    del history
    return partition(city(), counts, drawn_for(METRIC))


@pytest.mark.services
def test_no_load_of_a_register_cuts_out_a_piece(connection: Connection) -> None:
    load_register(connection, city(), town(BEFORE), lambda: NOW)
    load_register(connection, city(), town("0 0 200 0 0 0", start=9000), lambda: NOW)
    registered, found = customers(AFTER), versions(connection, METRIC.name)
    for before, after in combinations(found, 2):
        for districts in pieces(before, after):
            assert sum(registered[district, "residential"] for district in districts) >= MINIMUM, districts


@pytest.mark.services
def test_a_redraw_on_command_is_refused_if_it_would_and_nothing_changes(connection: Connection) -> None:
    load_register(connection, city(), town(BEFORE), lambda: NOW)
    load_register(connection, city(), town("0 0 200 0 0 0", start=9000), lambda: NOW)
    before = versions(connection, METRIC.name)
    with pytest.raises(RedrawRefused, match="cut out B, where 40"):
        redraw(connection, city(), METRIC, lambda: NOW)
    assert versions(connection, METRIC.name) == before


@pytest.mark.parametrize(("chosen", "learned"), [(checked, False), (unchecked, True)])
def test_the_difference_of_two_quarters_gives_nobodys_mean(chosen: Choose, learned: bool) -> None:
    """He averages what is published of each area, two months before and after, and subtracts: B has come to A."""
    old = partition(city(), customers(BEFORE), drawn_for(METRIC))
    new = chosen([Version(old, customers(BEFORE))], customers(AFTER))
    rng = np.random.default_rng(17)
    usage = {district: rng.lognormal(0, 0.8, count) for (district, _), count in customers(BEFORE).items()}
    errors = [
        abs((after - before) / sum(usage[district].sum() for district in come) - 1)
        for districts, before in _published(old, usage, rng).items()
        for more, after in _published(new, usage, rng).items()
        if (come := more - districts) and districts < more and sum(len(usage[district]) for district in come) < MINIMUM
    ]
    assert (min(errors, default=1.0) < 0.05) == learned


@pytest.mark.parametrize(("chosen", "secure"), [(checked, True), (unchecked, False)])
def test_no_sums_of_areas_of_three_years_isolate_too_few(chosen: Choose, secure: bool) -> None:
    """Twelve redraws of a city that grows and shrinks, with every combination of all areas that were ever shown."""
    found: list[tuple[str, ...]] = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sizes = rng.choice([40, 150, 350, 600], 6)
        counts = customers(" ".join(map(str, sizes)))
        history = [Version(partition(city(), counts, drawn_for(METRIC)), counts)]
        for _ in range(12):
            sizes = np.maximum(20, sizes + rng.integers(-150, 200, 6))
            counts = customers(" ".join(map(str, sizes)))
            history[-1] = replace(history[-1], counts=counts)
            areas = chosen(history, counts)
            if {area.districts for area in areas} != {area.districts for area in history[-1].areas}:
                old = [[_letters(area) for area in version.areas] for version in history]
                found += isolated(old, [_letters(area) for area in areas], _by_letter(counts))
                history.append(Version(areas, counts))
    assert (found == []) == secure


@pytest.mark.parametrize(
    ("customers_of_area", "share", "least", "most"), [(45, 0.15, 0.05, 0.35), (45, 0.02, 0.6, 9), (300, 0.003, 1, 9)]
)
def test_a_move_of_one_customer_shows_as_a_step_only_if_he_is_large(
    customers_of_area: int, share: float, least: float, most: float
) -> None:
    """What is left: no rule stops a source from moving, coming or going, and the sum of its area changes with it.

    The attacker knows the day, and averages two weeks on either side; every customer's days spread by 30 %. The middle
    relative error of his estimate, of 400: small only for one who has nearly all that the rule lets one customer have.
    """
    rng = np.random.default_rng(17)
    errors = []
    for _ in range(400):
        others = rng.lognormal(0, 0.8, customers_of_area - 1)
        usage = others.sum() * share / (1 - share)
        before, after = (_days(others, rng, 14).mean() for _ in range(2))
        with_him = before + _days(np.array([usage]), rng, 14).mean()
        errors.append(abs((with_him - after) / usage - 1))
    assert least < np.median(errors) < most


def _days(usage: np.ndarray, rng: np.random.Generator, days: int) -> np.ndarray:
    """The sums of so many days, each customer's with its own noise: shape (days,)."""
    return (usage * rng.lognormal(-0.045, 0.3, (days, len(usage)))).sum(axis=1)


def _published(
    areas: Sequence[Area], usage: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[frozenset[str], float]:
    """The mean of `DAYS`, of every area with enough customers."""
    sums = {}
    for area in areas:
        of_area = np.concatenate([usage[district] for district in area.districts])
        if len(of_area) >= MINIMUM:
            sums[frozenset(area.districts)] = float(_days(of_area, rng, DAYS).mean())
    return sums


def _letters(area: Area) -> str:
    return "".join(district[-1] for district in area.districts)


def _by_letter(counts: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {(district[-1], class_): count for (district, class_), count in counts.items()}
