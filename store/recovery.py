"""What the log of publications says of itself, and drafts: for agreement with the ledger, which outlives the database.

Times are milliseconds since 1970, UTC. Connections are those of `store.database.connect`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment


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


def log_facts(connection: Connection) -> LogFacts:
    """The state of the log. Raises `LookupError` if it has no row."""
    row = connection.execute("SELECT id::text, position, ledger FROM publication_log").fetchone()
    if row is None:
        raise LookupError("publication_log has no row: the database was not migrated, or the table was emptied")
    heads = connection.execute(
        "SELECT metric, sequence, entry FROM publication_sequences LEFT JOIN publications USING (metric, sequence)"
    )
    return LogFacts(row[0], row[1], row[2], {metric: (sequence, entry) for metric, sequence, entry in heads})


def begin_log(connection: Connection, log_id: str) -> None:
    """Store that the log has a ledger, and the id that is in it."""
    connection.execute("UPDATE publication_log SET ledger = true, id = %s", (log_id,))


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
