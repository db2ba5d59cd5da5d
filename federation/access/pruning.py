"""Removing old lines of the audit, and old assertions: by the publisher, since the server of partners may only append.

What is removed was verified before, and its end stays as the checkpoint from which the chain is verified on.
"""

import logging

from federation.access.audit import BrokenAudit, check_row, follow_audit
from store import audit
from store.access import prune_assertions
from store.database import Connection

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_PERIOD_MS = 600_000
_AT_ONCE = 5_000


class AuditPruning:
    """Removes lines and assertions older than `days`, a part of each chain every ten minutes; none if `days` is 0."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._due_ms = 0
        self._broken: dict[str, str] = {}

    def __call__(self, connection: Connection, now_ms: int) -> int:
        """Do what is due, one process at a time; how much was removed. `now_ms` in ms since 1970, UTC.

        A chain that is not as it was written keeps all its lines, which is logged once. Raises psycopg's errors.
        """
        if not self._days or now_ms < self._due_ms:
            return 0
        before = now_ms - self._days * _DAY_MS
        removed = prune_assertions(connection, before, _AT_ONCE)
        for agreement in audit.chains_from_before(connection, before):
            try:
                removed += prune_chain(connection, agreement, before, _AT_ONCE)
            except BrokenAudit as error:
                if self._broken.get(agreement) != str(error):
                    log.error("no line of the audit of agreement %s is removed: %s", agreement, error)
                self._broken[agreement] = str(error)
        self._due_ms = now_ms if removed >= _AT_ONCE else now_ms + _PERIOD_MS
        return removed


def prune_chain(connection: Connection, agreement: str, before_ms: int, most: int) -> int:
    """Remove the first lines of a chain, at most `most`, that are older than this; the newest line of all stays.

    Raises `BrokenAudit` if one of them is not as it was written; nothing is removed then.
    """
    with connection.transaction():
        audit.lock_pruning(connection)
        head = audit.audit_checkpoint(connection, agreement)
        rows = audit.lines_before(connection, agreement, before_ms, most)
        for row in rows:
            head = follow_audit(head, agreement, row.line)
            check_row(row, head)
        if rows and head is not None:
            audit.remove_lines(connection, agreement, head)
    return len(rows)
