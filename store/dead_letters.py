"""Dead letters after their commit: they are removed when they are old, but not while a replay may meet them."""

from store.database import Connection

# Those that another process is removing are skipped, so that no process waits for another here.
_PRUNE = """
DELETE FROM dead_letters WHERE ctid = ANY(ARRAY(
    SELECT letter.ctid FROM dead_letters letter JOIN stream_offsets USING (topic, partition)
    WHERE at < now() - make_interval(days => %s) AND (log_cut > 0 OR "offset" < resume_offset)
    ORDER BY at LIMIT %s FOR UPDATE OF letter SKIP LOCKED
))
"""


def prune_dead_letters(connection: Connection, days: int, most: int) -> int:
    """Remove up to `most` dead letters older than `days`, the oldest first; returns how many.

    Those at or above the `resume_offset` of their partition stay, whatever their age (R2). Counts by reason stay too.
    """
    return connection.execute(_PRUNE, (days, most)).rowcount
