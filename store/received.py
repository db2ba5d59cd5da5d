"""What a partner sent and we have verified: entries, bodies, catalogues, heads, and how far each was read.

`thumbprint` is that of the identity whose word it is. Times are milliseconds since 1970, UTC. Whoever stores here has
verified: nothing is checked again but that it continues what is stored.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from store.database import Connection
from store.moments import milliseconds, moment
from store.partner_figures import count_windows
from store.partner_heads import ReceivedHead, keep_head
from store.publications import Kind, Window

_AT_ONCE = 1000


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


@dataclass(frozen=True, slots=True)
class EntryCursor:
    """How far the entries of an agreement were read, and of which metrics they are."""

    cursor: str | None
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BodyCursor:
    """The sequence up to which the bodies of a metric were read, and the `since` of the grant under which they were."""

    after: int
    since: int


class Conflict(Exception):
    """What came does not continue what is stored; nothing was changed."""


def meet(connection: Connection, thumbprint: str, city: str, name: str) -> None:
    """Make a city known by its identity. Raises `Conflict` while its id belongs to another that we agree with.

    An id whose former identity has no agreement in force any more is taken over, and its figures are removed: nothing
    of what the former key said is said by the new one. What was received from it stays, under its thumbprint.
    """
    with connection.transaction():
        rows = connection.execute(
            "SELECT city, thumbprint FROM partners WHERE city = %s OR thumbprint = %s FOR UPDATE", (city, thumbprint)
        ).fetchall()
        if rows == [(city, thumbprint)]:
            return
        for known, former in rows:
            if former == thumbprint:
                raise Conflict(f"{known} has an agreement under the name {city}; the id of a city never changes")
            if connection.execute("SELECT 1 FROM agreements_in_force WHERE partner = %s", (former,)).fetchone():
                raise Conflict(f"there is an agreement with another city of the id {city}; revoke one of the two")
            for table in ("partner_cells", "partner_publications", "partners"):
                connection.execute(f"DELETE FROM {table} WHERE city = %s", (known,))
        connection.execute(
            "INSERT INTO partners (city, thumbprint, name) VALUES (%s, %s, %s)", (city, thumbprint, name)
        )


def save_facts(connection: Connection, thumbprint: str, facts: Mapping[str, object]) -> None:
    """Keep the facts of a city (name, names, zone, ...) as its catalogue has them, checked."""
    connection.execute(
        "UPDATE partners SET facts = %s, name = %s, names = %s WHERE thumbprint = %s",
        (Jsonb(dict(facts)), facts["name"], Jsonb(facts["names"]), thumbprint),
    )


def facts_of(connection: Connection, thumbprint: str) -> Mapping[str, object] | None:
    """The facts of a city, if any came."""
    row = connection.execute("SELECT facts FROM partners WHERE thumbprint = %s", (thumbprint,)).fetchone()
    return None if row is None else row[0]


def ends(connection: Connection, thumbprint: str) -> Mapping[str, tuple[int, str]]:
    """Metric -> sequence and hash of its newest entry."""
    rows = connection.execute("SELECT metric, sequence, hash FROM entry_ends WHERE thumbprint = %s", (thumbprint,))
    return {metric: (sequence, hash_) for metric, sequence, hash_ in rows}


def uncovered(connection: Connection, thumbprint: str) -> frozenset[str]:
    """The metrics of which entries are stored that no head covers whose key counts still."""
    rows = connection.execute("SELECT metric FROM entry_ends WHERE thumbprint = %s AND NOT covered", (thumbprint,))
    return frozenset(str(row[0]) for row in rows)


def distrust(connection: Connection, thumbprint: str, metrics: Sequence[str] | None = None) -> None:
    """No head covers what is stored of a city any more, or of these metrics: every agreement with it is read again from
    the beginning."""
    connection.execute(
        "UPDATE entry_ends SET covered = false, head = NULL"
        " WHERE thumbprint = %s AND coalesce(metric = ANY(%s::text[]), true)",
        (thumbprint, None if metrics is None else list(metrics)),
    )
    read_again(connection, thumbprint)


def covering_heads(connection: Connection, thumbprint: str) -> Mapping[str, str]:
    """Metric -> the head that names the very end of what is stored of it, of those of which it is known."""
    rows = connection.execute(
        "SELECT metric, document FROM entry_ends AS ended JOIN partner_heads AS known"
        " ON known.thumbprint = ended.thumbprint AND known.hash = ended.head WHERE ended.thumbprint = %s",
        (thumbprint,),
    )
    return {metric: document for metric, document in rows}  # noqa: C416


def read_again(connection: Connection, thumbprint: str) -> None:
    """Let the entries of every agreement with a city be read from the beginning of what it gives."""
    connection.execute(
        "UPDATE entry_cursors SET cursor = NULL, metrics = '{}'"
        " WHERE agreement IN (SELECT id FROM agreements WHERE partner = %s)",
        (thumbprint,),
    )


def covered_hash(connection: Connection, thumbprint: str, metric: str, sequence: int) -> str | None:
    """The hash of an entry, if it was received, and a head covers what is stored of the metric."""
    row = connection.execute(
        "SELECT entry.hash FROM partner_entries AS entry JOIN entry_ends AS ended USING (thumbprint, metric)"
        " WHERE thumbprint = %s AND metric = %s AND entry.sequence = %s AND covered",
        (thumbprint, metric, sequence),
    ).fetchone()
    return None if row is None else str(row[0])


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


def entry_cursor(connection: Connection, agreement: str) -> EntryCursor:
    """How far the entries of an agreement were read."""
    row = connection.execute("SELECT cursor, metrics FROM entry_cursors WHERE agreement = %s", (agreement,)).fetchone()
    return EntryCursor(None, ()) if row is None else EntryCursor(row[0], tuple(row[1]))


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
        _move_entry_cursor(connection, agreement, before, following)
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
            connection.execute(
                "UPDATE entry_ends SET covered = true, head = %s WHERE thumbprint = %s AND metric = ANY(%s)",
                (head.hash, head.thumbprint, list(covered)),
            )
    return stored


def body_cursors(connection: Connection, agreement: str) -> Mapping[str, BodyCursor]:
    """Metric -> how far its bodies were read under an agreement."""
    rows = connection.execute("SELECT metric, after, since FROM body_cursors WHERE agreement = %s", (agreement,))
    return {metric: BodyCursor(after, milliseconds(since)) for metric, after, since in rows}


def move_body_cursor(
    connection: Connection, agreement: str, metric: str, before: BodyCursor | None, following: BodyCursor
) -> None:
    """Set how far the bodies of a metric were read. Raises `Conflict` if another process has moved it."""
    if before is None:
        moved = connection.execute(
            "INSERT INTO body_cursors VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (agreement, metric, following.after, moment(following.since)),
        )
    else:
        moved = connection.execute(
            "UPDATE body_cursors SET after = %s, since = %s"
            " WHERE agreement = %s AND metric = %s AND after = %s AND since = %s",
            (following.after, moment(following.since), agreement, metric, before.after, moment(before.since)),
        )
    if moved.rowcount != 1:
        raise Conflict(f"another process has read the bodies of {metric} meanwhile")


def known_identities(connection: Connection) -> list[str]:
    """The identities of which we have a document: those of partners, and our own."""
    return [str(row[0]) for row in connection.execute("SELECT thumbprint FROM identities ORDER BY thumbprint")]


def keep_audit_head(connection: Connection, agreement: str, sequence: int, hash_: str) -> None:
    """Keep the head of the partner's audit of an agreement, for the partner and against it."""
    connection.execute(
        "INSERT INTO partner_audits (agreement, sequence, hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (agreement, sequence, hash_),
    )


