"""The entries of a partner's chain, as they came and were verified.

`thumbprint` is that of the identity whose word it is. Times are milliseconds since 1970, UTC. Whoever stores here has
verified: nothing is checked again but that it continues what is stored.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from psycopg.rows import TupleRow

from store.database import Connection
from store.moments import milliseconds, moment
from store.partner_coverage import cover, ends
from store.partner_cursors import EntryCursor, move_entry_cursor
from store.partner_figures import count_windows
from store.partner_heads import ReceivedHead, keep_head
from store.publications import Kind, Window

_AT_ONCE = 1000
_ENTRY = "metric, sequence, hash, line, kind, window_start, window_end, revision, published_at, body, catalogue"


@dataclass(frozen=True, slots=True)
class ReceivedEntry:
    """An entry of a partner's chain: its bytes, their SHA-256, and what they say. `reason` is that of a withdrawal."""

    metric: str
    sequence: int
    hash: str
    line: bytes
    kind: Kind
    window: Window
    revision: int
    published_at: int
    body: str
    catalogue: str
    reason: str | None = None


def entry_hashes(connection: Connection, thumbprint: str, metric: str, sequences: Sequence[int]) -> Mapping[int, str]:
    """Sequence -> hash, of those of these entries that were received."""
    rows = connection.execute(
        "SELECT sequence, hash FROM partner_entries WHERE thumbprint = %s AND metric = %s AND sequence = ANY(%s)",
        (thumbprint, metric, list(sequences)),
    )
    return {sequence: hash_ for sequence, hash_ in rows}  # noqa: C416


def entries_with_bodies(
    connection: Connection, thumbprint: str, metric: str, hashes: Sequence[str]
) -> Mapping[str, ReceivedEntry]:
    """Hash of a body -> the entry that names it."""
    rows = connection.execute(
        f"SELECT {_ENTRY} FROM partner_entries WHERE thumbprint = %s AND metric = %s AND body = ANY(%s)",
        (thumbprint, metric, list(hashes)),
    )
    return {entry.body: entry for entry in map(_entry, rows)}


def entries_between(
    connection: Connection, thumbprint: str, metric: str, first: int, last: int
) -> Mapping[int, ReceivedEntry]:
    """Sequence -> entry, of those from `first` to `last`."""
    rows = connection.execute(
        f"SELECT {_ENTRY} FROM partner_entries WHERE thumbprint = %s AND metric = %s AND sequence BETWEEN %s AND %s",
        (thumbprint, metric, first, last),
    )
    return {row[1]: _entry(row) for row in rows}


def store_entries(
    connection: Connection,
    agreement: str,
    head: ReceivedHead,
    *,
    before: EntryCursor,
    following: EntryCursor,
    entries: Iterable[ReceivedEntry],
    replaced: Mapping[str, int] | None = None,
    covered: Sequence[str] = (),
) -> int:
    """Store entries that the head covers, in the order of their chains, the head, and the cursor; in one transaction.

    Those that are there already are left out. `replaced`: metric -> the sequence from which on what is stored has been
    proven by nobody, and is removed first. `covered`: the metrics of which the head covers all that is stored then. A
    withdrawal erases the bodies and the figures of its window. Returns how many entries were new. Raises `Conflict` if
    another process has moved the cursor.
    """
    with connection.transaction():
        move_entry_cursor(connection, agreement, before, following)
        keep_head(connection, head)
        for metric, sequence in (replaced or {}).items():
            remove_entries(connection, head.thumbprint, metric, sequence)
        known = {metric: sequence for metric, (sequence, _) in ends(connection, head.thumbprint).items()}
        stored = 0
        left = iter(entries)
        while some := list(islice(left, _AT_ONCE)):
            new = [entry for entry in some if entry.sequence > known.get(entry.metric, 0)]
            _insert_entries(connection, head.thumbprint, new)
            stored += len(new)
        if covered:
            cover(connection, head, covered)
    return stored


