"""Signed heads: whether what was published is signed, by a key that counts, and for long enough."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from store.database import DatabaseUrl

_HOUR_MS = 3_600_000
_LATE_MS = 26 * _HOUR_MS
"""The publisher signs once a day at least."""
_TURN_MS = 5 * 60_000
"""How long a publication may be unsigned: until the publisher's turn is over."""
_WHAT = "signed heads"


@dataclass(frozen=True, slots=True)
class HeadState:
    """`entries` counts publications with an entry; `agreed`: whether an agreement is in force. Of the newest head: when
    it was signed (None: there is none), whether its key counts, and how many publications left since.
    """

    entries: int
    agreed: bool
    signed_at: int | None = None
    counts: bool = True
    unsigned: int = 0


def read_heads(database_url: "DatabaseUrl", limit_s: int, now_ms: int) -> HeadState:
    """Read the newest head. `limit_s`: seconds for each statement. Raises psycopg's errors."""
    from federation.publications.heads import BadHead, open_head
    from federation.publications.signing import own
    from store import agreements, heads, inspection

    with inspection.read_only_connection(database_url, limit_s) as connection:
        entries, agreed = heads.left_after(connection, 0, now_ms), bool(agreements.in_force(connection))
        identity, newest = own(connection), heads.newest_head(connection)
        if newest is None:
            return HeadState(entries, agreed)
        try:
            head = None if identity is None else open_head(newest.document, identity, now_ms)
        except BadHead:
            head = None
        if head is None:
            return HeadState(entries, agreed, newest.issued_at, False)
        unsigned = heads.left_after(connection, head.position, now_ms - _TURN_MS)
    return HeadState(entries, agreed, newest.issued_at, True, unsigned)


def judge_heads(state: HeadState, now_ms: int) -> Iterator[Finding]:
    """Judge what is signed at `now_ms`. Partners take nothing that no head covers."""
    mend = "see that `sistercity publish` runs, has the publish key (SISTERCITY_PUBLISH_KEY) and a valid identity"
    worse: Level = "fail" if state.agreed else "warn"
    if not state.entries:
        yield Finding("ok", _WHAT, "nothing was published yet")
    elif state.signed_at is None:
        words = f"{state.entries} publications, and none is signed"
        told = f"{words}: partners take nothing of them; {mend}"
        yield Finding("fail", _WHAT, told) if state.agreed else Finding("ok", _WHAT, f"{words}: there is no agreement")
    elif not state.counts:
        yield Finding(
            worse, _WHAT, f"the newest one is refused by partners: expired, or by a key that is revoked; {mend}"
        )
    elif state.unsigned:
        yield Finding(worse, _WHAT, f"{state.unsigned} publications left after the newest one: {mend}")
    elif now_ms > state.signed_at + _LATE_MS:
        hours = (now_ms - state.signed_at) // _HOUR_MS
        yield Finding("warn", _WHAT, f"the newest one is {hours} h old, and ends after seven days: {mend}")
    else:
        yield Finding("ok", _WHAT, f"{state.entries} publications, all signed")
