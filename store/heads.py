"""Signed heads of our own chains. Times are milliseconds since 1970, UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from store.database import Connection
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class StoredHead:
    """A head as it was signed: `document` is the compact JWS."""

    number: int
    issued_at: int
    expires_at: int
    document: str


_KEPT = 1000
"""Heads that are kept, the newest. Partners keep those that they have seen."""

_COLUMNS = "number, issued_at, expires_at, document"


def save_head(connection: Connection, head: StoredHead) -> None:
    """Keep a head, and the newest ones. Raises `psycopg.errors.UniqueViolation` if there is one of its number."""
    connection.execute(
        f"INSERT INTO heads ({_COLUMNS}) VALUES (%s, %s, %s, %s)",
        (head.number, moment(head.issued_at), moment(head.expires_at), head.document),
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


def audit_heads_hash(connection: Connection) -> str | None:
    """The SHA-256 over the heads of all audit chains as they are now; None if there is none."""
    rows = connection.execute(
        """
        SELECT id, last.sequence, encode(sha256(last.line), 'hex')
        FROM (SELECT DISTINCT id FROM agreements) AS agreed
        CROSS JOIN LATERAL (
            SELECT sequence, line FROM audit WHERE agreement = agreed.id ORDER BY sequence DESC LIMIT 1) AS last
        """
    ).fetchall()
    lines = sorted(f"{agreement} {sequence} {hash_}\n" for agreement, sequence, hash_ in rows)
    return sha256("".join(lines).encode()).hexdigest() if lines else None


def _heads(connection: Connection, order: str) -> Iterator[StoredHead]:
    for number, issued, expires, document in connection.execute(f"SELECT {_COLUMNS} FROM heads {order}"):
        yield StoredHead(number, milliseconds(issued), milliseconds(expires), document)