def remove_entries(connection: Connection, thumbprint: str, metric: str, first: int) -> None:
    """Remove a metric's entries, bodies and figures from a sequence on; to be called in a transaction."""
    city = "(SELECT city FROM partners WHERE thumbprint = %(thumbprint)s)"
    terms = {"thumbprint": thumbprint, "metric": metric, "first": first}
    windows = connection.execute(
        "SELECT DISTINCT window_start FROM partner_entries"
        " WHERE thumbprint = %(thumbprint)s AND metric = %(metric)s AND sequence >= %(first)s",
        terms,
    ).fetchall()
    connection.execute(
        f"DELETE FROM partner_cells AS cell USING partner_publications AS of WHERE of.city = {city}"
        " AND of.metric = %(metric)s AND of.sequence >= %(first)s AND cell.city = of.city AND cell.metric = of.metric"
        " AND cell.window_start = of.window_start AND cell.revision = of.revision",
        terms,
    )
    for table, whose in (
        ("partner_publications", f"city = {city}"),
        ("partner_bodies", "thumbprint = %(thumbprint)s"),
        ("partner_entries", "thumbprint = %(thumbprint)s"),
    ):
        connection.execute(
            f"DELETE FROM {table} WHERE {whose} AND metric = %(metric)s AND sequence >= %(first)s", terms
        )
    connection.execute("DELETE FROM entry_ends WHERE thumbprint = %(thumbprint)s AND metric = %(metric)s", terms)
    connection.execute(
        "INSERT INTO entry_ends (thumbprint, metric, sequence, hash)"
        " SELECT thumbprint, metric, sequence, hash FROM partner_entries"
        " WHERE thumbprint = %(thumbprint)s AND metric = %(metric)s ORDER BY sequence DESC LIMIT 1",
        terms,
    )
    connection.execute(
        "UPDATE body_cursors SET after = least(after, %(first)s - 1) WHERE metric = %(metric)s"
        " AND agreement IN (SELECT id FROM agreements WHERE partner = %(thumbprint)s)",
        terms,
    )
    row = connection.execute("SELECT city FROM partners WHERE thumbprint = %s", (thumbprint,)).fetchone()
    if row is not None:
        count_windows(connection, row[0], {(metric, milliseconds(start)) for (start,) in windows})


def _insert_entries(connection: Connection, thumbprint: str, entries: Sequence[ReceivedEntry]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY partner_entries (thumbprint, metric, sequence, hash, line, kind, window_start, window_end, revision,"
            " published_at, body, catalogue) FROM STDIN"
        ) as copy,
    ):
        for entry in entries:
            copy.write_row(
                (
                    *(thumbprint, entry.metric, entry.sequence, entry.hash, entry.line, entry.kind),
                    *(moment(entry.window.start), moment(entry.window.end), entry.revision),
                    *(moment(entry.published_at), entry.body, entry.catalogue),
                )
            )
    last = {entry.metric: entry for entry in entries}
    for entry in last.values():
        connection.execute(
            "INSERT INTO entry_ends (thumbprint, metric, sequence, hash) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (thumbprint, metric)"
            " DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
            (thumbprint, entry.metric, entry.sequence, entry.hash),
        )
    withdrawn = [(entry.metric, entry.window.start) for entry in entries if entry.kind == "withdrawal"]
    if withdrawn:
        _erase(connection, thumbprint, withdrawn)


def _erase(connection: Connection, thumbprint: str, windows: Sequence[tuple[str, int]]) -> None:
    """Erase bodies and figures of all revisions of these windows (metric, start), but the withdrawals themselves."""
    row = connection.execute("SELECT city FROM partners WHERE thumbprint = %s", (thumbprint,)).fetchone()
    for metric, start in windows:
        connection.execute(
            "DELETE FROM partner_bodies USING partner_entries AS entry"
            " WHERE partner_bodies.thumbprint = %(thumbprint)s AND partner_bodies.metric = %(metric)s"
            " AND entry.thumbprint = %(thumbprint)s AND entry.metric = %(metric)s"
            " AND entry.sequence = partner_bodies.sequence AND entry.window_start = %(start)s"
            " AND entry.kind <> 'withdrawal'",
            {"thumbprint": thumbprint, "metric": metric, "start": moment(start)},
        )
        connection.execute(
            "UPDATE partner_cells SET status = 'withdrawn', value = NULL, coverage = NULL"
            " WHERE city = %s AND metric = %s AND window_start = %s",
            (None if row is None else row[0], metric, moment(start)),
        )
    if row is not None:
        count_windows(connection, row[0], set(windows))


def _entry(row: TupleRow) -> ReceivedEntry:
    metric, sequence, hash_, line, kind, start, end, revision, published_at, body, catalogue = row
    window = Window(milliseconds(start), milliseconds(end))
    what = (metric, sequence, hash_, bytes(line), kind)
    reason = json.loads(line)["reason"] if kind == "withdrawal" else None
    return ReceivedEntry(*what, window, revision, milliseconds(published_at), body, catalogue, reason)
