"""Looking up sources: id -> number, contributor, area and class at a time, for millions of sources at once.

Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg import IsolationLevel

from store.areas import version_at
from store.database import Connection
from store.moments import milliseconds, moment
from store.register_columns import RegisterError
from store.source_history import NEVER_MS, Resolved, SourceHistory, SourceRows

PAGE = 50_000
"""Rows that are read at once."""

_COLUMNS = """
SELECT array_send(array_agg(number)), array_send(array_agg(contributor)), array_send(array_agg(valid_from)),
       array_send(array_agg(coalesce(valid_to, 'infinity'))), string_agg(source, E'\\n'),
       string_agg(district || E'\\t' || class, E'\\n'),
       CASE WHEN count(fact) > 0 THEN array_send(array_agg(coalesce(fact, 0))) END
"""
_PAGE = f"""
{_COLUMNS} FROM (
    SELECT * FROM sources WHERE metric = %(metric)s AND number >= %(next)s ORDER BY number LIMIT %(limit)s
) page
"""
_ALONE = f"{_COLUMNS} FROM sources WHERE metric = %(metric)s AND source = ANY(%(sources)s) AND number >= %(next)s"
_LAST_CHANGE = "SELECT coalesce(max(change), 0) FROM source_changes"
_CHANGED = """
SELECT array_send(array_agg(number)), array_send(array_agg(coalesce(valid_to, 'infinity'))),
       array_send(array_agg(s.contributor)), array_send(array_agg(coalesce(fact, 0)))
