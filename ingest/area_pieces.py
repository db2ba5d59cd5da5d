"""What two or more partitions of a city tell together: the pieces into which their areas cut each other. Pure.

A sum over an area minus a sum over another, or any other combination of areas of several versions, is made of pieces:
sets of districts that lie in the same area in every version. If every piece has enough contributors, every combination
has: in each one some piece is left, and a piece is there as a whole or not at all. With three versions it is not enough
to look at two at a time: `old - new1 - new2` may be smaller than every piece of two.

Areas fall into components that share no district; a combination is the sum of one in each. A component without any new
area tells what it told before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ingest.areas import Standard
from store.areas import Area

Counts = Mapping[tuple[str, str], int]
"""(district, class) -> contributors, each counted in one district; a pair without any source is absent."""


@dataclass(frozen=True, slots=True)
class Version:
    """Areas, and the contributors that they had: old ones in their last moment, new ones in their first."""

    areas: Sequence[Area]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Piece:
    """Districts whose sum could be computed although they have too few contributors of a class."""

    districts: tuple[str, ...]
    class_: str
    contributors: int
    needed: int


def too_small(versions: Sequence[Version], new: Version, standards: Sequence[Standard]) -> Piece | None:
    """A piece that the new areas would show, with versions that may have been published (oldest first; not empty).

    The smallest by contributors; None if there is none. A piece counts what it has on both sides of the redraw:
    without a source on one of them, its sources come or go by a change of the register. An area with fewer contributors
    of a class than the rule asks shows nothing of that class.
    """
    found = [piece for standard in standards for piece in _pieces_of(versions, new, standard)]
    return min(found, key=lambda piece: (piece.contributors, piece.districts, piece.class_), default=None)


def _pieces_of(versions: Sequence[Version], new: Version, standard: Standard) -> Iterable[Piece]:
    last, class_ = versions[-1], standard.class_
    shown = [_shown(version, (version.counts, last.counts), standard) for version in versions]
    drawn = _shown(new, (new.counts,), standard)
    kept = {frozenset(area.districts) for area in last.areas}
    changed = {district for area in drawn if area not in kept for district in area}
    linked = _linked(changed, [*shown, drawn])
    for piece in _cut(linked, [*shown, drawn]):
        both = [sum(counts.get((d, class_), 0) for d in piece) for counts in (last.counts, new.counts)]
        stays = all(any((d, class_) in counts for d in piece) for counts in (last.counts, new.counts))
        if stays and min(both) < standard.drawn:
            yield Piece(tuple(sorted(piece)), class_, min(both), standard.drawn)


def _shown(version: Version, counted: Sequence[Counts], standard: Standard) -> Sequence[frozenset[str]]:
    """The districts of each area that can be released by its rule, at one of the times counted."""
    return [
        frozenset(area.districts)
        for area in version.areas
        if any(
            sum(counts.get((d, standard.class_), 0) for d in area.districts) >= standard.minimum for counts in counted
        )
    ]


def _linked(districts: set[str], partitions: Sequence[Sequence[frozenset[str]]]) -> set[str]:
    """The districts of all components of areas that hold one of these."""
    linked, growing = set(districts), True
    while growing:
        size = len(linked)
        for areas in partitions:
            linked.update(*(area for area in areas if not linked.isdisjoint(area)))
        growing = len(linked) > size
    return linked


def _cut(districts: Iterable[str], partitions: Sequence[Sequence[frozenset[str]]]) -> Iterable[set[str]]:
    """The districts by the areas that hold them."""
    place = [{district: number for number, area in enumerate(areas) for district in area} for areas in partitions]
    pieces: dict[tuple[int | None, ...], set[str]] = defaultdict(set)
    for district in districts:
        pieces[tuple(of.get(district) for of in place)].add(district)
    return pieces.values()
