"""The city's own cells, nothing suppressed: the operator's view, which never leaves the city (P2)."""

from collections.abc import Iterator

from store.database import Connection
from store.moments import milliseconds, moment
from store.processing import Amounts, Cell


def cells_between(connection: Connection, metric: str, start: int, end: int) -> Iterator[tuple[str, str, Cell]]:
    """(topic, name of the area, cell) of the metric's windows that begin in [start, end), ordered by window.

    `start` and `end` are milliseconds since 1970, UTC. The area's name is empty if the area is not stored.
    """
    rows = connection.execute(
        """
        SELECT topic, coalesce(areas.name, ''), metric, window_start, window_end, area, class, value, readings,
               contributors, largest, absolute, covered_ms, first_offset, last_offset, incomplete
        FROM cells LEFT JOIN areas ON areas.number = area
        WHERE metric = %s AND window_start >= %s AND window_start < %s
        ORDER BY window_start, area, class, topic
        """,
        (metric, moment(start), moment(end)),
    )
    for topic, name, of, begins, ends, area, class_, *amounts, incomplete in rows:
        window = milliseconds(begins), milliseconds(ends)
        yield topic, name, Cell(of, *window, area, class_, Amounts(*amounts), incomplete)
