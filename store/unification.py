"""Making several spellings of a contributor or of a source one, from a time on that no process has looked up yet.

Numbers stay what they are, and what was valid before that time stays as it is. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from store.database import Connection
from store.moments import milliseconds, moment

_LOCK = "LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE"
_METRICS = "SELECT DISTINCT metric FROM sources"
_SAME = """
UPDATE contributors SET same_as = %(kept)s
WHERE number <> %(kept)s AND (number = ANY(%(numbers)s) OR same_as = ANY(%(numbers)s))
"""
_CANONICAL = "UPDATE contributors SET same_as = NULL WHERE number = %(kept)s"
# Of a merged contributor, the rows that are valid at the time end there, and go on as new ones of the kept contributor.
# Rows that begin later have been looked up by nobody: they change at once, and readers are told.
_AFFECTED = """
CREATE TEMPORARY TABLE affected ON COMMIT DROP AS
SELECT s.number, c.same_as AS kept, s.valid_from < %(at)s AS begun
FROM sources s JOIN contributors c ON c.number = s.contributor
WHERE metric = %(metric)s AND c.same_as IS NOT NULL AND (valid_to IS NULL OR valid_to > %(at)s)
"""
_GO_ON = """
INSERT INTO sources (number, source, metric, district, contributor, class, valid_from, valid_to, fact)
SELECT (SELECT max(number) FROM sources) + row_number() OVER (ORDER BY random()),
       source, metric, district, kept, class, %(at)s, valid_to, fact
FROM sources s JOIN affected a USING (number) WHERE begun
"""
_END = """
UPDATE sources s SET valid_to = CASE WHEN begun THEN %(at)s ELSE valid_to END,
                     contributor = CASE WHEN begun THEN contributor ELSE kept END
FROM affected a WHERE a.number = s.number
"""
_TELL = "INSERT INTO source_changes (source) SELECT number FROM affected"
_FORGET = "DROP TABLE affected"
_RENAME_CONTRIBUTOR = "UPDATE contributors SET contributor = %(text)s WHERE number = %(number)s"
_ROWS = """
SELECT s.number, source, metric, coalesce(same_as, s.contributor), valid_from, valid_to
FROM sources s JOIN contributors c ON c.number = s.contributor
WHERE source = ANY(%(ids)s) ORDER BY metric, valid_from, s.number
"""
_RENAME_SOURCES = "UPDATE sources SET source = %(text)s WHERE number = ANY(%(numbers)s)"
_END_SOURCES = """
WITH ended AS (UPDATE sources SET valid_to = %(at)s WHERE number = ANY(%(numbers)s) RETURNING number)
INSERT INTO source_changes (source) SELECT number FROM ended
"""
_CURRENT: Mapping[str, LiteralString] = {
    "contributors": "SELECT number, contributor FROM contributors WHERE number = ANY(%(numbers)s) AND same_as IS NULL",
    "sources": """
SELECT number, source FROM sources s WHERE number = ANY(%(numbers)s) AND EXISTS (
    SELECT FROM sources o WHERE o.source = s.source AND (o.valid_to IS NULL OR o.valid_to > %(now)s)
)
""",
}
_CHANGED = """
SELECT source, metric, district, c.contributor, class, valid_from, valid_to
FROM sources s JOIN contributors own ON own.number = s.contributor
JOIN contributors c ON c.number = coalesce(own.same_as, own.number)
WHERE (source, metric) IN (SELECT source, metric FROM sources WHERE number >= %(before)s OR number IN (
    SELECT source FROM source_changes WHERE change > %(change)s
)) ORDER BY source, metric, valid_from
"""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A row of a source in one of its spellings; `contributor` is the number that counts for it."""

    number: int
    source: str
    metric: str
    contributor: int
    begins_ms: int
    ends_ms: int | None


def lock(connection: Connection) -> None:
    """Let no other load change the register until the transaction ends."""
    connection.execute(_LOCK)


def metrics(connection: Connection) -> Sequence[str]:
    """The metrics that any source is registered for."""
    return sorted(name for (name,) in connection.execute(_METRICS))


def current(connection: Connection, table: str, numbers: Sequence[int], now_ms: int) -> Mapping[int, str]:
    """The ids with these numbers, of "contributors" that are not one with another, or "sources" that are not over."""
    found = connection.execute(_CURRENT[table], {"numbers": list(numbers), "now": moment(now_ms)})
    return dict(found.fetchall())


def merge_contributors(connection: Connection, kept: int, numbers: Sequence[int], text: str) -> None:
    """Say that these contributors are the kept one, whose id is `text` from now on."""
    connection.execute(_SAME, {"kept": kept, "numbers": list(numbers)})
    connection.execute(_CANONICAL, {"kept": kept})
    connection.execute(_RENAME_CONTRIBUTOR, {"number": kept, "text": text})


def move_sources(connection: Connection, holds_from_ms: Mapping[str, int]) -> int:
    """Give the sources of merged contributors to those that were kept, by metric from these times on: how many rows."""
    moved = 0
    for metric, at_ms in holds_from_ms.items():
        terms = {"metric": metric, "at": moment(at_ms)}
        connection.execute(_AFFECTED, terms)
        connection.execute(_GO_ON, terms)
        moved += connection.execute(_END, terms).rowcount
        connection.execute(_TELL)
        connection.execute(_FORGET)
    return moved


def rows_of(connection: Connection, ids: Sequence[str]) -> Sequence[Spelled]:
    """All rows of these sources, by metric and time."""
    return [
        Spelled(number, source, metric, contributor, milliseconds(begins), None if ends is None else milliseconds(ends))
        for number, source, metric, contributor, begins, ends in connection.execute(_ROWS, {"ids": list(ids)})
    ]


def rename_sources(connection: Connection, numbers: Sequence[int], text: str) -> None:
    """Give rows another spelling of their source."""
    connection.execute(_RENAME_SOURCES, {"numbers": list(numbers), "text": text})


def end_sources(connection: Connection, numbers: Sequence[int], at_ms: int) -> None:
    """End rows at a time."""
    connection.execute(_END_SOURCES, {"numbers": list(numbers), "at": moment(at_ms)})


def position(connection: Connection) -> tuple[int, int]:
    """Where the register's rows and changes end, for `changed_since`."""
    numbers: LiteralString = "SELECT coalesce(max(number) + 1, 0) FROM sources"
    changes: LiteralString = "SELECT coalesce(max(change), 0) FROM source_changes"
    (before,), (change,) = (connection.execute(query).fetchone() or (0,) for query in (numbers, changes))
    return int(before), int(change)


def changed_since(
    connection: Connection, before: tuple[int, int]
) -> Sequence[tuple[str, str, str, str, str, datetime, datetime | None]]:
    """All rows of the sources that have changed: source, metric, district, contributor, class, valid from and to."""
    return connection.execute(_CHANGED, {"before": before[0], "change": before[1]}).fetchall()
