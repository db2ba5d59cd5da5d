"""What the publisher does beside its work, from time to time: it removes what is old, and notes the database's size."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.access.pruning import AuditPruning
    from store.database import Connection

_DAY_MS = 86_400_000
_PERIOD_MS = 3_600_000
_AT_ONCE = 20_000
_RUN_MS = 100 * _DAY_MS
"""No writer is silent for so long and goes on."""


class PublisherHousekeeping:
    """Every hour removes cells whose publications left more than `cell_days` ago, or whose windows ended then and will
    not be published, a part at a time (none if that is 0), and sums up the account of old runs; `audit` has a period of
    its own. `city` is the city's id."""

    def __init__(self, audit: "AuditPruning", cell_days: int, city: str) -> None:
        self._audit = audit
        self._city = city
        self._cell_days = cell_days
        self._due_ms = 0

    def __call__(self, connection: "Connection", now_ms: int) -> None:
        """Called after each turn. `now_ms` in ms since 1970, UTC. Raises psycopg's errors."""
        from store.pruning import fold_deliveries, note_size

        self._audit(connection, now_ms)
        if now_ms < self._due_ms:
            return
        note_size(connection, now_ms)
        fold_deliveries(connection, now_ms - _RUN_MS)
        removed = self._prune(connection, now_ms - self._cell_days * _DAY_MS) if self._cell_days else 0
        self._due_ms = now_ms + (0 if removed >= _AT_ONCE else _PERIOD_MS)

    def _prune(self, connection: "Connection", before: int) -> int:
        from schemas.catalogue import catalogue, published
        from schemas.topics import is_live
        from store.pruning import prune_cells, prune_unpublished_cells
        from store.replaced_topics import known_topics

        running = [known.topic for known in known_topics(connection) if is_live(self._city, known.topic)]
        never = catalogue().keys() - published().keys()
        return prune_cells(connection, before, _AT_ONCE) + prune_unpublished_cells(
            connection, running, never, before, _AT_ONCE
        )
