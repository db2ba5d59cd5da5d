"""Everything that is in the log of publications, for tests that compare it with what was to be published."""

from store.database import Connection
from store.moments import milliseconds
from store.publication_log import CellColumns
from store.publications import Header, Window

_COLUMNS = ("area", "class", "status", "value", "coverage", "rule")


def published_log(connection: Connection) -> list[tuple[Header, CellColumns]]:
    """Each publication in the order of its position, with its cells in that of area and class."""
    cells = ", ".join(
        f"array(SELECT {column} FROM published_cells AS cell WHERE cell.position = made.position ORDER BY area, class)"
        for column in _COLUMNS
    )
    rows = connection.execute(
        "SELECT position, metric, sequence, window_start, window_end, revision, published_at, kind, reason,"
        f" {cells} FROM publications AS made ORDER BY position"
    ).fetchall()
    found = []
    for position, metric, sequence, start, end, revision, at, kind, reason, *columns in rows:
        window = Window(milliseconds(start), milliseconds(end))
        header = Header(position, metric, sequence, window, revision, milliseconds(at), kind, reason)
        found.append((header, CellColumns(*columns)))
    return found
