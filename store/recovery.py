"""What the log of publications says of itself, and drafts: for agreement with the ledger, which outlives the database.

Times are milliseconds since 1970, UTC. Connections are those of `store.database.connect`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment
from store.publications import Kind, PublishedCell, insert_cells


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The log's UUID, its newest position, whether a ledger of it was ever begun, and the newest entry of each metric:
    its sequence, and its line (None for one that is older than the ledger)."""

    id: str
    position: int
    ledger: bool
    heads: Mapping[str, tuple[int, bytes | None]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A publication that was decided and may be in the ledger already: its entry and its body, as they are."""

    position: int
    topic: str
    left_at: int
    entry: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class LostBody:
    """A publication whose body is gone, and was not withdrawn: its position, its entry's line, the body's hash."""

    position: int
    entry: bytes
    hash: str


def log_facts(connection: Connection) -> LogFacts:
    """The state of the log at one moment. Raises `LookupError` if it has no row."""
    # By one statement: between two of them something may be published.
    rows = connection.execute(
        "SELECT id::text, position, ledger, metric, sequence, entry FROM publication_log LEFT JOIN"
        " (publication_sequences LEFT JOIN (SELECT metric, sequence, entry FROM publications) entries"
        " USING (metric, sequence)) ON true"
    ).fetchall()
    if not rows:
        raise LookupError("publication_log has no row: the database was not migrated, or the table was emptied")
    heads = {metric: (sequence, entry) for *_, metric, sequence, entry in rows if metric is not None}
    log_id, position, ledger, *_ = rows[0]
    return LogFacts(log_id, position, ledger, heads)


def begin_log(connection: Connection, log_id: str) -> None:
    """Store that the log has a ledger, and the id that is in it."""
    connection.execute("UPDATE publication_log SET ledger = true, id = %s", (log_id,))


def ledger_hashes(
    connection: Connection, after: int, named: Sequence[tuple[str, int]]
) -> Mapping[tuple[str, int], str]:
    """The SHA-256 of the entries with these metrics and sequences, as far as they are after this position."""
    rows = connection.execute(
        "SELECT metric, sequence, encode(sha256(entry), 'hex') FROM publications"
        " JOIN unnest(%s::text[], %s::bigint[]) AS named (metric, sequence) USING (metric, sequence)"
        " WHERE position > %s AND entry IS NOT NULL",
        ([metric for metric, _ in named], [sequence for _, sequence in named], after),
    )
    return {(metric, sequence): hash_ for metric, sequence, hash_ in rows}


def drafts(connection: Connection) -> Sequence[Draft]:
    """The drafts that were not finished, in order."""
    rows = connection.execute("SELECT position, topic, left_at, entry, body FROM publication_drafts ORDER BY position")
    return [Draft(position, topic, milliseconds(left), entry, body) for position, topic, left, entry, body in rows]


def keep_draft(connection: Connection, draft: Draft) -> None:
    """Keep a draft until it is finished, or found not to be in the ledger."""
    connection.execute(
        "INSERT INTO publication_drafts VALUES (%s, %s, %s, %s, %s)",
        (draft.position, draft.topic, moment(draft.left_at), draft.entry, draft.body),
    )


def drop_draft(connection: Connection, position: int) -> None:
    """Forget a draft."""
    connection.execute("DELETE FROM publication_drafts WHERE position = %s", (position,))


_LOST = """
    body IS NULL AND entry IS NOT NULL AND body_hash IS NOT NULL AND kind IN ('lost', 'withdrawal', 'skip') AND (
        kind <> 'lost' OR NOT EXISTS (
            SELECT FROM publications AS other
            WHERE (other.metric, other.window_start) = (publications.metric, publications.window_start)
              AND other.kind = 'withdrawal'))
"""


def lost_bodies(connection: Connection) -> Sequence[LostBody]:
    """What is in the log without its contents, and was not withdrawn, in order."""
    rows = connection.execute(f"SELECT position, entry, body_hash FROM publications WHERE {_LOST} ORDER BY position")
    return [LostBody(*row) for row in rows]


def bring_back(connection: Connection, position: int, kind: Kind, body: bytes, cells: Sequence[PublishedCell]) -> bool:
    """Store the contents of a publication that were lost, and what it was; whether they were still wanted.

    To be called under the publisher's lock: a window that is withdrawn meanwhile stays erased. Whoever calls has
    compared the body with the entry.
    """
    with connection.transaction():
        changed = connection.execute(
            f"UPDATE publications SET kind = %s, body = %s WHERE position = %s AND {_LOST}", (kind, body, position)
        )
        if changed.rowcount:
            insert_cells(connection, position, cells)
    return changed.rowcount == 1
