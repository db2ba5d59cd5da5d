"""What grows: the database, against the room that it has, and the audit, whose old lines are removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.doctor.finding import Finding

if TYPE_CHECKING:
    from store.database import DatabaseUrl
    from store.pruning import DatabaseSize

_DAY_MS = 86_400_000
_GB = 10**9
_MB = 10**6
_AHEAD_DAYS = 3
_LATE_DAYS = 2
"""So long after their time, lines of the audit are overdue: the publisher removes them every ten minutes."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The size of the database, and when the oldest line of the audit was written that may be removed."""

    size: "DatabaseSize"
    oldest_line: int | None


def read_growth(database_url: "DatabaseUrl", limit_s: int, now_ms: int) -> Growth:
    """Read both. `limit_s`: seconds for each statement. Raises psycopg's errors."""
    from store.audit import oldest_line
    from store.inspection import read_only_connection
    from store.pruning import database_size

    with read_only_connection(database_url, limit_s) as connection:
        return Growth(database_size(connection, now_ms), oldest_line(connection))


def judge_growth(found: Growth, now_ms: int, *, budget_gb: float | None, audit_days: int) -> Iterator[Finding]:
    """The database's size, with a warning three days before it takes what it may; and the audit. Pure."""
    yield _judge_size(found.size, now_ms, budget_gb)
    if found.oldest_line is None:
        return
    days = (now_ms - found.oldest_line) // _DAY_MS
    if not audit_days:
        yield Finding("ok", "audit", f"all lines are kept, the oldest for {days:,} days (SISTERCITY_AUDIT_DAYS=0)")
    elif days > audit_days + _LATE_DAYS:
        words = f"the oldest line is {days:,} days old, and SISTERCITY_AUDIT_DAYS is {audit_days:,}"
        yield Finding("warn", "audit", f"{words}: does `sistercity publish` run, and `sistercity audit verify` agree?")
    else:
        yield Finding("ok", "audit", f"lines are kept for {audit_days:,} days; the oldest is {days:,} days old")


def _judge_size(size: "DatabaseSize", now_ms: int, budget_gb: float | None) -> Finding:
    what, words = "size of the database", f"{size.bytes / _GB:,.2f} GB"
    a_day = None
    if size.earlier_at is not None and size.earlier_bytes is not None:
        a_day = (size.bytes - size.earlier_bytes) / ((now_ms - size.earlier_at) / _DAY_MS)
        words += f", {a_day / _MB:+,.1f} MB a day"
    if budget_gb is None:
        return Finding("ok", what, f"{words}; SISTERCITY_DATABASE_BUDGET_GB lets doctor warn before its disk is full")
    left = budget_gb * _GB - size.bytes
    words += f"; it may take {budget_gb:g} GB"
    advice = "make room, raise SISTERCITY_DATABASE_BUDGET_GB, or keep less (SISTERCITY_CELL_DAYS)"
    if left <= 0:
        return Finding("fail", what, f"{words}, and takes more: {advice}")
    if a_day is None or a_day <= 0:
        return Finding("ok", what, words)
    days = left / a_day
    if days <= _AHEAD_DAYS:
        return Finding("warn", what, f"{words}, which is reached in {days:.1f} days: {advice}")
    return Finding("ok", what, f"{words}, which is reached in {days:,.0f} days")
