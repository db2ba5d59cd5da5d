"""Publishing: the windows that are ready, and publications appended to their gap-free log.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the metric's smallest unit. Connections are those
of `store.database.connect`. Publications are read in `store.publication_log`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from store.database import Connection
from store.moments import milliseconds, moment

_PUBLISHER_LOCK = 0x5157E2CB1
"""Key of the advisory lock that makes its holder the one publisher (R12)."""

_NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a metric: its first millisecond, and the first one after it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LatticeCell:
    """A cell that every publication of a window holds, and the number of sources that are registered in it."""

    area: int
    class_: str
    sources: int


@dataclass(frozen=True, slots=True)
class Lattice:
    """All cells of a window. Later windows have the same cells as long as `holds` is true for them.

    `next_source`, `next_end` and `next_version`: when a source, the end of a source, or a version of areas changes them
    next.
    """

    cells: tuple[LatticeCell, ...]
    window: Window
    next_source: int
    next_end: int
    next_version: int

    def holds(self, window: Window) -> bool:
        """Whether no source began or ended and no other areas began between the two windows."""
        later = window.start >= self.window.start and window.end >= self.window.end
        return later and window.end <= self.next_source and window.start < min(self.next_end, self.next_version)


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A cell as it is published. A suppressed cell has neither value nor coverage (whole percent)."""

    area: int
    class_: str
    value: int | None
    coverage: int | None
    rule: str


@dataclass(frozen=True, slots=True)
class Header:
    """A publication without its cells: position in the log, number in its metric's sequence, window, revision."""

    position: int
    metric: str
    sequence: int
    window: Window
    revision: int
    published_at: int


@contextmanager
def publisher_lock(connection: Connection) -> Iterator[bool]:
    """Try to take the lock of the one publisher of this database; yields whether this connection holds it.

    The lock ends with the context, or with the connection.
    """
    held = bool(_value(connection, "SELECT pg_try_advisory_lock(%s)", _PUBLISHER_LOCK))
    try:
        yield held
    finally:
        if held and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_PUBLISHER_LOCK,))


def ready_windows(connection: Connection, topic: str, metric: str, lateness_ms: int, limit: int) -> list[Window]:
    """The oldest windows of a metric that can be published, at most `limit`, in order (R12).

    A window is ready if the watermark of every partition of the topic has passed its end, if it has a cell of this
    topic, and if it has no publication yet. A window without any reading is never published.
    """
    rows = connection.execute(
        """
        WITH RECURSIVE passed AS (
            SELECT min(event_time) - %(lateness)s AS bound
            FROM stream_offsets WHERE topic = %(topic)s
            HAVING count(event_time) = (SELECT partitions FROM stream_topics WHERE topic = %(topic)s)
        ), windows AS (
            (SELECT window_start, window_end FROM cells WHERE topic = %(topic)s AND metric = %(metric)s
             ORDER BY window_start LIMIT 1)
            UNION ALL  -- one step through the index per window: reading every cell would take minutes after a year
            SELECT following.window_start, following.window_end FROM windows, LATERAL (
                SELECT window_start, window_end FROM cells
                WHERE topic = %(topic)s AND metric = %(metric)s AND window_start > windows.window_start
                ORDER BY window_start LIMIT 1) AS following
        )
        SELECT window_start, window_end FROM windows, passed
        WHERE extract(epoch FROM window_end) * 1000 <= bound AND NOT EXISTS (
            SELECT FROM publications WHERE publications.metric = %(metric)s
            AND publications.window_start = windows.window_start)
        ORDER BY window_start LIMIT %(limit)s
        """,
        {"topic": topic, "metric": metric, "lateness": lateness_ms, "limit": limit},
    ).fetchall()
    return [Window(milliseconds(start), milliseconds(end)) for start, end in rows]


