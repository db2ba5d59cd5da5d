"""The areas of a metric with the contributors that they have: what an operator asks before and after a redraw.

Times are milliseconds since 1970, UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.area_pieces import Counts
from ingest.areas import Standard, standards
from schemas.catalogue import Metric
from store import areas as stored
from store.areas import Area
from store.database import Connection


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The contributors of a class in an area; `enough`: the rule's minimum is reached."""

    class_: str
    contributors: int
    minimum: int

    @property
    def enough(self) -> bool:
        return self.contributors >= self.minimum


@dataclass(frozen=True, slots=True)
class AreaReport:
    """An area and its contributors, by class."""

    number: int
    name: str
    population: int
    counts: Sequence[ClassCount]

    def count(self, class_: str) -> int:
        """The contributors of a class."""
        return sum(count.contributors for count in self.counts if count.class_ == class_)


@dataclass(frozen=True, slots=True)
class VersionReport:
    """The areas of a version, from its beginning on."""

    valid_from_ms: int
    areas: Sequence[AreaReport]


@dataclass(frozen=True, slots=True)
class TooFew:
    """The areas, by name and number of contributors, with fewer than `minimum` contributors of a class."""

    class_: str
    minimum: int
    areas: Sequence[tuple[str, int]]


def report(connection: Connection, metric: Metric, now_ms: int) -> Sequence[VersionReport]:
    """All versions of a metric's areas, oldest first, each with the contributors that are registered now."""
    counts = stored.contributors(connection, metric.name, now_ms)
    return [
        VersionReport(
            version.valid_from_ms,
            [
                AreaReport(number, area.name, area.population, _counted(area, counts, standards(metric)))
                for number, area in version.areas.items()
            ],
        )
        for version in stored.versions(connection, metric.name)
    ]


def present(versions: Sequence[VersionReport], now_ms: int) -> VersionReport | None:
    """The version that is valid now."""
    begun = [version for version in versions if version.valid_from_ms <= now_ms]
    return begun[-1] if begun else next(iter(versions), None)


def too_few(version: VersionReport) -> Sequence[TooFew]:
    """The classes that have contributors, and areas with fewer of them than the rule asks."""
    classes = {count.class_: count.minimum for area in version.areas for count in area.counts if count.contributors}
    found = [
        TooFew(
            class_, minimum, [(area.name, area.count(class_)) for area in version.areas if area.count(class_) < minimum]
        )
        for class_, minimum in classes.items()
    ]
    return [each for each in found if each.areas]


def _counted(area: Area, counts: Counts, of: Sequence[Standard]) -> Sequence[ClassCount]:
    return [
        ClassCount(each.class_, sum(counts.get((d, each.class_), 0) for d in area.districts), each.minimum)
        for each in of
    ]
