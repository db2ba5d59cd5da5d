"""What a partner published of one metric over time, from the verified copy that is stored here.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the partner's smallest unit.
"""

from collections.abc import Sequence

from psycopg.rows import TupleRow

from store.database import Connection
from store.moments import milliseconds, moment
from store.publication_log import CellColumns
from store.publications import Header, Window

_NO_CELLS = CellColumns((), (), (), (), (), ())


def newest_received(connection: Connection, city: str, metric: str) -> Window | None:
    """The last window of a partner's metric that was received, or None."""
    row = connection.execute(
        "SELECT window_start, window_end FROM partner_publications"
        " WHERE city = %s AND metric = %s AND kind <> 'skip' ORDER BY window_start DESC LIMIT 1",
        (city, metric),
    ).fetchone()
    return None if row is None else Window(milliseconds(row[0]), milliseconds(row[1]))


def partner_series(
    connection: Connection,
    city: str,
    metric: str,
    start: int,
    end: int,
    *,
    area: int | None,
    class_: str | None,
    limit: int,
    most_cells: int,
) -> tuple[list[tuple[Header, CellColumns]], int | None]:
    """The newest revision of each window of a partner's metric that begins in [start, end), ordered by window.

    At most `limit` windows, with at most `most_cells` cells (but at least one window); cells of one area or class, if
    given. Also returns the start of the first window that was left out for that, or None. Positions are 0.
    """
    headers = connection.execute(
        "SELECT DISTINCT ON (window_start) window_start, window_end, revision, sequence, published_at, kind, reason"
        " FROM partner_publications"
        " WHERE city = %s AND metric = %s AND window_start >= %s AND window_start < %s AND kind <> 'skip'"
        " ORDER BY window_start, revision DESC LIMIT %s",
        (city, metric, moment(start), moment(end), limit + 1),
    ).fetchall()
    cells: dict[str, object] = {"city": city, "metric": metric, "area": area, "class": class_}
    kept = _fitting(connection, headers[:limit], cells, most_cells)
    columns = _columns(connection, headers[:kept], cells)
    found = [
        (
            Header(
                *(0, metric, sequence, Window(milliseconds(begin), milliseconds(finish)), revision),
                *(milliseconds(at), kind, reason),
            ),
            columns.get(begin, _NO_CELLS),
        )
        for begin, finish, revision, sequence, at, kind, reason in headers[:kept]
    ]
    return found, milliseconds(headers[kept][0]) if kept < len(headers) else None


def _fitting(connection: Connection, headers: Sequence[TupleRow], cells: dict[str, object], most_cells: int) -> int:
    """How many of these windows, from the first on, have at most so many cells; at least one."""
    sizes: dict[object, int] = dict(
        connection.execute(
            f"SELECT window_start, count(*) {_CELLS} GROUP BY window_start", cells | _revisions(headers)
        ).fetchall()
    )
    total = 0
    for count, header in enumerate(headers):
        total += sizes.get(header[0], 0)
        if count and total > most_cells:
            return count
    return len(headers)


def _columns(
    connection: Connection, headers: Sequence[TupleRow], cells: dict[str, object]
) -> dict[object, CellColumns]:
    """The cells of these windows, by their start."""
    rows = connection.execute(
        "SELECT window_start, array_agg(area ORDER BY area, class), array_agg(class ORDER BY area, class),"
        " array_agg(status ORDER BY area, class), array_agg(value ORDER BY area, class),"
        " array_agg(coverage ORDER BY area, class), array_agg(rule ORDER BY area, class)"
        f" {_CELLS} GROUP BY window_start",
        cells | _revisions(headers),
    )
    return {start: CellColumns(*lists) for start, *lists in rows}


def _revisions(headers: Sequence[TupleRow]) -> dict[str, object]:
    return {"starts": [row[0] for row in headers], "revisions": [row[2] for row in headers]}


_CELLS = """
FROM partner_cells JOIN unnest(%(starts)s::timestamptz[], %(revisions)s::integer[]) AS chosen (window_start, revision)
    USING (window_start, revision)
WHERE city = %(city)s AND metric = %(metric)s
    AND (%(area)s::integer IS NULL OR area = %(area)s) AND (%(class)s::text IS NULL OR class = %(class)s)
"""
