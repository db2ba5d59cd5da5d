"""The areas of a metric: drawn when it has none, and drawn anew only on command, for the next quarter (P6).

What two partitions show together must pass the rule as well: a redraw is refused if one of its pieces does not
(`ingest.area_pieces`). Times are milliseconds since 1970, UTC.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from errors import OperatorError
from ingest.area_pieces import Counts, Piece, Version, too_small
from ingest.areas import drawn_for, partition, split, standards
from ingest.cities import City
from ingest.register_changes import areas_hold_from, quarter_starts
from schemas.catalogue import Metric, published
from store import areas as stored
from store.areas import Area, AreaVersion
from store.database import Connection
from store.moments import moment
from store.register_columns import RegisterError


class RedrawRefused(OperatorError):
    """The areas can't be drawn anew; the text says why."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Areas that were stored; they are valid from `valid_from_ms`, milliseconds since 1970."""

    metric: str
    valid_from_ms: int
    areas: int


@dataclass(frozen=True, slots=True)
class Redrawn:
    """The outcome of a redraw. `avoided`: what a free choice would have shown; the areas were only split instead."""

    drawn: Drawn
    avoided: Piece | None


def draw_first(connection: Connection, city: City, metric: Metric, now_ms: int, people: int) -> Drawn | None:
    """Draw the areas of a metric that has sources and no areas; they begin with the current quarter."""
    if stored.versions(connection, metric.name):
        return None
    contributors = stored.contributors(connection, metric.name, now_ms)
    if not contributors:
        return None
    begins = quarter_starts(now_ms, city.zone)[0]
    areas = scaled(partition(city, contributors, drawn_for(metric)), people)
    stored.create_version(connection, metric.name, begins, areas)
    return Drawn(metric.name, begins, len(areas))


def redraw(
    connection: Connection, city: City, metric: Metric, clock: Callable[[], int], people: int | None = None
) -> Redrawn:
    """Draw a metric's areas anew for the next quarter, from its present register, in one transaction.

    Areas that were drawn for that quarter before are replaced. `people`: how many the sources serve; by default as many
    as now. Raises `RedrawRefused` if the metric has no areas of its own, if nothing would change, or if a piece of
    old and new areas has too few contributors; `RegisterError` if a district that the city does not have holds sources.
    """
    if metric.derived_from is not None:
        raise RedrawRefused(f"{metric.name} has the areas of {metric.derived_from}: draw those anew")
    with connection.transaction():
        stored.hold_register(connection)
        begins = areas_hold_from(clock(), city.zone)
        found = stored.versions(connection, metric.name)
        kept = [version for version in found if version.valid_from_ms != begins]
        if not kept:
            raise RedrawRefused(f"{metric.name} has no areas: they are drawn when its register is loaded")
        refuse_dropped(connection, city, metric.name, begins)
        counts = stored.contributors(connection, metric.name, begins)
        chosen, avoided = choose(city, metric, _history(connection, metric.name, kept, begins), counts)
        present = sorted(kept[-1].areas.values(), key=lambda area: area.districts)
        total = sum(area.population for area in present) if people is None else people
        areas = scaled(chosen, total)
        if list(areas) == present and len(found) == len(kept):
            raise RedrawRefused(f"the areas of {metric.name} would be the same as now")
        stored.create_version(connection, metric.name, begins, areas)
    return Redrawn(Drawn(metric.name, begins, len(areas)), avoided)


def choose(
    city: City, metric: Metric, history: Sequence[Version], counts: Counts
) -> tuple[tuple[Area, ...], Piece | None]:
    """The areas to take after those of `history` (oldest first, not empty), with the contributors that there are then.

    They are drawn freely if no piece is too small; otherwise the present areas are split, and the piece that this
    avoids is returned as well. Pure. Raises `RedrawRefused` if that is not possible either.
    """
    areas = partition(city, counts, drawn_for(metric))
    avoided = _too_small(metric, history, Version(areas, counts))
    if avoided is None:
        return areas, None
    areas = split(city, history[-1].areas, counts, drawn_for(metric))
    shown = _too_small(metric, history, Version(areas, counts))
    if shown is not None or _districts(areas) == _districts(history[-1].areas):
        raise RedrawRefused(f"the areas of {metric.name} stay as they are: {in_words(city, shown or avoided)}")
    return areas, avoided


def in_words(city: City, piece: Piece) -> str:
    """What a piece would tell."""
    names = {district.id: district.name for district in city.districts}
    where = ", ".join(names.get(district, district) for district in piece.districts)
    return (
        f"old and new areas cut out {where}, where {piece.contributors} contributors of class {piece.class_} are and "
        f"{piece.needed} are needed; the difference between figures of both would be theirs alone"
    )


def _too_small(metric: Metric, history: Sequence[Version], new: Version) -> Piece | None:
    """The smallest piece that would be shown by any metric that has these areas."""
    found: list[Piece] = []
    for each in published().values():
        if each.registered_as == metric.name:
            counted = [Version(version.areas, _counted(each, version.counts)) for version in (*history, new)]
            piece = too_small(counted[:-1], counted[-1], standards(each))
            found += [] if piece is None else [piece]
    return min(found, key=lambda piece: piece.contributors, default=None)


def _counted(metric: Metric, counts: Counts) -> Counts:
    """The contributors by the metric's own classes: of a derived metric, each class may hold any source."""
    if metric.derived_from is None:
        return counts
    in_district: dict[str, int] = defaultdict(int)
    for (district, _), count in counts.items():
        in_district[district] += count
    return {(district, class_): count for district, count in in_district.items() for class_ in metric.classes}


def _history(connection: Connection, metric: str, versions: Sequence[AreaVersion], until_ms: int) -> Sequence[Version]:
    """The versions, each with its contributors in its last moment; the last ends at `until_ms`."""
    ends = [*(version.valid_from_ms for version in versions[1:]), until_ms]
    return [
        Version(list(version.areas.values()), stored.contributors(connection, metric, end - 1))
        for version, end in zip(versions, ends, strict=True)
    ]


def _districts(areas: Iterable[Area]) -> set[tuple[str, ...]]:
    return {area.districts for area in areas}


def refuse_dropped(connection: Connection, city: City, metric: str, from_ms: int) -> None:
    """Raise `RegisterError` if sources are valid from then on in a district that the city's file does not have."""
    district = stored.outside(connection, metric, (each.id for each in city.districts), from_ms)
    if district is not None:
        when = moment(from_ms).astimezone(ZoneInfo(city.zone)).isoformat(timespec="minutes")
        raise RegisterError(
            f"sources of {metric} are registered in {district} after {when}, a district that the city's file does not "
            "have (any more): keep it in the file, or end those sources with valid_to first"
        )


def scaled(areas: Iterable[Area], people: int) -> tuple[Area, ...]:
    """The areas with populations in the same proportions that add up to `people` (largest remainders rounded up)."""
    areas = tuple(areas)
    total = sum(area.population for area in areas)
    shares = [divmod(area.population * people, total) for area in areas]
    missing = people - sum(whole for whole, _ in shares)
    up = set(sorted(range(len(areas)), key=lambda index: (-shares[index][1], index))[:missing])
    return tuple(replace(area, population=shares[i][0] + (i in up)) for i, area in enumerate(areas))
