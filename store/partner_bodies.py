"""Bodies of partners, as they came and by column, and the figures that are read from them.

Whoever stores a body has verified it: its SHA-256 is in an entry that is stored. Times are ms since 1970, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from psycopg import sql

from store.database import Connection
from store.moments import moment
from store.partner_cursors import BodyCursor, Conflict, move_body_cursor
from store.partner_entries import ReceivedEntry
from store.partner_figures import count_windows, define
from store.publication_log import CellColumns

_SKIP = -1
"""A skip is of many windows: kept under a revision of its own, it hides none of theirs."""


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """A body: the entry that names it, its bytes, why it was withdrawn (or None), and its cells."""

    entry: ReceivedEntry
    content: bytes
    reason: str | None
    cells: CellColumns


def store_bodies(
    connection: Connection,
    agreement: str,
    thumbprint: str,
    city: str,
    metric: str,
    *,
    before: BodyCursor | None,
    following: BodyCursor,
    bodies: Sequence[ReceivedBody],
    defined: tuple[str, Mapping[str, object]] | None = None,
    kept_from: int = 0,
) -> int:
    """Store bodies of one metric with their figures, and move the cursor; in one transaction.

    `defined` is the hash and the content (JSON) of the metric's newest catalogue.
    Left out are those that are there already, those of windows that have been withdrawn since, and those of windows
    that ended at `kept_from` or before, since they may be kept no longer. Returns how many were new. Raises `Conflict`
    if another process has moved the cursor, or if a window has this revision already.
    """
    with connection.transaction():
        move_body_cursor(connection, agreement, metric, before, following)
        if defined is not None:
            define(connection, city, *defined)
        young = [body for body in bodies if body.entry.window.end > kept_from]
        new = _new(connection, thumbprint, metric, young)
        if new:
            _check_revisions(connection, city, metric, new)
            _copy(connection, thumbprint, city, metric, new)
            count_windows(
                connection, city, {(metric, body.entry.window.start) for body in new if body.entry.kind != "skip"}
            )
    return len(new)


def _new(connection: Connection, thumbprint: str, metric: str, bodies: Sequence[ReceivedBody]) -> list[ReceivedBody]:
    """Those of the bodies that are neither stored nor withdrawn. The entries stay as they are until the commit."""
    rows = connection.execute(
        "SELECT sequence FROM partner_entries AS entry WHERE thumbprint = %(thumbprint)s AND metric = %(metric)s"
        " AND sequence = ANY(%(sequences)s)"
        " AND NOT EXISTS (SELECT FROM partner_bodies AS body WHERE body.thumbprint = entry.thumbprint"
        "  AND body.metric = entry.metric AND body.sequence = entry.sequence)"
        " AND (kind IN ('withdrawal', 'skip') OR NOT EXISTS (SELECT FROM partner_entries AS later"
        "  WHERE later.thumbprint = entry.thumbprint AND later.metric = entry.metric"
        "  AND later.window_start = entry.window_start AND later.kind = 'withdrawal'))"
        " FOR SHARE",
        {"thumbprint": thumbprint, "metric": metric, "sequences": [body.entry.sequence for body in bodies]},
    )
    wanted = {row[0] for row in rows}
    return [body for body in bodies if body.entry.sequence in wanted]


def _revision(entry: ReceivedEntry) -> int:
    return _SKIP if entry.kind == "skip" else entry.revision


def _check_revisions(connection: Connection, city: str, metric: str, bodies: Sequence[ReceivedBody]) -> None:
    """Make room for skips and withdrawals, which may come again; every other revision of a window comes once."""
    again = [body.entry for body in bodies if body.entry.kind in ("skip", "withdrawal")]
    once = [body.entry for body in bodies if body.entry.kind not in ("skip", "withdrawal")]
    keys = [(entry.window.start, _revision(entry)) for entry in once]
    for entry in again:
        terms = (city, metric, moment(entry.window.start), _revision(entry))
        for table in ("partner_cells", "partner_publications"):
            connection.execute(
                f"DELETE FROM {table} WHERE city = %s AND metric = %s AND window_start = %s AND revision = %s", terms
            )
    twice = connection.execute(
        "SELECT 1 FROM partner_publications JOIN unnest(%s::timestamptz[], %s::integer[]) AS wanted (start, number)"
        " ON window_start = start AND revision = number WHERE city = %s AND metric = %s",
        ([moment(start) for start, _ in keys], [number for _, number in keys], city, metric),
    ).fetchone()
    if twice or len(set(keys)) != len(keys):
        raise Conflict(f"{metric} has a window of one revision twice")


def _copy(connection: Connection, thumbprint: str, city: str, metric: str, bodies: Sequence[ReceivedBody]) -> None:
    with connection.cursor() as cursor:
        kept: tuple[str, ...] = ("thumbprint", "metric", "sequence", "hash", "body", "window_end")
        with cursor.copy(_into("partner_bodies", *kept)) as copy:
            for body in bodies:
                place = (thumbprint, metric, body.entry.sequence)
                copy.write_row((*place, body.entry.body, body.content, moment(body.entry.window.end)))
        columns = ("city", "metric", "window_start", "window_end", "revision", "sequence", "published_at", "kind")
        with cursor.copy(_into("partner_publications", *columns, "reason")) as copy:
            for body in bodies:
                entry = body.entry
                start, end, published_at = map(moment, (entry.window.start, entry.window.end, entry.published_at))
                numbers = (start, end, _revision(entry), entry.sequence, published_at)
                copy.write_row((city, metric, *numbers, entry.kind, body.reason))
        columns = ("city", "metric", "window_start", "revision", "area", "class", "status", "value")
        with cursor.copy(_into("partner_cells", *columns, "coverage", "rule")) as copy:
            for body in bodies:
                cells = body.cells
                key = (city, metric, moment(body.entry.window.start), _revision(body.entry))
                lists = (cells.area, cells.class_, cells.status, cells.value, cells.coverage, cells.rule)
                for row in zip(*map(repeat, key), *lists, strict=False):
                    copy.write_row(row)


def _into(table: str, *columns: str) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
