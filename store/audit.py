"""The audit: for each agreement a chain of lines, which say what was given. Lines are added at its end, and removed by
age at its beginning, where a checkpoint stays. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import takewhile
from json import dumps
from typing import NamedTuple

from psycopg.errors import UniqueViolation

from store.database import AsyncConnection, Connection
from store.moments import milliseconds, moment

_ROWS_AT_ONCE = 1000
_PRUNE_LOCK = 0x5157E2C19


class AuditMoved(Exception):
    """Another process has continued one of these chains meanwhile; nothing was written."""


class AuditHead(NamedTuple):
    """The end of a chain: the sequence of its last line, and the SHA-256 of that line in hex."""

    sequence: int
    hash: str


class AuditRow(NamedTuple):
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
            " SELECT chain, sequence, to_timestamp(at / 1000.0), line FROM"
            " json_to_recordset(%s::json) AS new (chain text, sequence bigint, at bigint, line bytea)",
            # One parameter of JSON: the library needs several times as long for arrays.
            (dumps([row_terms(row) for row in ordered]),),
            prepare=True,
        )
    except UniqueViolation:
        raise AuditMoved from None


def row_terms(row: AuditRow) -> dict[str, object]:
    """A line as JSON for PostgreSQL, which reads it as text, bigint, bigint and bytea."""
    line = rf"\x{row.line.hex()}"
    return {"chain": row.agreement, "sequence": row.sequence, "at": row.at, "line": line}


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


def audit_checkpoints(connection: Connection) -> dict[str, AuditHead]:
    """By agreement, the last line that was removed by its age: the chain goes on from there."""
    rows = connection.execute("SELECT agreement, sequence, hash FROM audit_checkpoints")
    return {agreement: AuditHead(sequence, hash_) for agreement, sequence, hash_ in rows}


def lines_removed(connection: Connection) -> dict[str, tuple[int, int]]:
    """By agreement, the last line that was removed by its age, and when lines were removed last."""
    rows = connection.execute("SELECT agreement, sequence, removed_at FROM audit_checkpoints ORDER BY agreement")
    return {agreement: (sequence, milliseconds(at)) for agreement, sequence, at in rows}


def audit_checkpoint(connection: Connection, agreement: str) -> AuditHead | None:
    """The last line of one chain that was removed; None if it is whole."""
    row = connection.execute(
        "SELECT sequence, hash FROM audit_checkpoints WHERE agreement = %s", (agreement,)
    ).fetchone()
    return None if row is None else AuditHead(*row)


def lock_pruning(connection: Connection) -> None:
    """Let one process at a time remove lines, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PRUNE_LOCK,))


def chains_from_before(connection: Connection, before: int) -> list[str]:
    """The agreements whose chains begin with a line that is older than this."""
    rows = connection.execute(
        "SELECT known.id FROM (SELECT DISTINCT id FROM agreements) AS known CROSS JOIN LATERAL ("
        " SELECT at FROM audit WHERE agreement = known.id ORDER BY sequence LIMIT 1) AS first WHERE at < %s",
        (moment(before),),
    )
    return [str(row[0]) for row in rows]


def oldest_line(connection: Connection) -> int | None:
    """When the oldest line of all chains was written that is not the last of its chain; None if there is none."""
    row = connection.execute(
        "SELECT min(at) FROM (SELECT DISTINCT id FROM agreements) AS known CROSS JOIN LATERAL ("
        " SELECT at FROM audit WHERE agreement = known.id ORDER BY sequence LIMIT 1) AS first"
        " WHERE 1 < (SELECT count(*) FROM (SELECT FROM audit WHERE agreement = known.id LIMIT 2) AS two)"
    ).fetchone()
    return None if row is None or row[0] is None else milliseconds(row[0])


def lines_before(connection: Connection, agreement: str, before: int, most: int) -> list[AuditRow]:
    """The first lines of a chain, at most `most`, up to the first that is not older than this, but never the last."""
    rows = connection.execute(
        "SELECT sequence, at, line FROM audit WHERE agreement = %s ORDER BY sequence LIMIT %s", (agreement, most + 1)
    ).fetchall()
    found = [AuditRow(agreement, sequence, milliseconds(at), line) for sequence, at, line in rows[:-1]]
    return list(takewhile(lambda row: row.at < before, found))


def remove_lines(connection: Connection, agreement: str, last: AuditHead) -> None:
    """Remove the lines of a chain up to this one, which stays as the checkpoint. In one transaction."""
    connection.execute(
        "INSERT INTO audit_checkpoints (agreement, sequence, hash) VALUES (%s, %s, %s)"
        " ON CONFLICT (agreement) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, removed_at = now()",
        (agreement, last.sequence, last.hash),
    )
    connection.execute("DELETE FROM audit WHERE agreement = %s AND sequence <= %s", (agreement, last.sequence))


_ENDS = (
    "SELECT wanted, sequence, line FROM unnest(%s::text[]) AS wanted, LATERAL ("
    " SELECT sequence, line FROM audit WHERE agreement = wanted ORDER BY sequence DESC LIMIT 1) AS newest"
)


def _head(sequence: int, line: bytes) -> AuditHead:
    return AuditHead(sequence, sha256(line).hexdigest())
