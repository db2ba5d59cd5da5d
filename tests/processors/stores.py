"""Stores that fail on request."""

from collections.abc import Callable

from store.processing import StoreUnavailable
from store.processing_memory import MemoryStore


class FailingStore(MemoryStore):
    """Loses its connection at chosen commits, before or after they took effect."""

    def __init__(self, failures) -> None:
        super().__init__()
        self.failures = list(failures)

    def commit(self, commits):
        failure = self.failures.pop(0) if self.failures else None
        if failure == "before":
            raise StoreUnavailable("cut before COMMIT")
        super().commit(commits)
        if failure == "after":
            raise StoreUnavailable("cut after COMMIT")


class AwayStore(MemoryStore):
    """Does not answer from the commit numbered `away_from` on, for `attempts` attempts to connect.

    `meanwhile` is called at each of these attempts, and `seen` is what it returned.
    """

    def __init__(self, away_from: int, attempts: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._away_from, self._attempts, self._meanwhile = away_from, attempts, meanwhile
        self._commits = 0
        self.seen: list[object] = []

    @property
    def _away(self) -> bool:
        return self._commits >= self._away_from and self._attempts > 0

    def _answer(self) -> None:
        if self._away:
            raise StoreUnavailable("no answer")

    def connect(self):
        if self._away:
            self.seen.append(self._meanwhile())
            self._attempts -= 1
        self._answer()

    def claim(self, partitions):
        self._answer()
        return super().claim(partitions)

    def stored(self, partitions):
        self._answer()
        return super().stored(partitions)

    def record_stop(self, partition, epoch, reason, cut_end=None):
        self._answer()
        super().record_stop(partition, epoch, reason, cut_end)

    def commit(self, commits):
        self._commits += 1
        self._answer()
        super().commit(commits)
