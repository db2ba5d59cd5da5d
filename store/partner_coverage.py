"""Which stored entries of a partner a head covers, whose key counts still.

`thumbprint` is that of the identity whose word it is.
"""

from collections.abc import Mapping, Sequence

from store.database import Connection
from store.partner_cursors import read_again
from store.partner_heads import ReceivedHead


def ends(connection: Connection, thumbprint: str) -> Mapping[str, tuple[int, str]]:
    """Metric -> sequence and hash of its newest entry."""
    rows = connection.execute("SELECT metric, sequence, hash FROM entry_ends WHERE thumbprint = %s", (thumbprint,))
    return {metric: (sequence, hash_) for metric, sequence, hash_ in rows}


def uncovered(connection: Connection, thumbprint: str) -> frozenset[str]:
    """The metrics of which entries are stored that no head covers whose key counts still."""
    rows = connection.execute("SELECT metric FROM entry_ends WHERE thumbprint = %s AND NOT covered", (thumbprint,))
    return frozenset(str(row[0]) for row in rows)


def covering_heads(connection: Connection, thumbprint: str) -> Mapping[str, str]:
    """Metric -> the head that names the very end of what is stored of it, of those of which it is known."""
    rows = connection.execute(
        "SELECT metric, document FROM entry_ends AS ended JOIN partner_heads AS known"
        " ON known.thumbprint = ended.thumbprint AND known.hash = ended.head WHERE ended.thumbprint = %s",
        (thumbprint,),
    )
    return {metric: document for metric, document in rows}  # noqa: C416


def covered_hash(connection: Connection, thumbprint: str, metric: str, sequence: int) -> str | None:
    """The hash of an entry, if it was received, and a head covers what is stored of the metric."""
    row = connection.execute(
        "SELECT entry.hash FROM partner_entries AS entry JOIN entry_ends AS ended USING (thumbprint, metric)"
        " WHERE thumbprint = %s AND metric = %s AND entry.sequence = %s AND covered",
        (thumbprint, metric, sequence),
    ).fetchone()
    return None if row is None else str(row[0])


def cover(connection: Connection, head: ReceivedHead, metrics: Sequence[str]) -> None:
    """Let a head cover all that is stored of these metrics."""
    connection.execute(
        "UPDATE entry_ends SET covered = true, head = %s WHERE thumbprint = %s AND metric = ANY(%s)",
        (head.hash, head.thumbprint, list(metrics)),
    )


def distrust(connection: Connection, thumbprint: str, metrics: Sequence[str] | None = None) -> None:
    """No head covers what is stored of a city any more, or of these metrics: every agreement with it is read again from
    the beginning."""
    connection.execute(
        "UPDATE entry_ends SET covered = false, head = NULL"
        " WHERE thumbprint = %s AND coalesce(metric = ANY(%s::text[]), true)",
        (thumbprint, None if metrics is None else list(metrics)),
    )
    read_again(connection, thumbprint)
