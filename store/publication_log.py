"""Reading what was published: the log in order, a metric's series, its areas, and totals to compare cities by.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the metric's smallest unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool

from store.database import Connection, DatabaseUrl
from store.moments import milliseconds, moment
from store.publications import Header, Window

_STATEMENT_LIMIT_MS = 30_000
_ALL_CELLS = 2**62


@dataclass(frozen=True, slots=True)
class CellColumns:
    """A publication's cells by column, all of one length, ordered by area and class.

    Only released cells have value and coverage.
    """

    area: Sequence[int]
    class_: Sequence[str]
    status: Sequence[str]
    value: Sequence[int | None]
    coverage: Sequence[str | None]
    rule: Sequence[str]


_NO_CELLS = CellColumns((), (), (), (), (), ())


@dataclass(frozen=True, slots=True)
class LogState:
    """UUID of the publication log, which no restore changes, and the position of the newest publication."""

    id: str
    head: int


@dataclass(frozen=True, slots=True)
class PublishedArea:
    """An area of a metric, and when its version begins (ms since 1970, UTC)."""

    number: int
    name: str
    population: int
    valid_from: int


@dataclass(frozen=True, slots=True)
class PublicationScope:
    """Which publications and cells a query sees: relations with the columns of the tables, and the terms in them."""

    publications: str = "publications"
    cells: str = "published_cells"
    terms: Mapping[str, object] = field(default_factory=dict)


EVERYTHING = PublicationScope()


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """One class of one window, summed over its areas: the released values, and numbers of cells and of people.

    `released` cells of `cells` have a value; `released_population` of `population` people live in their areas.
    `weighted` is the sum of each released value times the population of its area; `withdrawn` counts cells.
    """

    metric: str
    class_: str
    window: Window
    value: int
    released: int
    cells: int
    released_population: int
    population: int
    weighted: int
    withdrawn: int = 0


def snapshots(database_url: DatabaseUrl, *, most: int, wait_s: float) -> ConnectionPool[Connection]:
    """A pool, not yet open: each `with pool.connection()` sees one state of the database and can't write.

    At most `most` connections. `psycopg.OperationalError` is raised if none is free within `wait_s` seconds, and if a
    statement takes more than 30 s.
    """

    def configure(connection: Connection) -> None:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True

    return ConnectionPool(
        database_url,
        open=False,
        min_size=1,
        max_size=most,
        timeout=wait_s,
        configure=configure,
        check=ConnectionPool.check_connection,
        kwargs={
            "application_name": "sistercity api",
            "connect_timeout": 5,
            "options": f"-c timezone=UTC -c statement_timeout={_STATEMENT_LIMIT_MS}",
        },
        name="sistercity api",
    )


def log_state(connection: Connection) -> LogState:
    """The log's id and its newest position (0 while it is empty). Raises `LookupError` if the log has no row."""
    row = connection.execute("SELECT id::text, position FROM publication_log").fetchone()
    if row is None:
        raise LookupError("publication_log has no row: the database was not migrated, or the table was emptied")
    return LogState(*row)


def published_areas(connection: Connection) -> Mapping[str, list[PublishedArea]]:
    """Metric -> its areas of all versions, in order of their numbers."""
    found: dict[str, list[PublishedArea]] = {}
    for metric, number, name, population, valid_from in connection.execute(
        "SELECT metric, number, name, population, valid_from FROM areas JOIN area_versions USING (version)"
        " ORDER BY metric, number"
    ):
        found.setdefault(metric, []).append(PublishedArea(number, name, population, milliseconds(valid_from)))
    return found


def areas_stamp(connection: Connection) -> str:
    """A text that changes whenever areas are added or removed."""
    query = "SELECT count(*) || '-' || coalesce(max(number), 0) || '-' || coalesce(sum(population), 0) FROM areas"
    row = connection.execute(query).fetchone()
    return "" if row is None else str(row[0])


def series(
    connection: Connection,
    metric: str,
    start: int,
    end: int,
    *,
    area: int | None,
    class_: str | None,
    limit: int,
    most_cells: int,
    scope: PublicationScope = EVERYTHING,
) -> tuple[list[tuple[Header, CellColumns]], int | None]:
    """The latest revision of each window of a metric that begins in [start, end), ordered by window.

    At most `limit` windows, with at most `most_cells` cells (but at least one window); cells of one area or class, if
    given. Also returns the start of the first window that was left out for that, or None.
    """
    headers = _headers(
        connection,
        f"SELECT DISTINCT ON (window_start) {_HEADER} FROM {scope.publications}"
        " WHERE metric = %(metric)s AND window_start >= %(start)s AND window_start < %(end)s AND kind <> 'skip'"
        " ORDER BY window_start, sequence DESC LIMIT %(limit)s",
        {"metric": metric, "start": moment(start), "end": moment(end), "limit": limit + 1, **scope.terms},
    )
    found = _with_cells(connection, headers[:limit], most_cells, area, class_, scope)
    return found, headers[len(found)].window.start if len(found) < len(headers) else None


