"""Finding: a window published again without one customer is that customer. Late readings make such pairs every day.

The attacker has every revision of a cell, knows who reported late, and adds and subtracts as he likes. Nothing that he
can compute may rest on fewer contributors than the rule asks for, or on one that dominates.
"""

from collections import defaultdict
from random import Random

import pytest

from federation.disclosure.revisions import may_follow, revised
from store.corrections import CorrectedCell, Place
from tests.attacks.differences import elementary_differences
from tests.attacks.figures import Unknown
from tests.federation.test_revisions import Series, amounts_of, passes

SEEDS = 150


def days(seed: int, decide) -> Series:
    """A cell of 24 customers, and three contents of it after many or few have reported late or taken it back."""
    random = Random(seed)
    content = {who: random.randrange(1, 9) * 10 for who in range(24)}
    series = Series(content)
    for _ in range(3):
        content = dict(random.choice((content, content, series.contents[0])))
        for who in random.sample(range(30), random.choice((1, 3, 8, 16))):
            content[who] = random.choice((10, 20, 40, 80, 700))
        series.follow(content, decide)
    return series


def told(series: Series) -> list[dict[int, int]]:
    """What the attacker computes from the released contents: by contributor, how much of the result is theirs."""
    rows = [
        frozenset(Unknown(who, "energy", 0, value) for who, value in series.contents[step].items())
        for step in series.released
    ]
    found = []
    for difference in elementary_differences(rows):
        nets: dict[int, int] = defaultdict(int)
        for unknown, coefficient in difference.coefficients.items():
            nets[unknown.contributor] += coefficient * unknown.part
        found.append(dict(nets))
    return found


def succeeds(decide) -> list[int]:
    """The seeds in which the attacker learns what he may not."""
    return [
        seed
        for seed in range(SEEDS)
        if any(not passes("commercial", amounts_of(nets)) for nets in told(days(seed, decide)))
    ]


def test_nothing_that_revisions_tell_is_of_a_few_or_of_one():
    assert succeeds(revised) == []
    made = [len(days(seed, revised).released) - 1 for seed in range(SEEDS)]
    assert sum(made) >= SEEDS // 10  # and some do leave


def changed_at_all(shown, corrected, released, *rule) -> list[CorrectedCell]:
    """A broken rule: what passes as a cell leaves, whoever has changed."""
    return revised(shown, [_without_changes(cell) for cell in corrected], released, *rule)


def since_the_newest(shown, corrected, released, *rule) -> list[CorrectedCell]:
    """A broken rule: who changed since the newest released content, not since every one."""
    newest: dict[Place, frozenset[int]] = {place: frozenset((max(steps),)) for place, steps in released.items()}
    return revised(shown, corrected, newest, *rule)


def many_without_dominance(shown, corrected, released, rule, figure) -> list[CorrectedCell]:
    """A broken rule: it counts who changed, and lets one of them make up the change."""
    return revised(
        shown,
        corrected,
        released,
        lambda class_, amounts: rule(class_, amounts) or amounts.contributors >= 5,
        figure,
    )


@pytest.mark.parametrize("broken", [changed_at_all, since_the_newest, many_without_dominance])
def test_the_attack_succeeds_against_a_broken_rule(broken):
    assert succeeds(broken)


def _without_changes(cell: CorrectedCell) -> CorrectedCell:
    whole = dict.fromkeys(cell.changes, cell.amounts)
    return CorrectedCell(cell.area, cell.class_, cell.amounts, cell.incomplete, whole)


def test_a_content_that_was_noted_and_did_not_leave_makes_the_rule_stricter_and_never_looser():
    """A crash between noting and publishing: the step counts as released, though nobody has seen it."""
    for seed in range(SEEDS):
        series = days(seed, revised)
        last = series.contents[-1]
        changes = {
            step: amounts_of({who: last.get(who, 0) - before.get(who, 0) for who in last.keys() | before.keys()})
            for step, before in enumerate(series.contents[:-1])
        }
        cell = CorrectedCell(1, "commercial", amounts_of(last), incomplete=False, changes=changes)
        seen = frozenset(step for step in series.released if step in changes)
        for noted in changes:
            assert may_follow(cell, seen, passes) or not may_follow(cell, seen | {noted}, passes)
