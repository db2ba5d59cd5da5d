"""What a processor does beside its work, from time to time: it removes old dead letters, also those of ingest."""

from collections.abc import Callable
from time import monotonic

PRUNE_AT_ONCE = 10_000
_PAUSE_S = 60.0


class Housekeeping:
    """Removes dead letters older than `days`, a part every minute; none if `days` is 0.

    `prune` is that of `store.processing_postgres.PostgresStore`; `clock` gives seconds.
    """

    def __init__(self, prune: Callable[[int, int], int], days: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._prune = prune
        self._days = days
        self._clock = clock
        self._due = clock()

    def __call__(self) -> None:
        """Called after commits. Raises `store.processing.StoreUnavailable`."""
        if not self._days or self._clock() < self._due:
            return
        removed = self._prune(self._days, PRUNE_AT_ONCE)
        self._due = self._clock() + (0 if removed >= PRUNE_AT_ONCE else _PAUSE_S)
