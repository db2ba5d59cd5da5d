"""Publishing: the cells of a window, and publications appended to their gap-free log.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the metric's smallest unit. Connections are those
of `store.database.connect`. Publications are read in `store.publication_log`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

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


Status = Literal["released", "suppressed", "incomplete", "withdrawn"]
Kind = Literal["publication", "correction", "withdrawal", "skip", "lost"]
"""What an entry of the log is. `lost`: the ledger says that it was published, and its contents are gone (a restore);
`skip`: windows that may have been published before the ledger was lost, and never are again."""


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A cell as it is published. Only a released cell has value and coverage: high, medium or low.

    An `incomplete` one belongs to a window that lacks readings, or whose readings were not all processed in time. A
    `withdrawn` one was taken back, whatever it showed.
    """

    area: int
    class_: str
    value: int | None
    coverage: str | None
    rule: str
    incomplete: bool = False
    withdrawn: bool = False

    @property
    def status(self) -> Status:
        """What the cell shows to partners."""
        if self.withdrawn:
            return "withdrawn"
        if self.incomplete:
            return "incomplete"
        return "suppressed" if self.value is None else "released"


@dataclass(frozen=True, slots=True)
class Header:
    """A publication without its cells: position in the log, number in its metric's sequence, window, revision.

    `published_at` is when it was due, not the moment at which it left. `reason`: why a withdrawal was made, in words.
    """

    position: int
    metric: str
    sequence: int
    window: Window
    revision: int
    published_at: int
    kind: Kind = "publication"
    reason: str | None = None


class OutOfTurn(Exception):
    """The position or the sequence is not the next one: someone else has published meanwhile."""


@contextmanager
def publisher_lock(connection: Connection, *, wait: bool = False) -> Iterator[bool]:
    """Try to take the lock of the one publisher of this database; yields whether this connection holds it.

    With `wait`, wait until whoever has it pauses; psycopg's `LockNotAvailable` is raised after a minute.

    The lock ends with the context, or with the connection.
    """
    taking = "SELECT true FROM pg_advisory_lock(%s)" if wait else "SELECT pg_try_advisory_lock(%s)"
    held = bool(_value(connection, taking, _PUBLISHER_LOCK))
    try:
        yield held
    finally:
        if held and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_PUBLISHER_LOCK,))


def has_sources(connection: Connection, metric: str) -> bool:
    """Whether any source of a metric is registered, or ever was."""
    return bool(_value(connection, "SELECT EXISTS (SELECT FROM sources WHERE metric = %s)", metric))


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


def next_numbers(connection: Connection, metric: str) -> tuple[int, int]:
    """The next position in the log, and the next number in the metric's sequence."""
    row = connection.execute(
        "SELECT position + 1, coalesce((SELECT sequence FROM publication_sequences WHERE metric = %s), 0) + 1"
        " FROM publication_log",
        (metric,),
    ).fetchone()
    if row is None:
        raise LookupError("publication_log has no row: the database was not migrated, or the table was emptied")
    return int(row[0]), int(row[1])


def append(
    connection: Connection,
    header: Header,
    topic: str,
    cells: Sequence[PublishedCell],
    *,
    left_at: int,
    entry: bytes | None = None,
    body: bytes | None = None,
    body_hash: str | None = None,
) -> None:
    """Append a publication to the log, in one transaction; its position and sequence must be the next ones.

    `body_hash` is the entry's, and stays when the body is erased or was lost. Only a skip may leave numbers out. The
    counters' rows stay locked until the commit, so no reader sees a later publication first. A withdrawal erases every
    revision of its window. Raises `OutOfTurn`, and `psycopg.errors.UniqueViolation` if the window has this revision
    already.
    """
    with connection.transaction():
        _move(connection, header)
        connection.execute(
            "INSERT INTO publications (position, metric, sequence, window_start, window_end, revision, topic,"
            " published_at, left_at, kind, reason, whole, entry, body, body_hash)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(header.position, header.metric, header.sequence),
                *(moment(header.window.start), moment(header.window.end), header.revision, topic),
                *(moment(header.published_at), moment(left_at), header.kind, header.reason),
                *(not any(cell.incomplete for cell in cells), entry, body, body_hash),
            ),
        )
        insert_cells(connection, header.position, cells)
        if header.kind == "withdrawal":
            erase(connection, header.metric, header.window)


def insert_cells(connection: Connection, position: int, cells: Sequence[PublishedCell]) -> None:
    """Insert the cells of the publication at a position of the log; to be called in a transaction."""
    columns: tuple[list[Any], ...] = tuple(
        map(list, zip(*((c.area, c.class_, c.status, c.value, c.coverage, c.rule) for c in cells), strict=True))
    ) or ([], [], [], [], [], [])
    connection.execute(
        "INSERT INTO published_cells SELECT %s, area, class, status, value, coverage, rule"
        " FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])"
        " AS cells (area, class, status, value, coverage, rule)",
        (position, *columns),
    )


def erase(connection: Connection, metric: str, window: Window) -> None:
    """Erase the values and the bodies of every revision of a window; to be called in a transaction."""
    connection.execute(
        "UPDATE published_cells SET status = 'withdrawn', value = NULL, coverage = NULL FROM publications"
        " WHERE publications.position = published_cells.position AND metric = %s AND window_start = %s",
        (metric, moment(window.start)),
    )
    connection.execute(
        "UPDATE publications SET body = NULL WHERE metric = %s AND window_start = %s AND kind <> 'withdrawal'",
        (metric, moment(window.start)),
    )


def _move(connection: Connection, header: Header) -> None:
    """Set the counters to a publication's numbers."""
    skips = header.kind == "skip"
    moved = connection.execute(
        "UPDATE publication_log SET position = %(now)s"
        " WHERE position = %(now)s - 1 OR (%(skips)s AND position < %(now)s)",
        {"now": header.position, "skips": skips},
    )
    counted = connection.execute(
        "INSERT INTO publication_sequences AS known VALUES (%(metric)s, %(now)s) ON CONFLICT (metric)"
        " DO UPDATE SET sequence = excluded.sequence"
        " WHERE known.sequence = %(now)s - 1 OR (%(skips)s AND known.sequence < %(now)s)",
        {"metric": header.metric, "now": header.sequence, "skips": skips},
    )
    if moved.rowcount != 1 or counted.rowcount != 1:
        raise OutOfTurn(f"publication {header.position}, {header.metric} {header.sequence}, is not the next one")


def _value(connection: Connection, query: str, *terms: object) -> Any:
    row = connection.execute(query, terms).fetchone()
    return None if row is None else row[0]
