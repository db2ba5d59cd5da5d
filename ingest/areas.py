"""Drawing a metric's areas: districts are merged with neighbours until each area can meet the disclosure rule. Pure."""

from collections.abc import Iterable, Mapping
from math import ceil

from ingest.cities import City, District
from store.areas import Area

MARGIN = 1.2
"""Factor on the rule's minimum. An area is fixed for a quarter, in which meters fail and customers move out; one or two
of them must not make it fail the rule."""

_NAMES_SHOWN = 2
_NAME_LENGTH = 60


def partition(city: City, contributors: Mapping[tuple[str, str], int], minimums: Mapping[str, int]) -> tuple[Area, ...]:
    """The city as areas of whole, connected districts; each district is in exactly one area.

    `contributors`: (district, class) -> distinct contributors, no contributor counted in two districts. `minimums`:
    class -> the rule's minimum, before `MARGIN`. A class without any contributor in the whole city is ignored.
    While an area fails and has a neighbour, the smallest failing area (by contributors, then by id) is merged with its
    smallest neighbour. So an area fails only if it has no neighbour left. The result does not depend on the order of
    the input; areas are in the order of their first district's id.
    """
    needed = {
        class_: ceil(minimum * MARGIN)
        for class_, minimum in minimums.items()
        if any(contributors.get((district.id, class_), 0) for district in city.districts)
    }
    merged = _Merging(city.districts, contributors, needed)
    merged.run()
    by_id = {district.id: district for district in city.districts}
    groups = sorted(sorted(group) for group in merged.groups())
    return tuple(_area([by_id[district] for district in group]) for group in groups)


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
