"""A city file: time zone, coordinates, districts with their populations and neighbours.

A city is one TOML file. Two are shipped; an operator copies and edits one of them and passes its path.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeGuard, get_args
from zoneinfo import ZoneInfo

from errors import OperatorError
from ingest.cities.neighbours import gabriel_edges

PopulationQuality = Literal["census", "published", "estimated"]
"""The source of a population: a census, a publication of an office or the press, or an estimate."""

_PLACE_KEYS = {"id", "name", "population", "latitude", "longitude"}
_CITY_KEYS = _PLACE_KEYS | {"names", "country", "zone", "sources", "neighbours_from", "districts"}
_DISTRICT_KEYS = _PLACE_KEYS | {"kind", "population_quality"}
_LISTED_KEYS = {"neighbours"}
_DERIVED_KEYS = {"extra_neighbours", "not_neighbours", "island"}


class CityFileError(OperatorError):
    """A city file that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class District:
    """One district of a city; `kind` is the country's own word for it.

    `population` counts people, `latitude` and `longitude` are degrees (WGS 84) of an approximate centre, `neighbours`
    are the ids of the districts beside it, in the order of the file.
    """

    id: str
    name: str
    kind: str
    population: int
    population_quality: PopulationQuality
    latitude: float
    longitude: float
    neighbours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class City:
    """A city and all its districts; `population` is the sum of theirs, `zone` an IANA time zone."""

    id: str
    name: str
    names: Mapping[str, str] = field(hash=False)
    country: str
    zone: str
    latitude: float
    longitude: float
    population: int
    sources: tuple[str, ...]
    districts: tuple[District, ...]


def shipped_cities() -> tuple[str, ...]:
    """The names that `load_city` knows, in alphabetical order."""
    names = (Path(entry.name) for entry in files(__package__).iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".toml"))