def lattice(
    connection: Connection, metric: str, classes: Sequence[str], window: Window, *, of_any_class: bool = False
) -> Lattice:
    """Every area of the metric that is valid at the window's start, times every class.

    Before the first version of areas begins, it is valid too. A source counts if it is registered for any part of the
    window: in its class or, with `of_any_class`, in every class.
    """
    bounds_of = {"start": moment(window.start), "end": moment(window.end)}
    terms = {"metric": metric, "classes": list(classes), "any": of_any_class, **bounds_of}
    rows = connection.execute(
        """
        WITH counted AS (
            SELECT district, class, count(*) AS sources FROM sources
            WHERE metric = %(metric)s AND valid_from < %(end)s AND (valid_to IS NULL OR valid_to > %(start)s)
            GROUP BY district, class
        ), version AS (
            SELECT version FROM area_versions WHERE metric = %(metric)s
            ORDER BY valid_from > %(start)s, abs(extract(epoch FROM valid_from - %(start)s)) LIMIT 1
        )
        SELECT number, classes.class, coalesce(sum(sources), 0)::bigint
        FROM areas JOIN version USING (version) CROSS JOIN unnest(%(classes)s::text[]) AS classes (class)
        LEFT JOIN area_districts ON area = number
        LEFT JOIN counted ON counted.district = area_districts.district
            AND (%(any)s OR counted.class = classes.class)
        GROUP BY number, classes.class ORDER BY number, classes.class
        """,
        terms,
    ).fetchall()
    changes = connection.execute(
        """
        SELECT (SELECT min(valid_from) FROM sources WHERE metric = %(metric)s AND valid_from >= %(end)s),
               (SELECT min(valid_to) FROM sources WHERE metric = %(metric)s AND valid_to > %(start)s),
               (SELECT min(valid_from) FROM area_versions WHERE metric = %(metric)s AND valid_from > %(start)s)
        """,
        terms,
    ).fetchone()
    bounds = (_NEVER if change is None else milliseconds(change) for change in changes or ())
    return Lattice(tuple(LatticeCell(*row) for row in rows), window, *bounds)


def publish(
    connection: Connection, metric: str, window: Window, topic: str, cells: Sequence[PublishedCell], revision: int = 0
) -> Header:
    """Append a publication to the log, in one transaction.

    The counters' rows stay locked until the commit, so positions (over all metrics) and sequences (per metric) have no
    gap, and no reader sees a later publication first. Returns the new publication's header. Raises
    `psycopg.errors.UniqueViolation` if the window has this revision already.
    """
    with connection.transaction():
        position = _value(connection, "UPDATE publication_log SET position = position + 1 RETURNING position")
        sequence = _value(
            connection,
            "INSERT INTO publication_sequences VALUES (%s, 1) ON CONFLICT (metric)"
            " DO UPDATE SET sequence = publication_sequences.sequence + 1 RETURNING sequence",
            metric,
        )
        published_at = _value(
            connection,
            "INSERT INTO publications (position, metric, sequence, window_start, window_end, revision, topic)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING published_at",
            *(position, metric, sequence, moment(window.start), moment(window.end), revision, topic),
        )
        columns: tuple[list[Any], ...] = tuple(
            map(list, zip(*((c.area, c.class_, c.value, c.coverage, c.rule) for c in cells), strict=True))
        ) or ([], [], [], [], [])
        connection.execute(
            "INSERT INTO published_cells SELECT %s, area, class,"
            " CASE WHEN value IS NULL THEN 'suppressed' ELSE 'released' END, value, coverage, rule"
            " FROM unnest(%s::integer[], %s::text[], %s::bigint[], %s::integer[], %s::text[])"
            " AS cells (area, class, value, coverage, rule)",
            (position, *columns),
        )
    return Header(position, metric, sequence, window, revision, milliseconds(published_at))


def new_log(connection: Connection) -> str:
    """Give the log a new id, and return it: after a restore, partners may hold publications that the log has lost."""
    return str(_value(connection, "UPDATE publication_log SET id = gen_random_uuid() RETURNING id"))


def _value(connection: Connection, query: str, *terms: object) -> Any:
    row = connection.execute(query, terms).fetchone()
    return None if row is None else row[0]
