"""Looking up sources: id -> number, contributor, area and class at a time, for millions of sources at once.

Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import IsolationLevel

from store.areas import version_at
from store.database import Connection
from store.moments import milliseconds, moment
from store.register import RegisterError

BEGINNING_MS = 0
NEVER_MS = 2**62
"""Bounds of a resolution that no change limits."""

_ONE = "metric = %(metric)s AND (%(source)s::text IS NULL OR source = %(source)s)"
_VALID = "valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)"
_BOUNDS = f"""
WITH changes (at) AS (
    SELECT valid_from FROM sources WHERE {_ONE}
    UNION ALL SELECT valid_to FROM sources WHERE {_ONE} AND valid_to IS NOT NULL
    -- The earliest version also serves all times before it, so its own beginning changes nothing.
    UNION ALL SELECT valid_from FROM area_versions WHERE metric = %(metric)s
              AND valid_from > (SELECT min(valid_from) FROM area_versions WHERE metric = %(metric)s)
)
SELECT max(at) FILTER (WHERE at <= %(at)s), min(at) FILTER (WHERE at > %(at)s) FROM changes
"""
_WIDTH = f"SELECT max(octet_length(source)) FROM sources WHERE {_ONE} AND {_VALID}"
# Every column has the same width in every row, so that the whole answer is one array: ids are padded with zero bytes,
# which no text in PostgreSQL contains and which numpy strips.
_RESOLVE = f"""
COPY (
    SELECT s.number, s.contributor, coalesce(a.area, -1)::int4,
           coalesce(array_position(%(classes)s::text[], s.class) - 1, -1)::int4,
           substring(convert_to(s.source, 'UTF8') || decode(repeat('00', %(width)s), 'hex') FROM 1 FOR %(width)s)
    FROM (SELECT * FROM sources WHERE {_ONE} AND {_VALID}) s
    LEFT JOIN (
        SELECT district, area FROM area_districts JOIN areas ON areas.number = area WHERE version = %(version)s::int
    ) a USING (district)
    ORDER BY s.source COLLATE "C"
) TO STDOUT (FORMAT binary)
"""
_COPY_HEADER_BYTES = 19
_COPY_TRAILER_BYTES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """All sources of a metric as they are at `holds_from_ms <= time < holds_until_ms`, as columns of shape (n,).

    `ids` are UTF-8 bytes in ascending order; `number` and `contributor` uint32; `area` int32; `class_` uint8, an index
    into the classes that `resolve` was given.
    """

    ids: NDArray[np.bytes_] = field(repr=False)
    number: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    area: NDArray[np.int32]
    class_: NDArray[np.uint8]
    holds_from_ms: int
    holds_until_ms: int

    def holds(self, at_ms: int) -> bool:
        """Whether the sources are the same at `at_ms`."""
        return self.holds_from_ms <= at_ms < self.holds_until_ms

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each id in the columns, int64 of shape (len(ids),); -1 where no such source is valid."""
        wanted = np.array([text.encode() for text in ids], dtype=np.bytes_)
        if not len(self.ids) or not len(wanted):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[at] == wanted, at, -1).astype(np.int64)


def resolve(
    connection: Connection, metric: str, at_ms: int, classes: Sequence[str], source: str | None = None
) -> Resolved:
    """All sources of `metric` that are valid at `at_ms`, or only `source`, with their areas at that time.

    The areas are those of the latest version that has begun, else of the earliest. `Resolved.class_` indexes `classes`.
    Raises `RegisterError` if a
    source's district lies in no area, or if its class is not one of `classes`.
    """
    terms = {"metric": metric, "at": moment(at_ms), "classes": list(classes), "source": source}
    with _snapshot(connection):
        begins, ends = connection.execute(_BOUNDS, terms).fetchone() or (None, None)
        version = version_at(connection, metric, at_ms)
        width = (connection.execute(_WIDTH, terms).fetchone() or (0,))[0] or 1
        table = _copy_out(connection, {**terms, "version": version, "width": width}, width)
    if (table["area"] < 0).any():
        raise RegisterError(f"a source of {metric} is in a district that no area contains: load the register again")
    if (table["class"] < 0).any():
        raise RegisterError(f"a source of {metric} has a class that the metric does not have")
    return Resolved(
        ids=np.ascontiguousarray(table["id"]),
        number=table["number"].astype(np.uint32),
        contributor=table["contributor"].astype(np.uint32),
        area=table["area"].astype(np.int32),
        class_=table["class"].astype(np.uint8),
        holds_from_ms=BEGINNING_MS if begins is None else milliseconds(begins),
        holds_until_ms=NEVER_MS if ends is None else milliseconds(ends),
    )


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


def _copy_out(connection: Connection, terms: Mapping[str, Any], width: int) -> NDArray[np.void]:
    """The answer of `_RESOLVE` as one array; its fields `n...` are PostgreSQL's own, counts and lengths."""
    row = np.dtype(
        [
            *(("n", ">i2"), ("n1", ">i4"), ("number", ">i8"), ("n2", ">i4"), ("contributor", ">i8")),
            *(("n3", ">i4"), ("area", ">i4"), ("n4", ">i4"), ("class", ">i4"), ("n5", ">i4"), ("id", f"S{width}")),
        ]
    )
    answer = bytearray()
    with connection.cursor() as cursor, cursor.copy(_RESOLVE, terms) as copy:
        for part in copy:
            answer += part
    count, rest = divmod(len(answer) - _COPY_HEADER_BYTES - _COPY_TRAILER_BYTES, row.itemsize)
    if rest:
        raise AssertionError(f"PostgreSQL's copy is not rows of {row.itemsize} bytes")
    return np.frombuffer(answer, row, count, _COPY_HEADER_BYTES)
