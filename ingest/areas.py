"""Drawing a metric's areas: districts are merged with neighbours until each area can meet the disclosure rule. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from ingest.cities import City, District
from schemas.catalogue import Metric, published
from schemas.rules import Threshold, threshold
from store.areas import Area

MARGIN = 1.2
"""Factor on the rule's minimum. An area is fixed for a quarter, in which meters fail and customers move out; one or two
of them must not make it fail the rule."""
DOMINANCE_MARGIN = 3
"""The factor where the rule limits the greatest contributor, to 15 %. Of lognormal amounts (sigma .8), 11 contributors
keep that limit in 2 % of the cases, 20 in 40 %, 30 in 75 % (`tests/ingest/test_areas.py`)."""

_NAMES_SHOWN = 2
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Standard:
    """How many contributors a class needs: at least `minimum` by the rule, and `drawn` where areas are drawn."""

    class_: str
    minimum: int
    drawn: int


def standards(metric: Metric) -> Sequence[Standard]:
    """The standard of each class of a metric, under its rule."""
    return [_standard(class_, threshold(metric.rule, class_)) for class_ in metric.classes]


def _standard(class_: str, of: Threshold) -> Standard:
    margin = MARGIN if of.dominance is None else DOMINANCE_MARGIN
    return Standard(class_, of.contributors, ceil(of.contributors * margin))


def drawn_for(metric: Metric) -> Sequence[Standard]:
    """What a metric's areas are drawn for, by classes of the register: for all published metrics that have them.

    A cell of a derived metric may hold any source.
    """
    derived = [each for each in published().values() if each.derived_from == metric.name]
    of_any = [standard for each in derived for standard in standards(each)]
    own = standards(metric) if metric.published else []
    return [*own, *(replace(standard, class_=class_) for standard in of_any for class_ in metric.classes)]


def partition(
    city: City, contributors: Mapping[tuple[str, str], int], standards: Sequence[Standard]
) -> tuple[Area, ...]:
    """The city as areas of whole, connected districts; each district is in exactly one area.

    `contributors`: (district, class) -> distinct contributors, no contributor counted in two districts. A standard that
    the whole city does not reach is left out, unless that goes for all of them.
    While an area fails and has a neighbour, the smallest failing area (by contributors, then by id) is merged with its
    smallest neighbour. So an area fails only if it has no neighbour left. The result does not depend on the order of
    the input; areas are in the order of their first district's id.
    """
    whole = {of.class_: _count(contributors, (d.id for d in city.districts), of.class_) for of in standards}
    reached = (
        [of for of in standards if whole[of.class_] >= of.drawn]
        or [of for of in standards if whole[of.class_] >= of.minimum]
        or [of for of in standards if whole[of.class_]]
    )
    return _areas(city.districts, _merged(city.districts, contributors, reached))


def split(
    city: City,
    areas: Iterable[Area],
    contributors: Mapping[tuple[str, str], int],
    standards: Sequence[Standard],
) -> tuple[Area, ...]:
    """The areas, each divided into as many as can be drawn for every class that it can show now; else it stays whole.

    Districts that are in no area go to one of a neighbour; those that the city does not have any more are left out.
    """
    drawn: list[Area] = []
    for ids in _placed(city, areas):
        districts = [replace(d, neighbours=tuple(ids & set(d.neighbours))) for d in city.districts if d.id in ids]
        shown = [of for of in standards if _count(contributors, ids, of.class_) >= of.minimum]
        groups = _merged(districts, contributors, shown)
        enough = all(_count(contributors, group, of.class_) >= of.drawn for group in groups for of in shown)
        drawn += _areas(districts, groups if shown and enough else [ids])
    return tuple(sorted(drawn, key=lambda area: area.districts))


def _placed(city: City, areas: Iterable[Area]) -> list[set[str]]:
    """The districts of each area that the city has, with those that are in no area."""
    known = {district.id: district for district in city.districts}
    placed = [kept for area in areas if (kept := known.keys() & set(area.districts))]
    missing = known.keys() - {district for ids in placed for district in ids}
    while missing:
        beside = min(
            ((new, index) for new in missing for index, ids in enumerate(placed) if _touches(known, new, ids)),
            default=None,
        )
        if beside is None:
            return [*placed, missing]
        new, index = beside
        placed[index].add(new)
        missing.remove(new)
    return placed


def _touches(known: Mapping[str, District], district: str, ids: Collection[str]) -> bool:
    return any(other in known[district].neighbours or district in known[other].neighbours for other in ids)


def _count(contributors: Mapping[tuple[str, str], int], districts: Iterable[str], class_: str) -> int:
    return sum(contributors.get((district, class_), 0) for district in districts)


def _merged(
    districts: Sequence[District], contributors: Mapping[tuple[str, str], int], standards: Sequence[Standard]
) -> Sequence[set[str]]:
    needed: dict[str, int] = {}
    for of in standards:
        needed[of.class_] = max(needed.get(of.class_, 0), of.drawn)
    merging = _Merging(districts, contributors, needed)
    merging.run()
    return list(merging.groups())


def _areas(districts: Iterable[District], groups: Iterable[Iterable[str]]) -> tuple[Area, ...]:
    by_id = {district.id: district for district in districts}
    return tuple(_area([by_id[district] for district in group]) for group in sorted(map(sorted, groups)))


class _Merging:
    """Groups of districts, each under the id of its first district. All choices are by (size, id), never by order."""

    def __init__(
        self,
        districts: Iterable[District],
        contributors: Mapping[tuple[str, str], int],
        needed: Mapping[str, int],
    ) -> None:
        self._needed = needed
        self._members = {district.id: {district.id} for district in districts}
        self._counts = {
            district: {class_: contributors.get((district, class_), 0) for class_ in needed}
            for district in self._members
        }
        self._neighbours: dict[str, set[str]] = {district: set() for district in self._members}
        for district in districts:
            for neighbour in district.neighbours:
                self._neighbours[district.id].add(neighbour)
                self._neighbours[neighbour].add(district.id)

    def run(self) -> None:
        """Merge until every group passes or has no neighbour."""
        while failing := [group for group in self._members if self._neighbours[group] and self._fails(group)]:
            smallest = min(failing, key=self._size)
            self._merge(smallest, min(self._neighbours[smallest], key=self._size))

    def groups(self) -> Iterable[set[str]]:
        """The districts of each group."""
        return self._members.values()

    def _fails(self, group: str) -> bool:
        return any(self._counts[group][class_] < minimum for class_, minimum in self._needed.items())

    def _size(self, group: str) -> tuple[int, str]:
        return sum(self._counts[group].values()), group

    def _merge(self, first: str, second: str) -> None:
        kept, merged = sorted((first, second))
        self._members[kept] |= self._members.pop(merged)
        counts = self._counts.pop(merged)
        self._counts[kept] = {class_: self._counts[kept][class_] + counts[class_] for class_ in counts}
        for neighbour in self._neighbours.pop(merged):
            self._neighbours[neighbour].discard(merged)
            if neighbour != kept:
                self._neighbours[neighbour].add(kept)
                self._neighbours[kept].add(neighbour)


def _area(districts: list[District]) -> Area:
    """An area of `districts`, which are in the order of their ids; it is named after the largest."""
    largest = sorted(districts, key=lambda district: (-district.population, district.id))
    return Area(
        name=_name([district.name for district in largest]),
        districts=tuple(district.id for district in districts),
        population=sum(district.population for district in districts),
    )


def _name(names: list[str]) -> str:
    """ "A", "A + B", or "A and 7 more" where that many names would not fit."""
    joined = " + ".join(sorted(names))
    if len(names) <= _NAMES_SHOWN and len(joined) <= _NAME_LENGTH:
        return joined
    first = names[0] if len(names[0]) <= _NAME_LENGTH else names[0][: _NAME_LENGTH - 1] + "…"
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
