from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.area_pieces import Counts, Piece, Version, too_small
from ingest.areas import Standard
from store.areas import Area

STANDARD = Standard("residential", minimum=100, drawn=300)


def areas(*groups: str) -> list[Area]:
    """Areas of districts, a letter each."""
    return [Area(group, tuple(sorted(group)), 1000) for group in groups]


def counts(**contributors: int) -> Counts:
    return {(district, "residential"): count for district, count in contributors.items()}


def found(old: Sequence[Sequence[str]], new: Sequence[str], of: Counts, then: Counts | None = None) -> Piece | None:
    versions = [Version(areas(*groups), of) for groups in old]
    return too_small(versions, Version(areas(*new), of if then is None else then), [STANDARD])


def spanned(partitions: Sequence[Sequence[str]], of: Counts, within: set[str]) -> int:
    """The dimension of the space of combinations of areas in which only districts of `within` are left."""
    districts = sorted(district for district, _ in of)
    rows = [
        [district in group for district in districts]
        for groups in partitions
        for group in groups
        if sum(of.get((district, "residential"), 0) for district in group) >= STANDARD.minimum
    ]
    matrix = np.array(rows, dtype=float).reshape(len(rows), len(districts))
    others = matrix[:, [district not in within for district in districts]]
    return int(np.linalg.matrix_rank(matrix)) - int(np.linalg.matrix_rank(others) if others.size else 0)


def isolated(old: Sequence[Sequence[str]], new: Sequence[str], of: Counts) -> list[tuple[str, ...]]:
    """The sets of districts with too few contributors that combinations isolate with the new areas, and did not yet."""
    districts = [district for district, _ in of]
    return [
        chosen
        for size in range(1, len(districts) + 1)
        for chosen in combinations(districts, size)
        if sum(of[district, "residential"] for district in chosen) < STANDARD.minimum
        and spanned([*old, new], of, set(chosen)) > spanned(old, of, set(chosen))
    ]


def test_a_piece_that_moves_needs_as_many_as_an_area_that_is_drawn() -> None:
    assert found([["a", "bc"]], ["ab", "c"], counts(a=500, b=40, c=600)) == Piece(("b",), "residential", 40, 300)
    assert found([["a", "bc"]], ["ab", "c"], counts(a=500, b=299, c=600)) == Piece(("b",), "residential", 299, 300)
    assert found([["a", "bc"]], ["ab", "c"], counts(a=500, b=300, c=600)) is None


def test_an_area_that_can_no_longer_pass_would_be_shown_by_adding_it_to_another() -> None:
    """It is suppressed; with its neighbour it would not be, and without it the neighbour was known."""
    of = counts(a=500, b=40, c=600)
    assert found([["a", "b", "c"]], ["ab", "c"], of) == Piece(("b",), "residential", 40, 300)
    assert isolated([["a", "b", "c"]], ["ab", "c"], of) == [("b",)]


def test_three_versions_may_show_what_no_two_of_them_do() -> None:
    """{e f g} {h}, then {e f h} {g}: each piece is large. With {e g h} {f}, e alone is left: efg - g - f."""
    of = counts(e=40, f=400, g=400, h=400)
    old = [["efg", "h"], ["efh", "g"]]
    for other in ["efg", "h"], ["efh", "g"]:
        assert found([other], ["egh", "f"], of) is None
    assert found(old, ["egh", "f"], of) == Piece(("e",), "residential", 40, 300)
    assert isolated(old, ["egh", "f"], of) == [("e",)]


def test_districts_whose_areas_do_not_change_are_not_looked_at() -> None:
    """What an earlier redraw showed of them is not shown again."""
    of = counts(a=500, b=40, c=600, x=700, y=700)
    old = [["a", "bc", "xy"], ["ab", "c", "xy"]]
    assert found(old, ["ab", "c", "x", "y"], of) is None
    assert isolated(old, ["ab", "c", "x", "y"], of) == []


def test_a_class_that_is_suppressed_in_every_area_is_no_piece() -> None:
    assert found([["ab", "c"]], ["a", "b", "c"], counts(a=20, b=30, c=50)) is None
    assert found([["ab", "c"]], ["a", "b", "c"], counts(a=20, b=90, c=50)) is None  # ab is known, and nothing else
    assert found([["ab", "c"]], ["a", "b", "c"], counts(a=20, b=100, c=50)) == Piece(("a",), "residential", 20, 300)


def test_a_piece_counts_what_it_has_on_both_sides() -> None:
    """Sources that come or go with a quarter are a change of the register, whatever the areas are."""
    old = [["ab"]]
    assert found(old, ["a", "b"], counts(a=900, b=40), counts(a=900, b=900)) == Piece(("b",), "residential", 40, 300)
    assert found(old, ["a", "b"], counts(a=900, b=900), counts(a=900, b=40)) == Piece(("b",), "residential", 40, 300)
    assert found(old, ["a", "b"], counts(a=900), counts(a=900, b=900)) is None


def test_a_district_with_sources_of_contributors_that_count_elsewhere_is_not_empty() -> None:
    assert found([["ab"]], ["a", "b"], counts(a=900, b=0)) == Piece(("b",), "residential", 0, 300)
    assert found([["ab"]], ["a", "b"], counts(a=900)) is None
    assert found([["a", "bc"]], ["ab", "c"], counts(a=900, b=0, c=900)) == Piece(("b",), "residential", 0, 300)


@st.composite
def partitions(draw: st.DrawFn, districts: str) -> list[str]:
    home = [draw(st.integers(0, 3)) for _ in districts]
    groups: Mapping[int, str] = {
        number: "".join(d for d, at in zip(districts, home, strict=True) if at == number) for number in range(4)
    }
    return [group for group in groups.values() if group]


@given(
    st.lists(partitions("abcdef"), min_size=1, max_size=3),
    partitions("abcdef"),
    st.lists(st.sampled_from([5, 40, 99, 300, 500]), min_size=6, max_size=6),
)
def test_no_combination_of_areas_isolates_too_few_unless_it_did_before(
    old: list[list[str]], new: list[str], contributors: list[int]
) -> None:
    of = counts(**dict(zip("abcdef", contributors, strict=True)))
    if found(old, new, of) is None:
        assert isolated(old, new, of) == []
