"""The audit: for each agreement a chain of lines, which say what was given. Lines are only ever added."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from psycopg.errors import UniqueViolation

from store.database import AsyncConnection, Connection
from store.moments import milliseconds, moment

_ROWS_AT_ONCE = 1000


class AuditMoved(Exception):
    """Another process has continued one of these chains meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of a chain: the sequence of its last line, and the SHA-256 of that line in hex."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A line as it is stored, with what the table says of it beside. `at` in ms since 1970, UTC."""

    agreement: str
    sequence: int
    at: int
    line: bytes


async def append_audit(connection: AsyncConnection, rows: Sequence[AuditRow]) -> None:
    """Add these lines, all or none, in one statement. Raises `AuditMoved` if one of their sequences is taken."""
    # In one order, so that two processes wait for each other in one direction only.
    ordered = sorted(rows, key=lambda row: (row.agreement, row.sequence))
    try:
        await connection.execute(
            "INSERT INTO audit (agreement, sequence, at, line)"
            " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::bytea[])",
            (
                [row.agreement for row in ordered],
                [row.sequence for row in ordered],
                [moment(row.at) for row in ordered],
                [row.line for row in ordered],
            ),
            prepare=True,
        )
    except UniqueViolation:
        raise AuditMoved from None


async def audit_heads(connection: AsyncConnection, agreements: Iterable[str]) -> dict[str, AuditHead]:
    """The ends of these agreements' chains, without those that have no line yet."""
    rows = await connection.execute(_ENDS, (list(agreements),))
    return {row[0]: _head(*row[1:]) for row in await rows.fetchall()}


def audit_head(connection: Connection, agreement: str) -> AuditHead | None:
    """The end of one agreement's chain; None if it has no line yet."""
    row = connection.execute(_ENDS, ([agreement],)).fetchone()
    return None if row is None else _head(*row[1:])


def all_audit_heads(connection: Connection) -> bytes | None:
    """The ends of all chains, as a signed head names them by their SHA-256: lines `agreement sequence hash`, sorted,
    each with its end. None if there is no line at all.
    """
    agreements = [str(row[0]) for row in connection.execute("SELECT DISTINCT id FROM agreements")]
    heads = [(row[0], _head(*row[1:])) for row in connection.execute(_ENDS, (agreements,))]
    lines = sorted(f"{agreement} {head.sequence} {head.hash}\n" for agreement, head in heads)
    return "".join(lines).encode() or None


def audit_page(connection: Connection, agreement: str, after: int, limit: int) -> list[bytes]:
    """Lines of one chain whose sequence is above `after`, in order."""
    rows = connection.execute(
        "SELECT line FROM audit WHERE agreement = %s AND sequence > %s ORDER BY sequence LIMIT %s",
        (agreement, after, limit),
    )
    return [row[0] for row in rows]


def audit_rows(connection: Connection, agreement: str | None = None) -> Iterator[AuditRow]:
    """Every line of one agreement, or of all, in order; read in parts."""
    with connection.transaction(), connection.cursor(name="audit") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(
            "SELECT agreement, sequence, at, line FROM audit"
            " WHERE %(agreement)s::text IS NULL OR agreement = %(agreement)s ORDER BY agreement, sequence",
            {"agreement": agreement},
        )
        for name, sequence, at, line in cursor:
            yield AuditRow(name, sequence, milliseconds(at), line)


_ENDS = (
    "SELECT wanted, sequence, line FROM unnest(%s::text[]) AS wanted, LATERAL ("
    " SELECT sequence, line FROM audit WHERE agreement = wanted ORDER BY sequence DESC LIMIT 1) AS newest"
)


def _head(sequence: int, line: bytes) -> AuditHead:
    return AuditHead(sequence, sha256(line).hexdigest())
