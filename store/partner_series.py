"""What a partner published of one metric over time, from the verified copy that is stored here.

Times are milliseconds since 1970, UTC. Amounts are whole numbers of the partner's smallest unit.
"""

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
    terms: dict[str, object] = {"city": city, "metric": metric, "area": area, "class": class_}
    terms |= {"starts": [row[0] for row in headers[:limit]], "revisions": [row[2] for row in headers[:limit]]}
    sizes: dict[object, int] = dict(
        connection.execute(f"SELECT window_start, count(*) {_CELLS} GROUP BY window_start", terms).fetchall()
    )
    kept, total = 0, 0
    for header in headers[:limit]:
        total += sizes.get(header[0], 0)
        if kept and total > most_cells:
            break
        kept += 1
    terms |= {"starts": [row[0] for row in headers[:kept]], "revisions": [row[2] for row in headers[:kept]]}
    columns = {
        at: CellColumns(*lists)
        for at, *lists in connection.execute(
            "SELECT window_start, array_agg(area ORDER BY area, class), array_agg(class ORDER BY area, class),"
            " array_agg(status ORDER BY area, class), array_agg(value ORDER BY area, class),"
            " array_agg(coverage ORDER BY area, class), array_agg(rule ORDER BY area, class)"
            f" {_CELLS} GROUP BY window_start",
            terms,
        )
    }
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


_CELLS = """
FROM partner_cells JOIN unnest(%(starts)s::timestamptz[], %(revisions)s::integer[]) AS chosen (window_start, revision)
    USING (window_start, revision)
WHERE city = %(city)s AND metric = %(metric)s
    AND (%(area)s::integer IS NULL OR area = %(area)s) AND (%(class)s::text IS NULL OR class = %(class)s)
"""
