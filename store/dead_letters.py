"""Dead letters after their commit: they are relayed, and removed when they are old, unless a replay may meet them."""

from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds
from store.processing import DeadLetter, Partition

# Those that another process is removing are skipped, so that no process waits for another here. A relay that was used
# once and never again does not keep letters for ever.
_PRUNE = """
DELETE FROM dead_letters WHERE ctid = ANY(ARRAY(
    SELECT letter.ctid FROM dead_letters letter JOIN stream_offsets USING (topic, partition)
    LEFT JOIN dead_letter_relays relayed USING (topic, partition)
    WHERE at < now() - make_interval(days => %(days)s) AND (log_cut > 0 OR "offset" < resume_offset)
        AND (letter.number <= coalesce(relayed.number, letter.number)
             OR at < now() - make_interval(days => 2 * %(days)s))
    ORDER BY at LIMIT %(most)s FOR UPDATE OF letter SKIP LOCKED
))
"""
_WAITING = """
SELECT count(*), min(at) FROM dead_letters letter JOIN dead_letter_relays relayed USING (topic, partition)
WHERE letter.number > relayed.number
"""
_UNRELAYED = """
SELECT number, "offset", row, reason, original FROM dead_letters
WHERE topic = %(topic)s AND partition = %(partition)s AND number > coalesce(
    (SELECT number FROM dead_letter_relays WHERE topic = %(topic)s AND partition = %(partition)s), 0)
ORDER BY number LIMIT %(most)s
"""
_RELAYED = """
INSERT INTO dead_letter_relays AS known VALUES (%s, %s, %s)
ON CONFLICT (topic, partition) DO UPDATE SET number = greatest(known.number, excluded.number)
"""


def prune_dead_letters(connection: Connection, days: int, most: int) -> int:
    """Remove up to `most` dead letters older than `days`, the oldest first; returns how many.

    Those at or above the `resume_offset` of their partition stay, whatever their age (R2). In a partition whose letters
    were relayed before, those that were not yet are kept for twice as long. Counts by reason stay too.
    """
    return connection.execute(_PRUNE, {"days": days, "most": most}).rowcount


@dataclass(frozen=True, slots=True)
class NumberedLetter:
    """A dead letter of a partition; the numbers of a partition's letters follow the order of its commits."""

    number: int
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class WaitingLetters:
    """Dead letters that the relay has not copied, of partitions of which it copied any before: how many, and when the
    oldest was stored, milliseconds since 1970, UTC."""

    letters: int
    oldest_ms: int


def waiting_letters(connection: Connection) -> WaitingLetters | None:
    """What waits for the relay; None if nothing does, or if it was never used. Reads an index."""
    letters, oldest = connection.execute(_WAITING).fetchone() or (0, None)
    return WaitingLetters(letters, milliseconds(oldest)) if letters else None


def relay_partitions(connection: Connection) -> list[Partition]:
    """Every partition that was ever processed."""
    return connection.execute("SELECT topic, partition FROM stream_offsets ORDER BY topic, partition").fetchall()


def unrelayed(connection: Connection, partition: Partition, most: int) -> list[NumberedLetter]:
    """The first `most` dead letters of a partition that are not known to be relayed, in the order of the commits."""
    rows = connection.execute(_UNRELAYED, {"topic": partition[0], "partition": partition[1], "most": most})
    return [NumberedLetter(number, DeadLetter(*letter)) for number, *letter in rows]


def record_relayed(connection: Connection, partition: Partition, number: int) -> None:
    """Store that the letters of a partition up to this number were acknowledged."""
    connection.execute(_RELAYED, (*partition, number))