FROM source_changes c JOIN sources s ON number = c.source
WHERE change > %(change)s AND metric = %(metric)s AND number < %(next)s
"""
_AREAS = "SELECT district, area FROM area_districts JOIN areas ON number = area WHERE version = %s"
# The earliest version also serves all times before it, so its own beginning changes nothing.
_AREA_BOUNDS = """
SELECT max(valid_from) FILTER (WHERE valid_from <= %(at)s), min(valid_from) FILTER (WHERE valid_from > %(at)s)
FROM (SELECT valid_from FROM area_versions WHERE metric = %(metric)s ORDER BY valid_from OFFSET 1) later
"""
_ARRAY_HEADER_BYTES = 20
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])
_INFINITY = 2**63 - 1
_2000_MS = 946_684_800_000


class SourceReader:
    """The sources of a metric, or only `sources`: reads all of them once, then what was added or has changed.

    Not for use inside a transaction that may be rolled back: what it read there would stay. One thread.
    """

    def __init__(
        self, connection: Connection, metric: str, classes: Sequence[str], sources: Sequence[str] | None = None
    ) -> None:
        self._connection = connection
        self._metric = metric
        self._classes = list(classes)
        self._sources = sources
        self._history = SourceHistory()
        self._next = 0
        self._change = 0
        self._latest: tuple[Resolved, tuple[object, ...]] | None = None

    def at(self, time_ms: int) -> Resolved:
        """All sources that are valid at a time, with their areas at that time.

        The areas are those of the latest version that has begun, else of the earliest. Classes are indices into
        `classes`. As long as nothing has changed, the same object is returned for times at which it holds. Raises
        `RegisterError` if a source's district lies in no area, or if its class is not one of `classes`.
        """
        terms = {"metric": self._metric, "at": moment(time_ms)}
        with _snapshot(self._connection):
            self._follow()
            version = version_at(self._connection, self._metric, time_ms)
            areas: dict[str, int] = dict(self._connection.execute(_AREAS, (version,)).fetchall())
            begins, ends = self._connection.execute(_AREA_BOUNDS, terms).fetchone() or (None, None)
        state = self._next, self._change, version, begins, ends
        if self._latest is None or self._latest[1] != state or not self._latest[0].holds(time_ms):
            self._latest = self._resolved(time_ms, areas, begins, ends), state
        return self._latest[0]

    def _resolved(
        self, time_ms: int, areas: Mapping[str, int], begins: datetime | None, ends: datetime | None
    ) -> Resolved:
        """What is valid at a time; its areas hold at begins <= time < ends."""
        try:
            resolved = self._history.at(time_ms, areas, self._classes)
        except KeyError as error:
            (district, _) = error.args[0]
            if district not in areas:
                problem = f"a source of {self._metric} is in a district that no area contains: draw its areas anew"
                raise RegisterError(problem) from None
            raise RegisterError(f"a source of {self._metric} has a class that the metric does not have") from None
        return replace(
            resolved,
            holds_from_ms=max(resolved.holds_from_ms, 0 if begins is None else milliseconds(begins)),
            holds_until_ms=min(resolved.holds_until_ms, NEVER_MS if ends is None else milliseconds(ends)),
        )

    def _follow(self) -> None:
        """Read what loads have added and changed since the last time. Numbers only grow, and rows are never deleted."""
        change = int((self._connection.execute(_LAST_CHANGE).fetchone() or (0,))[0])
        if change > self._change:
            self._read_changes()
        for rows in self._pages():
            self._history.add(rows)
            self._next = int(rows.number.max()) + 1
        self._change = change

    def _read_changes(self) -> None:
        terms = {"metric": self._metric, "change": self._change, "next": self._next}
        with self._connection.cursor(binary=True) as cursor:
            number, ends, *values = cursor.execute(_CHANGED, terms).fetchone() or (None, None)
        if number is not None:
            contributor, fact = (_elements(array).astype(np.uint32) for array in values)
            self._history.change(_elements(number).astype(np.uint32), _times(ends), contributor, fact)

    def _pages(self) -> Iterator[SourceRows]:
        with self._connection.cursor(binary=True) as cursor:
            while True:
                terms = {"metric": self._metric, "sources": self._sources, "next": self._next, "limit": PAGE}
                row = cursor.execute(_PAGE if self._sources is None else _ALONE, terms).fetchone()
                if row is None or row[0] is None:
                    return
                rows = _rows(*row)
                yield rows
                if self._sources is not None or len(rows.id) < PAGE:
                    return


def resolve(
    connection: Connection, metric: str, at_ms: int, classes: Sequence[str], source: str | None = None
) -> Resolved:
    """All sources of `metric` that are valid at `at_ms`, or only `source`, read at once. See `SourceReader.at`."""
    return SourceReader(connection, metric, classes, None if source is None else [source]).at(at_ms)


def _rows(
    number: bytes, contributor: bytes, begins: bytes, ends: bytes, ids: str, places: str, fact: bytes | None
) -> SourceRows:
    texts = places.split("\n")
    known = {text: _place(text) for text in set(texts)}
    rows = SourceRows(
        id=ids.split("\n"),
        place=list(map(known.__getitem__, texts)),
        number=_elements(number).astype(np.uint32),
        contributor=_elements(contributor).astype(np.uint32),
        begins_ms=_times(begins),
        ends_ms=_times(ends),
        fact=np.zeros(len(texts), np.uint32) if fact is None else _elements(fact).astype(np.uint32),
    )
    if not len(rows.id) == len(rows.place) == len(rows.number):
        raise RegisterError("the register holds an id, a district or a class with a line break")
    return rows


def _place(text: str) -> tuple[str, str]:
    district, class_ = text.split("\t")
    return district, class_


def _elements(array: bytes) -> NDArray[np.int64]:
    """The elements of an array of PostgreSQL's 8-byte numbers or times in its binary format."""
    return np.frombuffer(array, _ELEMENT, offset=_ARRAY_HEADER_BYTES)["value"].astype(np.int64)


def _times(array: bytes) -> NDArray[np.int64]:
    """PostgreSQL's times are microseconds since 2000."""
    elements = _elements(array)
    return np.where(elements == _INFINITY, NEVER_MS, elements // 1000 + _2000_MS)


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    """Several queries on one state of the tables, whatever is committed meanwhile."""
    if not connection.autocommit or connection.info.transaction_status:
        yield  # inside a caller's transaction: its isolation is the caller's choice
        return
    before = connection.isolation_level
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            yield
    finally:
        connection.isolation_level = before
