"""A revision never tells what a few contributors have changed, whatever came late and in which order (P6)."""

from hypothesis import given
from hypothesis import strategies as st

from federation.disclosure.revisions import revised
from store.corrections import CorrectedCell
from store.processing import Amounts
from tests.soak import examples

CELL = (1, "commercial")
MINIMUM, PERCENT = 5, 30


def passes(class_: str, amounts: Amounts) -> bool:
    """A small rule of the same form as the real ones."""
    del class_
    return amounts.contributors >= MINIMUM and amounts.largest * 100 <= PERCENT * amounts.absolute


def rounded(value: int) -> int:
    return value // 10 * 10


def figure(cell: CorrectedCell) -> int:
    return rounded(cell.amounts.value)


def amounts_of(nets: dict[int, int]) -> Amounts:
    sizes = [abs(net) for net in nets.values() if net]
    return Amounts(sum(nets.values()), 1, len(sizes), max(sizes, default=0), sum(sizes), 1, 0, 0)


def difference(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    return {who: after.get(who, 0) - before.get(who, 0) for who in before.keys() | after.keys()}


class Series:
    """The contents of one cell, one after the other, and what is released of them."""

    def __init__(self, first: dict[int, int]) -> None:
        self.contents = [first]
        self.released = [0]
        self.shown = rounded(sum(first.values()))

    def follow(self, content: dict[int, int], decide=revised) -> None:
        self.contents.append(content)
        changes = {step: amounts_of(difference(before, content)) for step, before in enumerate(self.contents[:-1])}
        cell = CorrectedCell(*CELL, amounts_of(content), incomplete=False, changes=changes)
        if decide({CELL: self.shown}, [cell], {CELL: frozenset(self.released)}, passes, figure):
            self.released.append(len(self.contents) - 1)
            self.shown = rounded(cell.amounts.value)

    def told(self) -> list[dict[int, int]]:
        """What changed between any two of the contents that were released, by contributor."""
        return [
            difference(self.contents[first], self.contents[second])
            for place, first in enumerate(self.released)
            for second in self.released[place + 1 :]
        ]


@st.composite
def serieses(draw) -> Series:
    """Contents in which many change, few change, someone dominates, and changes are taken back."""
    nets = {who: draw(st.sampled_from((-20, 10, 20, 30))) for who in range(8)}
    series = Series(nets)
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("many", "many", "few", "one", "back")))
        nets = dict(nets)
        if kind == "back":
            nets = dict(draw(st.sampled_from(series.contents)))
        some = {"many": 12, "few": draw(st.integers(1, 6)), "one": 1, "back": 1}[kind]
        for who in draw(st.permutations(range(12)))[:some]:
            nets[who] = nets.get(who, 0) + draw(st.sampled_from((-10, 10, 20, 20, 400)))
        series.follow(nets)
    return series


@examples(300, soak=5_000, minutes=2)
@given(serieses())
def test_no_two_released_contents_differ_by_few_contributors_or_one_that_dominates(series):
    for change in series.told():
        assert passes("commercial", amounts_of(change))


def crowd(more: int, who: range) -> dict[int, int]:
    return {number: 100 + (more if number in who else 0) for number in range(30)}


def test_a_change_that_was_taken_back_is_compared_with_every_released_content():
    series = Series(crowd(0, range(0)))
    series.follow(crowd(50, range(20)))
    assert series.released == [0, 1]
    series.follow(crowd(50, range(2)))  # eighteen since the newest, and two since the first
    assert series.released == [0, 1]
    assert series.shown == sum(crowd(50, range(20)).values())


def test_a_change_of_many_leaves_and_one_of_few_keeps_the_old_figure():
    first = crowd(0, range(0))
    cases = {"few": crowd(50, range(MINIMUM - 1)), "enough": crowd(50, range(MINIMUM)), "one": {**first, 0: 5_000}}
    shown = {}
    for name, content in cases.items():
        series = Series(first)
        series.follow(content)
        shown[name] = series.shown
    assert shown == {"few": 3_000, "enough": 3_250, "one": 3_000}


def test_one_who_dominates_the_change_or_the_cell_keeps_it_as_it_was():
    series = Series(crowd(0, range(0)))
    series.follow({**crowd(10, range(10)), 3: 300})  # nine changed by 10, one by 200
    assert series.released == [0]
    series = Series({**crowd(0, range(0)), 40: 1_200})  # within the rule: 1,200 of 4,200
    series.follow({**crowd(-60, range(30)), 40: 1_200})  # thirty changed, and now 1,200 of 2,400
    assert series.released == [0]


def test_an_equal_figure_after_rounding_is_no_revision():
    series = Series(crowd(0, range(0)))
    taken = {who: (1 if who % 2 else -1) for who in range(20)}
    series.follow({who: net + taken.get(who, 0) for who, net in crowd(0, range(0)).items()})
    assert series.released == [0]


def cell(place, value=100, *, incomplete=False, changes=None) -> CorrectedCell:
    large = amounts_of(dict.fromkeys(range(10), value // 10))
    area, class_ = place
    return CorrectedCell(area, class_, large, incomplete, {0: large} if changes is None else changes)


def test_a_suppressed_cell_stays_suppressed_and_an_incomplete_one_incomplete():
    other = (2, "commercial")
    assert revised({CELL: 50}, [cell(CELL), cell(other)], {}, passes, figure) == [cell(CELL)]
    assert revised({CELL: 50}, [cell(CELL, incomplete=True)], {}, passes, figure) == []


def test_a_released_content_that_nothing_is_known_of_allows_no_other():
    assert revised({CELL: 50}, [cell(CELL)], {CELL: frozenset((0, 1))}, passes, figure) == []


def test_comparing_with_the_newest_released_content_alone_would_tell_what_a_few_have_changed():
    def newest_alone(shown, corrected, released, *rule):
        return revised(shown, corrected, {place: frozenset((max(steps),)) for place, steps in released.items()}, *rule)

    series = Series(crowd(0, range(0)))
    series.follow(crowd(50, range(20)), newest_alone)
    series.follow(crowd(50, range(2)), newest_alone)
    assert not all(passes("commercial", amounts_of(change)) for change in series.told())
