"""Finding 6: the pattern of suppression tells neither a factory's shifts and free days nor how much it draws.

The attacker sees which hours of a cell were released, and nothing of the values. He knows the product, the loads of
everybody else in the cell, to the watt, and when the factory would run: he tries other powers that it could have, and
rules those out that would not give what was published.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from federation.disclosure import rules
from federation.disclosure.standing import decide, is_open, judge, measure, month_of
from schemas.catalogue import catalogue
from store.processing import Amounts, Cell
from store.publications import Window
from store.standing import Place, Standing

ZONE = "Asia/Tehran"
HOUR = 3_600_000
METRIC = catalogue()["energy.import"]
SHOPS = 44
SHOP_WH = 1_000_000
OF_FACTORY: Place = (1, "commercial")
OTHERS: tuple[Place, ...] = ((2, "commercial"),)

Runs = Callable[[datetime], bool]

FACTORIES: Mapping[str, tuple[float, Runs]] = {
    "two shifts, closed on Fridays": (0.6, lambda local: local.weekday() != 4 and 6 <= local.hour < 22),
    "day and night, closed on Fridays": (0.6, lambda local: local.weekday() != 4),
    "day and night, and dominates only while the shops are closed": (0.1, lambda local: True),
    "one night in August": (0.9, lambda local: (local.month, local.day) == (8, 12) and local.hour < 5),
    "a workshop like the others": (0.03, lambda local: local.weekday() != 4 and 6 <= local.hour < 22),
}
"""By what it does: its power by that of all shops at noon, and when it runs."""


@cache
def hours() -> tuple[Window, ...]:
    """Those of June, which are measured, and of July and August, which are published."""
    ends = [month_of(round(datetime(2025, month, 15).timestamp() * 1000), ZONE) for month in (6, 8)]
    return tuple(Window(start, start + HOUR) for start in range(ends[0].start, ends[1].end, HOUR))


@cache
def local(window: Window) -> datetime:
    return datetime.fromtimestamp(window.start / 1000, ZoneInfo(ZONE))


@cache
def shops() -> Sequence[int]:
    """What all shops draw in each hour."""
    noise = np.random.default_rng(1).lognormal(0, 0.1, len(hours()))
    opened = [1.0 if 8 <= local(window).hour < 22 else 0.35 for window in hours()]
    return (SHOPS * SHOP_WH * np.array(opened) * noise).astype(int).tolist()


def cells(power: float, runs: Runs) -> list[list[Cell]]:
    """The cells of every hour if the factory has this power."""
    found = []
    for window, of_shops in zip(hours(), shops(), strict=True):
        factory = round(power * SHOPS * SHOP_WH) if runs(local(window)) else 0
        largest, total = max(factory, of_shops // SHOPS), of_shops + factory
        amounts = Amounts(total, SHOPS, SHOPS + (factory > 0), largest, total, 0, 0, 0)
        others = Amounts(500, 500, 500, 1, 500, 0, 0, 0)
        rows = [(OF_FACTORY, amounts), *((place, others) for place in OTHERS)]
        found.append([Cell(METRIC.name, window.start, window.end, *place, of, False) for place, of in rows])
    return found


def passes(class_: str, amounts: Amounts) -> bool:
    return rules.passes(rules.rule_in_force(METRIC), class_, amounts)


Published = Sequence[bool]
"""For each hour that is published, whether the factory's cell was released."""


def by_standing_decisions(reduced: Sequence[Sequence[Cell]]) -> Published:
    """As the product publishes: decided at the start of each month, and closed by the first failure."""
    found: list[bool] = []
    june = month_of(hours()[0].start, ZONE)
    standing, month, first = None, june, 0
    for index, (window, rows) in enumerate(zip(hours(), reduced, strict=True)):
        if window.start < june.end:
            continue
        if window.start >= month.end:
            span, month = month, month_of(window.start, ZONE)
            measured = measure(METRIC, zip(hours()[first:index], reduced[first:index], strict=True), passes, ZONE)
            made = decide(METRIC, [OF_FACTORY, *OTHERS], month, ZONE, span, measured, {})
            opened = frozenset((cell.area, cell.class_) for cell in made.cells if cell.open)
            standing, first = Standing(month, opened, made.times, made.basis), index
        judged = judge(is_open(METRIC, standing, window, ZONE), rows, passes)
        assert standing is not None
        standing = Standing(month, standing.open - judged.failed, standing.times, standing.basis)
        found.append(OF_FACTORY in judged.released)
    return found


def hour_by_hour(reduced: Sequence[Sequence[Cell]]) -> Published:
    """The broken twin, which is what was published before: whatever passes in an hour is released."""
    june = month_of(hours()[0].start, ZONE)
    return [
        passes(OF_FACTORY[1], rows[0].amounts)
        for window, rows in zip(hours(), reduced, strict=True)
        if window.start >= june.end
    ]


Publishes = Callable[[Sequence[Sequence[Cell]]], Published]


def agreement(published: Published, runs: Runs) -> float:
    """How well "suppressed" reads as "running": the mean of the shares of both that are right; .5 is a coin's."""
    of_hours = hours()[-len(published) :]
    running = [not shown for shown, window in zip(published, of_hours, strict=True) if runs(local(window))]
    idle = [shown for shown, window in zip(published, of_hours, strict=True) if not runs(local(window))]
    return (sum(running) / len(running) + sum(idle) / len(idle)) / 2


def most_changes(published: Published) -> int:
    """The most changes of status in a calendar month."""
    changes: dict[int, int] = {}
    of_hours = hours()[-len(published) :]
    for (before, now), window in zip(pairwise(published), of_hours[1:], strict=True):
        month = local(window).month
        changes[month] = changes.get(month, 0) + (before != now)
    return max(changes.values())


def bounded(publishes: Publishes, power: float, runs: Runs) -> bool:
    """Whether the statuses bound the power to less than half of its true value: whether no two powers that are half of
    it apart, the true one between them, give the same statuses as the true one."""
    seen = publishes(cells(power, runs))
    ends = ((1, 1.5), (0.5, 1), (0.75, 1.25))
    return not any(all(publishes(cells(power * end, runs)) == seen for end in both if end != 1) for both in ends)


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_statuses_of_two_months_tell_no_shifts_and_change_at_most_twice_a_month(factory: str) -> None:
    power, runs = FACTORIES[factory]
    published = by_standing_decisions(cells(power, runs))
    assert most_changes(published) <= 2
    if "Fridays" in factory or "workshop" in factory:
        assert agreement(published, runs) == 0.5


@pytest.mark.parametrize("factory", FACTORIES)
def test_no_bound_on_a_factorys_power_is_tighter_than_half_of_it(factory: str) -> None:
    assert not bounded(by_standing_decisions, *FACTORIES[factory])


def test_the_same_attacks_read_shifts_and_power_where_each_hour_is_decided_by_itself() -> None:
    power, runs = FACTORIES["two shifts, closed on Fridays"]
    published = hour_by_hour(cells(power, runs))
    assert agreement(published, runs) == 1
    assert most_changes(published) > 40
    assert bounded(hour_by_hour, *FACTORIES["day and night, and dominates only while the shops are closed"])
