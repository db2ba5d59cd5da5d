"""A store that fails on request."""

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
