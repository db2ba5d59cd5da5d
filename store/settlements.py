"""What operators decided where a partner has contradicted itself, or sends a body that is refused.

Nothing that was proven is removed: a contradiction stays with both signed pieces, and the entries that a decision
replaces are kept beside it. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from errors import OperatorError
from store.database import Connection
from store.moments import milliseconds
from store.partner_cursors import read_again
from store.partner_entries import remove_entries
from store.partner_heads import Contradiction

Choice = Literal["kept", "replaced"]
"""`kept`: what is stored is right, and the city must go on from it. `replaced`: the city's present story is taken."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """A decision: by whom, when, and why, in words. `number` is the highest head of the city that was known then."""

    choice: Choice
    by: str
    why: str
    at: int
    number: int


@dataclass(frozen=True, slots=True)
class RecordedContradiction:
    """A contradiction with its number here, when it was found, and what was decided (None: nothing yet)."""

    id: int
    found_at: int
    found: Contradiction
    settlement: Settlement | None


@dataclass(frozen=True, slots=True)
class SkippedBody:
    """A body that is passed over: by whom, when, and why, in words."""

    metric: str
    sequence: int
    by: str
    why: str
    at: int


class NothingToSettle(OperatorError):
    """The contradiction was settled meanwhile."""


def recorded_contradictions(connection: Connection, thumbprint: str) -> Sequence[RecordedContradiction]:
    """Every contradiction of a city, the oldest first."""
    rows = connection.execute(
        "SELECT id, found_at, chosen, settled_by, settled_why, settled_at, settled_number,"
        " thumbprint, metric, reason, sequence, first, second, lines, seen_by FROM contradictions"
        " WHERE thumbprint = %s ORDER BY id",
        (thumbprint,),
    )
    found = []
    for id_, at, choice, by, why, settled_at, number, *columns in rows:
        settlement = None if choice is None else Settlement(choice, by, why, milliseconds(settled_at), number)
        found.append(RecordedContradiction(id_, milliseconds(at), Contradiction(*columns), settlement))
    return found


def settlements(connection: Connection, thumbprint: str) -> Mapping[str, RecordedContradiction]:
    """Metric -> the contradiction that was settled last; an empty one is the whole city."""
    return {
        recorded.found.metric: recorded
        for recorded in recorded_contradictions(connection, thumbprint)
        if recorded.settlement is not None
    }


def settle(connection: Connection, recorded: RecordedContradiction, choice: Choice, *, by: str, why: str) -> int:
    """Settle a contradiction, so that the metric is pulled again, from the beginning of what the city gives.

    `replaced` moves the metric's entries (of a whole city: of all metrics) beside the contradiction, and removes bodies
    and figures with them. Returns how many entries. Raises `NothingToSettle`.
    """
    thumbprint = recorded.found.thumbprint
    with connection.transaction():
        done = connection.execute(
            "UPDATE contradictions SET chosen = %s, settled_by = %s, settled_why = %s, settled_at = now(),"
            " settled_number = (SELECT coalesce(max(number), 0) FROM partner_heads WHERE thumbprint = %s)"
            " WHERE id = %s AND settled_at IS NULL",
            (choice, by, why, thumbprint, recorded.id),
        )
        if not done.rowcount:
            raise NothingToSettle("it was settled meanwhile: `sistercity partner show`")
        read_again(connection, thumbprint)
        if choice == "replaced":
            return _replace(connection, recorded)
        # The operator stands for it, also where the key of its head was revoked.
        connection.execute(
            "UPDATE entry_ends SET covered = true WHERE thumbprint = %s AND %s IN ('', metric)",
            (thumbprint, recorded.found.metric),
        )
        return 0


def skip_body(connection: Connection, thumbprint: str, metric: str, sequence: int, *, by: str, why: str) -> bool:
    """Pass over a body that is refused. Returns False if it was passed over before, is here, or no entry of it is."""
    done = connection.execute(
        "INSERT INTO skipped_bodies (thumbprint, metric, sequence, skipped_by, why)"
        " SELECT thumbprint, metric, sequence, %s, %s FROM partner_entries AS entry"
        " WHERE thumbprint = %s AND metric = %s AND sequence = %s AND NOT EXISTS ("
        "   SELECT FROM partner_bodies AS held WHERE (held.thumbprint, held.metric, held.sequence)"
        "       = (entry.thumbprint, entry.metric, entry.sequence)) ON CONFLICT DO NOTHING",
        (by, why, thumbprint, metric, sequence),
    )
    return done.rowcount == 1


def skipped_bodies(connection: Connection, thumbprint: str) -> Sequence[SkippedBody]:
    """The bodies of a city that are passed over."""
    rows = connection.execute(
        "SELECT metric, sequence, skipped_by, why, skipped_at FROM skipped_bodies WHERE thumbprint = %s ORDER BY 1, 2",
        (thumbprint,),
    )
    return [SkippedBody(metric, sequence, by, why, milliseconds(at)) for metric, sequence, by, why, at in rows]


def _replace(connection: Connection, recorded: RecordedContradiction) -> int:
    found = recorded.found
    moved = connection.execute(
        "INSERT INTO replaced_entries (contradiction, metric, sequence, line)"
        " SELECT %(id)s, metric, sequence, line FROM partner_entries"
        " WHERE thumbprint = %(thumbprint)s AND %(metric)s IN ('', metric)",
        {"id": recorded.id, "thumbprint": found.thumbprint, "metric": found.metric},
    )
    metrics = connection.execute(
        "SELECT DISTINCT metric FROM replaced_entries WHERE contradiction = %s", (recorded.id,)
    ).fetchall()
    for (metric,) in metrics:
        remove_entries(connection, found.thumbprint, metric, 1)
        # What was passed over was a body of the story before; in the new one, this sequence may be a good one.
        connection.execute(
            "DELETE FROM skipped_bodies WHERE thumbprint = %s AND metric = %s", (found.thumbprint, metric)
        )
    if found.metric == "":  # the second of two heads of one number takes the place of the first
        connection.execute(
            "DELETE FROM partner_heads WHERE thumbprint = %s AND document = %s AND seen_by = %s",
            (found.thumbprint, found.first, found.thumbprint),
        )
    return moved.rowcount
