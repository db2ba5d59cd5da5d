"""Signed heads of our own chains. Times are milliseconds since 1970, UTC."""

from collections.abc import Iterator
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class StoredHead:
    """A head as it was signed: `document` is the compact JWS. `audit` is what its `audit` is the hash of
    (`store.audit.all_audit_heads`), None if there was no audit line yet.
    """

    number: int
    issued_at: int
    expires_at: int
    document: str
    audit: bytes | None = None


_KEPT = 1000
"""Heads that are kept, the newest. Partners keep those that they have seen."""

_COLUMNS = "number, issued_at, expires_at, document, audit"


def save_head(connection: Connection, head: StoredHead) -> None:
    """Keep a head, and the newest ones. Raises `psycopg.errors.UniqueViolation` if there is one of its number."""
    connection.execute(
        f"INSERT INTO heads ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s)",
        (head.number, moment(head.issued_at), moment(head.expires_at), head.document, head.audit),
    )
    connection.execute(
        "DELETE FROM heads WHERE number <= (SELECT number FROM heads ORDER BY number DESC OFFSET %s LIMIT 1)", (_KEPT,)
    )


def newest_head(connection: Connection) -> StoredHead | None:
    """The head with the highest number."""
    return next(_heads(connection, "ORDER BY number DESC LIMIT 1"), None)


def heads(connection: Connection) -> Iterator[StoredHead]:
    """Every head, in the order of their numbers."""
    return _heads(connection, "ORDER BY number")


def left_after(connection: Connection, position: int, before: int) -> int:
    """How many publications with an entry have a higher position, and left before this time."""
    row = connection.execute(
        "SELECT count(*) FROM publications WHERE position > %s AND left_at <= %s AND entry IS NOT NULL",
        (position, moment(before)),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _heads(connection: Connection, order: str) -> Iterator[StoredHead]:
    for number, issued, expires, document, audit in connection.execute(f"SELECT {_COLUMNS} FROM heads {order}"):
        yield StoredHead(number, milliseconds(issued), milliseconds(expires), document, audit)
