"""Heads that were seen, of partners and of our own city as partners saw it; and contradictions.

Times are milliseconds since 1970, UTC. Whoever stores a head has verified its signature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import TupleRow

from store.database import Connection
from store.moments import milliseconds, moment

_KEPT = 200
"""Heads of one city that are kept, the newest. A story that forks is found by entries, which are all kept."""


@dataclass(frozen=True, slots=True)
class ReceivedHead:
    """A head that was seen. `hash` is the SHA-256 of its payload; `seen_by` the identity that showed it."""

    thumbprint: str
    number: int
    hash: str
    seen_by: str
    document: str
    log: str
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two stories of one city, with both signed heads and the entries (JSON Lines) that lead to the second.

    An empty `metric` is the whole city. `seen_by` is the identity that showed the second head.
    """

    thumbprint: str
    metric: str
    reason: str
    sequence: int | None
    first: str
    second: str
    lines: bytes
    seen_by: str


def keep_head(connection: Connection, head: ReceivedHead) -> None:
    """Keep a head, if it was not seen before, and the newest of its city.

    One that somebody else has shown becomes the city's own word when the city gives it. The newest that the city itself
    has given stays, however many others show, and so do those that cover what is stored of a metric.
    """
    kept = connection.execute(
        "INSERT INTO partner_heads AS known (thumbprint, number, hash, seen_by, document, log, issued_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (thumbprint, number, hash)"
        " DO UPDATE SET seen_by = excluded.seen_by, document = excluded.document"
        " WHERE excluded.seen_by = known.thumbprint AND known.seen_by <> known.thumbprint",
        (
            *(head.thumbprint, head.number, head.hash, head.seen_by, head.document, head.log),
            *(moment(head.issued_at), moment(head.expires_at)),
        ),
    )
    if kept.rowcount:
        connection.execute(
            "DELETE FROM partner_heads WHERE thumbprint = %(city)s AND number < ("
            " SELECT min(number) FROM (SELECT number FROM partner_heads WHERE thumbprint = %(city)s"
            " ORDER BY number DESC LIMIT %(kept)s) AS newest)"
            " AND number IS DISTINCT FROM (SELECT max(number) FROM partner_heads"
            " WHERE thumbprint = %(city)s AND seen_by = %(city)s)"
            " AND hash NOT IN (SELECT head FROM entry_ends WHERE thumbprint = %(city)s AND head IS NOT NULL)",
            {"city": head.thumbprint, "kept": _KEPT},
        )


def drop_head(connection: Connection, head: ReceivedHead) -> None:
    """Remove a head that proves nothing any more."""
    connection.execute(
        "DELETE FROM partner_heads WHERE thumbprint = %s AND number = %s AND hash = %s",
        (head.thumbprint, head.number, head.hash),
    )


def newest_head(connection: Connection, thumbprint: str, seen_by: str | None = None) -> ReceivedHead | None:
    """The head of a city with the highest number, of those that everyone or `seen_by` has shown."""
    row = connection.execute(
        f"SELECT {_HEAD} FROM partner_heads WHERE thumbprint = %s AND coalesce(seen_by = %s::text, true)"
        " ORDER BY number DESC, seen_at DESC LIMIT 1",
        (thumbprint, seen_by),
    ).fetchone()
    return None if row is None else _head(row)


def heads_of(connection: Connection, thumbprint: str) -> list[ReceivedHead]:
    """The heads of a city that are kept, whoever has shown them, the highest number first."""
    rows = connection.execute(
        f"SELECT {_HEAD} FROM partner_heads WHERE thumbprint = %s ORDER BY number DESC, seen_at DESC", (thumbprint,)
    )
    return [_head(row) for row in rows]


def heads_numbered(connection: Connection, thumbprint: str, number: int) -> list[ReceivedHead]:
    """The heads of a city with this number: more than one if it has told two stories."""
    rows = connection.execute(
        f"SELECT {_HEAD} FROM partner_heads WHERE thumbprint = %s AND number = %s ORDER BY seen_at",
        (thumbprint, number),
    )
    return [_head(row) for row in rows]


def record_contradiction(connection: Connection, found: Contradiction) -> None:
    """Keep the first contradiction of a city's metric, or the first since one was settled."""
    connection.execute(
        "INSERT INTO contradictions (thumbprint, metric, reason, sequence, first, second, lines, seen_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            *(found.thumbprint, found.metric, found.reason, found.sequence),
            *(found.first, found.second, found.lines, found.seen_by),
        ),
    )


def contradictions(connection: Connection) -> Sequence[Contradiction]:
    """Every contradiction that was found, the oldest first."""
    rows = connection.execute(
        "SELECT thumbprint, metric, reason, sequence, first, second, lines, seen_by FROM contradictions"
        " ORDER BY found_at, thumbprint, metric"
    )
    return [Contradiction(*row) for row in rows]


def contradicted(connection: Connection, thumbprint: str) -> frozenset[str]:
    """The metrics in which a city contradicted itself, and nobody has settled it; an empty one is the whole city."""
    rows = connection.execute(
        "SELECT metric FROM contradictions WHERE thumbprint = %s AND settled_at IS NULL", (thumbprint,)
    )
    return frozenset(str(row[0]) for row in rows)


_HEAD = "thumbprint, number, hash, seen_by, document, log, issued_at, expires_at"


def _head(row: TupleRow) -> ReceivedHead:
    *columns, issued_at, expires_at = row
    return ReceivedHead(*(*columns, milliseconds(issued_at), milliseconds(expires_at)))
