"""Drawing a metric's areas: districts merged with neighbours until the disclosure rule can hold in each. Pure."""

from collections.abc import Iterable, Mapping
from math import ceil

from ingest.cities import City, District
from store.areas import Area

MARGIN = 1.2
"""An area needs so many times the rule's minimum: meters fail and customers move out within a quarter, and an area
that is fixed for a quarter must not fall below the rule because of one or two."""

_NAMES_SHOWN = 2
_NAME_LENGTH = 60


def partition(city: City, contributors: Mapping[tuple[str, str], int], minimums: Mapping[str, int]) -> tuple[Area, ...]:
    """The city as areas of whole, connected districts; each district is in exactly one.

    `contributors`: (district, class) -> distinct contributors, no contributor counted in two districts. `minimums`:
    class -> what the rule asks for, before `MARGIN`. A class without any contributor in the whole city is ignored.
    While an area fails and has a neighbour, the smallest failing one (by contributors, then by id) is merged with its
    smallest neighbour. So an area fails only if nothing is left beside it. The result depends on no order of the
    input; areas come in the order of their first district's id.
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
    """Groups of districts, each under the id of its first district; all choices are by (size, id), never by order."""

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
        self._beside: dict[str, set[str]] = {district: set() for district in self._members}
        for district in districts:
            for other in district.neighbours:
                self._beside[district.id].add(other)
                self._beside[other].add(district.id)

    def run(self) -> None:
        """Merge until every group passes or has nothing beside it."""
        while failing := [group for group in self._members if self._beside[group] and self._fails(group)]:
            smallest = min(failing, key=self._size)
            self._merge(smallest, min(self._beside[smallest], key=self._size))

    def groups(self) -> Iterable[set[str]]:
        """The districts of each group."""
        return self._members.values()

    def _fails(self, group: str) -> bool:
        return any(self._counts[group][class_] < minimum for class_, minimum in self._needed.items())

    def _size(self, group: str) -> tuple[int, str]:
        return sum(self._counts[group].values()), group

    def _merge(self, first: str, second: str) -> None:
        kept, gone = sorted((first, second))
        self._members[kept] |= self._members.pop(gone)
        counts = self._counts.pop(gone)
        self._counts[kept] = {class_: self._counts[kept][class_] + counts[class_] for class_ in counts}
        for other in self._beside.pop(gone):
            self._beside[other].discard(gone)
            if other != kept:
                self._beside[other].add(kept)
                self._beside[kept].add(other)


def _area(districts: list[District]) -> Area:
    """One area; `districts` in the order of their ids. The largest districts give it its name."""
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
