"""The areas of a metric: versions of a partition of the city, whose areas are made of whole districts.

Times are milliseconds since 1970, UTC.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment

# A contributor with premises in several districts counts in one of them only: the sum over an area is never too high.
_COUNTS = """
SELECT district, class, count(*) FILTER (WHERE place = 1) FROM (
    SELECT district, class, row_number() OVER (PARTITION BY contributor, class ORDER BY district) AS place FROM sources
    WHERE metric = %(metric)s AND valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)
) placed GROUP BY district, class
"""
_VERSION_AT = """
SELECT version FROM area_versions WHERE metric = %(metric)s
ORDER BY valid_from > %(at)s, CASE WHEN valid_from <= %(at)s THEN valid_from END DESC, valid_from LIMIT 1
"""
_OCCUPIED = """
SELECT district FROM sources
WHERE metric = %(metric)s AND district = ANY(%(districts)s)
  AND valid_from < coalesce(%(until)s, 'infinity'::timestamptz) AND coalesce(valid_to, 'infinity') > %(from)s
ORDER BY district LIMIT 1
"""
_OUTSIDE = """
SELECT district FROM sources
WHERE metric = %(metric)s AND district <> ALL(%(districts)s) AND coalesce(valid_to, 'infinity') > %(from)s
ORDER BY district LIMIT 1
"""
_AREAS = """
SELECT areas.number, version, name, population, array_agg(district ORDER BY district COLLATE "C")
FROM areas JOIN area_versions USING (version) JOIN area_districts ON area = areas.number
WHERE metric = %s GROUP BY areas.number ORDER BY areas.number
"""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the city: ids of whole districts, in order, and the number of people who live there."""

    name: str
    districts: tuple[str, ...]
    population: int


@dataclass(frozen=True, slots=True)
class AreaVersion:
    """A partition of the city for a metric, valid from `valid_from_ms` until that of the next version.

    `areas` by the number that cells carry; numbers are never used again.
    """

    version: int
    valid_from_ms: int
    areas: Mapping[int, Area]


def contributors(connection: Connection, metric: str, at_ms: int) -> Mapping[tuple[str, str], int]:
    """(district, class) -> number of contributors with a source of the metric that is valid at `at_ms`.

    Each contributor counts once per class, in the first of its districts by id. A district with sources of none but
    contributors that count elsewhere has 0; one without any source is absent.
    """
    rows = connection.execute(_COUNTS, {"metric": metric, "at": moment(at_ms)})
    return {(district, class_): count for district, class_, count in rows}


def occupied(
    connection: Connection, metric: str, districts: Iterable[str], from_ms: int, until_ms: int | None
) -> str | None:
    """The first of these districts that has a source of the metric at from <= time < until; None if none has."""
    until = None if until_ms is None else moment(until_ms)
    terms = {"metric": metric, "districts": list(districts), "from": moment(from_ms), "until": until}
    found = connection.execute(_OCCUPIED, terms).fetchone()
    return found[0] if found else None


def outside(connection: Connection, metric: str, districts: Iterable[str], from_ms: int) -> str | None:
    """The first other district that has a source of the metric at or after `from_ms`; None if none has."""
    terms = {"metric": metric, "districts": list(districts), "from": moment(from_ms)}
    found = connection.execute(_OUTSIDE, terms).fetchone()
    return found[0] if found else None


def hold_register(connection: Connection) -> None:
    """Let loads of the register wait until this transaction ends, and wait for one that is under way."""
    connection.execute("LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE")


def versions(connection: Connection, metric: str) -> Sequence[AreaVersion]:
    """All versions of the metric's areas, oldest first."""
    areas: dict[int, dict[int, Area]] = defaultdict(dict)
    for number, version, name, population, districts in connection.execute(_AREAS, (metric,)):
        areas[version][number] = Area(name, tuple(districts), population)
    rows = connection.execute(
        "SELECT version, valid_from FROM area_versions WHERE metric = %s ORDER BY valid_from", (metric,)
    )
    return [AreaVersion(version, milliseconds(begins), areas[version]) for version, begins in rows]


def version_at(connection: Connection, metric: str, at_ms: int) -> int | None:
    """The version that is valid at `at_ms`: the latest that has begun, else the earliest; None if there is none."""
    found = connection.execute(_VERSION_AT, {"metric": metric, "at": moment(at_ms)}).fetchone()
    return found[0] if found else None


def create_version(connection: Connection, metric: str, valid_from_ms: int, areas: Sequence[Area]) -> int:
    """Store a partition and return its version. A version of the same metric and time is replaced.

    The caller must not replace a version that has begun. Raises `psycopg.errors.ForeignKeyViolation` if
    the replaced one has been published already.
    """
    with connection.transaction():
        key = (metric, moment(valid_from_ms))
        old = connection.execute("SELECT version FROM area_versions WHERE metric = %s AND valid_from = %s", key)
        for (version,) in old.fetchall():
            connection.execute(
                "DELETE FROM area_districts USING areas WHERE area = number AND version = %s", (version,)
            )
            connection.execute("DELETE FROM areas WHERE version = %s", (version,))
            connection.execute("DELETE FROM area_versions WHERE version = %s", (version,))
        created = connection.execute(
            "INSERT INTO area_versions (metric, valid_from) VALUES (%s, %s) RETURNING version", key
        ).fetchone()
        assert created is not None
        for area in areas:
            connection.execute(
                "WITH area AS (INSERT INTO areas (version, name, population) VALUES (%s, %s, %s) RETURNING number) "
                "INSERT INTO area_districts SELECT number, unnest(%s::text[]) FROM area",
                (created[0], area.name, area.population, list(area.districts)),
            )
    return int(created[0])