def window_entries(connection: Connection, metric: str, start: int) -> list[tuple[Header, CellColumns]]:
    """All that was published of a metric's window that begins at `start`, in order. Without what skips it."""
    headers = _headers(
        connection,
        f"SELECT {_HEADER} FROM publications WHERE metric = %(metric)s AND window_start = %(start)s AND kind <> 'skip'"
        " ORDER BY sequence",
        {"metric": metric, "start": moment(start)},
    )
    return _with_cells(connection, headers, _ALL_CELLS)


def topic_of(connection: Connection, position: int) -> str:
    """The topic of the publication at a position of the log. Raises `LookupError` if there is none."""
    row = connection.execute("SELECT topic FROM publications WHERE position = %s", (position,)).fetchone()
    if row is None:
        raise LookupError(f"there is no publication {position}")
    return str(row[0])


def newest_window(connection: Connection, metric: str, scope: PublicationScope = EVERYTHING) -> Window | None:
    """The last window of a metric that has been published, or None."""
    row = connection.execute(
        f"SELECT window_start, window_end FROM {scope.publications} WHERE metric = %(metric)s AND kind <> 'skip'"
        " ORDER BY window_start DESC LIMIT 1",
        {"metric": metric, **scope.terms},
    ).fetchone()
    return None if row is None else Window(milliseconds(row[0]), milliseconds(row[1]))


def window_totals(connection: Connection, metric: str, last_ms: int) -> list[WindowTotal]:
    """Totals of each class in the windows that ended in the last `last_ms` before the newest published window's end."""
    rows = connection.execute(
        """
        WITH latest AS (
            SELECT DISTINCT ON (window_start) position, window_start, window_end FROM publications
            WHERE metric = %(metric)s AND kind <> 'skip' AND window_end > (
                SELECT max(window_end) - %(last)s * interval '1 millisecond'
                FROM publications WHERE metric = %(metric)s AND kind <> 'skip')
            ORDER BY window_start, sequence DESC
        )
        SELECT class, window_start, window_end, coalesce(sum(value), 0), count(value), count(*),
               coalesce(sum(population) FILTER (WHERE value IS NOT NULL), 0), sum(population),
               coalesce(sum(value::numeric * population), 0), count(*) FILTER (WHERE status = 'withdrawn')
        FROM latest JOIN published_cells USING (position) JOIN areas ON number = area
        GROUP BY class, window_start, window_end ORDER BY class, window_start
        """,
        {"metric": metric, "last": last_ms},
    )
    return [
        WindowTotal(metric, class_, Window(milliseconds(start), milliseconds(end)), *map(int, numbers))
        for class_, start, end, *numbers in rows
    ]


_HEADER = "position, metric, sequence, window_start, window_end, revision, published_at, kind, reason"


def _headers(connection: Connection, query: str, terms: Mapping[str, object]) -> list[Header]:
    return [
        Header(
            *(position, metric, sequence, Window(milliseconds(start), milliseconds(end)), revision),
            *(milliseconds(at), kind, reason),
        )
        for position, metric, sequence, start, end, revision, at, kind, reason in connection.execute(query, terms)
    ]


def _with_cells(
    connection: Connection,
    headers: list[Header],
    most_cells: int,
    area: int | None = None,
    class_: str | None = None,
    scope: PublicationScope = EVERYTHING,
) -> list[tuple[Header, CellColumns]]:
    chosen = "position = ANY(%(positions)s)"
    chosen += " AND area = %(area)s" if area is not None else ""
    chosen += " AND class = %(class)s" if class_ is not None else ""
    positions = [header.position for header in headers]
    terms: dict[str, object] = {"positions": positions, "area": area, "class": class_, **scope.terms}
    counted = f"SELECT position, count(*) FROM {scope.cells} WHERE {chosen} GROUP BY position"
    sizes: dict[int, int] = dict(connection.execute(counted, terms).fetchall())
    kept, total = 0, 0
    for header in headers:
        total += sizes.get(header.position, 0)
        if kept and total > most_cells:
            break
        kept += 1
    terms["positions"] = [header.position for header in headers[:kept]]
    rows = connection.execute(
        "SELECT position, array_agg(area ORDER BY area, class), array_agg(class ORDER BY area, class),"
        " array_agg(status ORDER BY area, class), array_agg(value ORDER BY area, class),"
        " array_agg(coverage ORDER BY area, class),"
        f" array_agg(rule ORDER BY area, class) FROM {scope.cells} WHERE {chosen} GROUP BY position",
        terms,
    )
    columns = {position: CellColumns(*lists) for position, *lists in rows}
    return [(header, columns.get(header.position, _NO_CELLS)) for header in headers[:kept]]
