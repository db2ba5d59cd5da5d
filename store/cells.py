"""The city's own cells, with nothing suppressed. Only values that pass a disclosure rule leave the city (P2)."""

from collections.abc import Iterator
from typing import Any

from store.database import Connection
from store.moments import milliseconds, moment
from store.processing import Amounts, Cell

_COLUMNS = (
    "metric, window_start, window_end, area, class, value, readings, contributors, largest, absolute, covered_ms,"
    " first_offset, last_offset, incomplete"
)


def cells_between(connection: Connection, metric: str, start: int, end: int) -> Iterator[tuple[str, str, Cell]]:
    """(topic, name of the area, cell) of the metric's windows that begin in [start, end), ordered by window.

    `start` and `end` are milliseconds since 1970, UTC. The area's name is empty if the area is not stored.
    """
    rows = connection.execute(
        f"""
        SELECT topic, coalesce(areas.name, ''), {_COLUMNS}
        FROM cells LEFT JOIN areas ON areas.number = area
        WHERE metric = %s AND window_start >= %s AND window_start < %s
        ORDER BY window_start, area, class, topic
        """,
        (metric, moment(start), moment(end)),
    )
    for topic, name, *columns in rows:
        yield topic, name, _cell(*columns)


def cells_of_window(connection: Connection, topic: str, metric: str, start: int) -> list[Cell]:
    """The cells of the metric's window that begins at `start` (milliseconds since 1970, UTC), in no order.

    They are those that the processor of `topic` reduced.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM cells WHERE topic = %s AND metric = %s AND window_start = %s",
        (topic, metric, moment(start)),
    )
    return [_cell(*columns) for columns in rows]


def _cell(metric: str, start: Any, end: Any, area: int, class_: str, *columns: Any) -> Cell:
    *amounts, incomplete = columns
    return Cell(metric, milliseconds(start), milliseconds(end), area, class_, Amounts(*amounts), incomplete)