def kept_audit_heads(connection: Connection) -> list[tuple[str, int, str]]:
    """What was kept of partners' audits: agreement, sequence and hash of a line of each head that was seen."""
    rows = connection.execute("SELECT agreement, sequence, hash FROM partner_audits ORDER BY agreement, sequence")
    return [(agreement, sequence, hash_) for agreement, sequence, hash_ in rows]


def catalogue_content(connection: Connection, hash_: str) -> bytes | None:
    """The bytes of a catalogue, if it was received."""
    row = connection.execute("SELECT content FROM partner_catalogues WHERE hash = %s", (hash_,)).fetchone()
    return None if row is None else bytes(row[0])


def keep_catalogue(connection: Connection, hash_: str, metric: str, content: bytes) -> None:
    """Keep a catalogue under its hash."""
    connection.execute(
        "INSERT INTO partner_catalogues (hash, metric, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (hash_, metric, content),
    )


_ENTRY = "metric, sequence, hash, line, kind, window_start, window_end, revision, published_at, body, catalogue"


def _entry(row: TupleRow) -> ReceivedEntry:
    metric, sequence, hash_, line, kind, start, end, revision, published_at, body, catalogue = row
    window = Window(milliseconds(start), milliseconds(end))
    what = (metric, sequence, hash_, bytes(line), kind)
    reason = json.loads(line)["reason"] if kind == "withdrawal" else None
    return ReceivedEntry(*what, window, revision, milliseconds(published_at), body, catalogue, reason)


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


def _move_entry_cursor(connection: Connection, agreement: str, before: EntryCursor, following: EntryCursor) -> None:
    moved = connection.execute(
        "INSERT INTO entry_cursors AS known VALUES (%(agreement)s, %(cursor)s, %(metrics)s)"
        " ON CONFLICT (agreement) DO UPDATE SET cursor = excluded.cursor, metrics = excluded.metrics"
        " WHERE known.cursor IS NOT DISTINCT FROM %(before)s AND known.metrics = %(of)s",
        {
            "agreement": agreement,
            "cursor": following.cursor,
            "metrics": list(following.metrics),
            "before": before.cursor,
            "of": list(before.metrics),
        },
    )
    if moved.rowcount != 1:
        raise Conflict("another process has read the entries of this agreement meanwhile")


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