def load_city(name_or_path: str | Path) -> City:
    """Read and check a city.

    Args:
        name_or_path: one of `shipped_cities()`, or the path of a TOML file. A string is a path if it ends in `.toml`.

    Raises:
        CityFileError: there is no such city or file, or the file is not TOML or breaks one of the rules: keys and
            types, unique ids, positive populations that add up to the city's, a known time zone, coordinates on Earth,
            and a neighbour graph that is known, symmetric and connected.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix == ".toml":
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CityFileError(f"{where}: cannot be read: {error}") from error
    elif name_or_path in shipped_cities():
        where = f"{name_or_path}.toml"
        text = files(__package__).joinpath(where).read_text(encoding="utf-8")
    else:
        known = ", ".join(shipped_cities())
        raise CityFileError(f"{name_or_path}: no such city is shipped; give {known} or the path of a .toml file")
    try:
        return _city(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CityFileError(f"{where}: is not TOML: {error}") from error
    except _Wrong as error:
        raise CityFileError(f"{where}: {error}") from error


class _Wrong(Exception):
    """What is wrong with a city file, before the file is named."""


class _Table:
    """A TOML table whose values are read with their types checked; `label` names it in error messages."""

    def __init__(self, label: str, values: object, allowed: set[str]) -> None:
        if not isinstance(values, dict):
            raise _Wrong(f"{label} is not a table")
        if unknown := sorted(set(values) - allowed):
            raise _Wrong(f"{label} has the unknown key {unknown[0]}")
        self.label = label
        self.values: dict[str, Any] = values

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise _Wrong(f"{self.label} needs the text {key}")
        return value

    def people(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise _Wrong(f"{self.label} needs {key}, a whole number above 0")
        return value

    def degrees(self, key: str, limit: int) -> float:
        value = self.values.get(key)
        # `not <=` also rejects nan, which TOML allows.
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= limit:
            raise _Wrong(f"{self.label} needs {key}, degrees from -{limit} to {limit}")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise _Wrong(f"{self.label} has {key} that are not a list of texts")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise _Wrong(f"{self.label} has {key} that is neither true nor false")
        return value


def _city(document: dict[str, Any]) -> City:
    city = _Table("the city", document, _CITY_KEYS)
    names = city.values.get("names")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) and name for name in names.values()):
        raise _Wrong("the city needs names, a table of language code = text")
    if not (sources := city.texts("sources")):
        raise _Wrong("the city needs sources, the titles that its figures come from")
    districts = _districts(city)
    population = city.people("population")
    if population != (total := sum(district.population for district in districts)):
        raise _Wrong(f"the city's population is {population}, but its districts' add up to {total}")
    return City(
        id=city.text("id"),
        name=city.text("name"),
        names=MappingProxyType(names),
        country=city.text("country"),
        zone=_zone(city.text("zone")),
        latitude=city.degrees("latitude", 90),
        longitude=city.degrees("longitude", 180),
        population=population,
        sources=sources,
        districts=districts,
    )


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # absent; a folder of zones such as "Asia"; a path such as "../x"
        raise _Wrong(f"the time zone {name} is not known") from error
    return name


def _districts(city: _Table) -> tuple[District, ...]:
    rows = city.values.get("districts")
    if not isinstance(rows, list) or not rows:
        raise _Wrong("the city needs districts")
    rule = city.values.get("neighbours_from")
    if rule not in ("list", "centres"):
        raise _Wrong('the city needs neighbours_from, either "list" or "centres"')
    allowed = _DISTRICT_KEYS | (_LISTED_KEYS if rule == "list" else _DERIVED_KEYS)

    tables: dict[str, _Table] = {}
    for number, row in enumerate(rows, start=1):
        table = _Table(f"district number {number}", row, allowed)
        identity = table.text("id")
        table.label = f"district {identity}"
        if identity in tables:
            raise _Wrong(f"the district id {identity} occurs twice")
        tables[identity] = table
    centres = {
        identity: (table.degrees("latitude", 90), table.degrees("longitude", 180)) for identity, table in tables.items()
    }
    graph = _listed(tables) if rule == "list" else _derived(tables, centres)
    _check_connected(graph)
    return tuple(
        District(
            id=identity,
            name=table.text("name"),
            kind=table.text("kind"),
            population=table.people("population"),
            population_quality=_quality(table),
            latitude=centres[identity][0],
            longitude=centres[identity][1],
            neighbours=tuple(neighbour for neighbour in tables if neighbour in graph[identity]),
        )
        for identity, table in tables.items()
    )


def _quality(table: _Table) -> PopulationQuality:
    quality = table.text("population_quality")
    if not _is_quality(quality):
        known = ", ".join(get_args(PopulationQuality))
        raise _Wrong(f"{table.label} has the population_quality {quality}; it is one of {known}")
    return quality


def _is_quality(text: str) -> TypeGuard[PopulationQuality]:
    return text in get_args(PopulationQuality)


def _listed(tables: Mapping[str, _Table]) -> dict[str, set[str]]:
    graph = {identity: _known(tables, identity, "neighbours") for identity in tables}
    for identity, neighbours in graph.items():
        for neighbour in neighbours:
            if identity not in graph[neighbour]:
                raise _Wrong(
                    f"district {identity} names {neighbour} as a neighbour, but {neighbour} does not name {identity}"
                )
    return graph


def _derived(tables: Mapping[str, _Table], centres: Mapping[str, tuple[float, float]]) -> dict[str, set[str]]:
    # An island has no shared border to derive: only its extra neighbours connect it.
    mainland = [identity for identity, table in tables.items() if not table.flag("island")]
    graph: dict[str, set[str]] = {identity: set() for identity in tables}
    try:
        pairs = gabriel_edges([centres[identity] for identity in mainland])
    except ValueError as error:
        raise _Wrong(f"its neighbours cannot be derived: {error}") from error
    for first, second in pairs:
        graph[mainland[first]].add(mainland[second])
        graph[mainland[second]].add(mainland[first])
    for identity in tables:
        # A border or a ferry has two ends, so it is enough if one of them names it.
        for extra in _known(tables, identity, "extra_neighbours"):
            graph[identity].add(extra)
            graph[extra].add(identity)
        for neighbour in _known(tables, identity, "not_neighbours"):
            # A correction without effect is a mistake, or is left over from centres that have moved since.
            if neighbour not in graph[identity]:
                raise _Wrong(
                    f"district {identity} says that {neighbour} is no neighbour, but the centres do not make it one"
                )
            graph[identity].remove(neighbour)
            graph[neighbour].remove(identity)
    return graph


def _known(tables: Mapping[str, _Table], identity: str, key: str) -> set[str]:
    named = tables[identity].texts(key)
    for neighbour in named:
        if neighbour not in tables:
            raise _Wrong(f"district {identity} names the neighbour {neighbour}, which is no district of this city")
        if neighbour == identity:
            raise _Wrong(f"district {identity} names itself as a neighbour")
    return set(named)


def _check_connected(graph: Mapping[str, set[str]]) -> None:
    start = next(iter(graph))
    reached = {start}
    frontier = [start]
    while frontier:
        for neighbour in graph[frontier.pop()] - reached:
            reached.add(neighbour)
            frontier.append(neighbour)
    for identity in graph:
        if identity not in reached:
            raise _Wrong(f"no chain of neighbours leads from district {start} to {identity}")
