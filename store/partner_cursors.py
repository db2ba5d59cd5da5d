"""How far the chain of a partner, and the bodies of its entries, were read under each agreement. Times are milliseconds
since 1970, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class EntryCursor:
    """How far the entries of an agreement were read, and of which metrics they are."""

    cursor: str | None
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BodyCursor:
    """The sequence up to which the bodies of a metric were read, and the `since` of the grant under which they were."""

    after: int
    since: int


class Conflict(Exception):
    """What came does not continue what is stored; nothing was changed."""


def entry_cursor(connection: Connection, agreement: str) -> EntryCursor:
    """How far the entries of an agreement were read."""
    row = connection.execute("SELECT cursor, metrics FROM entry_cursors WHERE agreement = %s", (agreement,)).fetchone()
    return EntryCursor(None, ()) if row is None else EntryCursor(row[0], tuple(row[1]))


def move_entry_cursor(connection: Connection, agreement: str, before: EntryCursor, following: EntryCursor) -> None:
    """Set how far the entries of an agreement were read. Raises `Conflict` if another process has moved it."""
    moved = connection.execute(
        "INSERT INTO entry_cursors AS known VALUES (%(agreement)s, %(cursor)s, %(metrics)s)"
        " ON CONFLICT (agreement) DO UPDATE SET cursor = excluded.cursor, metrics = excluded.metrics"
        " WHERE known.cursor IS NOT DISTINCT FROM %(before)s AND known.metrics = %(of)s",
        {
            "agreement": agreement,
            "cursor": following.cursor,
            "metrics": list(following.metrics),
            "before": before.cursor,
            "of": list(before.metrics),
        },
    )
    if moved.rowcount != 1:
        raise Conflict("another process has read the entries of this agreement meanwhile")


def body_cursors(connection: Connection, agreement: str) -> Mapping[str, BodyCursor]:
    """Metric -> how far its bodies were read under an agreement."""
    rows = connection.execute("SELECT metric, after, since FROM body_cursors WHERE agreement = %s", (agreement,))
    return {metric: BodyCursor(after, milliseconds(since)) for metric, after, since in rows}


def move_body_cursor(
    connection: Connection, agreement: str, metric: str, before: BodyCursor | None, following: BodyCursor
) -> None:
    """Set how far the bodies of a metric were read. Raises `Conflict` if another process has moved it."""
    if before is None:
        moved = connection.execute(
            "INSERT INTO body_cursors VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (agreement, metric, following.after, moment(following.since)),
        )
    else:
        moved = connection.execute(
            "UPDATE body_cursors SET after = %s, since = %s"
            " WHERE agreement = %s AND metric = %s AND after = %s AND since = %s",
            (following.after, moment(following.since), agreement, metric, before.after, moment(before.since)),
        )
    if moved.rowcount != 1:
        raise Conflict(f"another process has read the bodies of {metric} meanwhile")


def read_again(connection: Connection, thumbprint: str) -> None:
    """Let the entries of every agreement with a city be read from the beginning of what it gives."""
    connection.execute(
        "UPDATE entry_cursors SET cursor = NULL, metrics = '{}'"
        " WHERE agreement IN (SELECT id FROM agreements WHERE partner = %s)",
        (thumbprint,),
    )
