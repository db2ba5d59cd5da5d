"""The memory of all open windows of a process, and what happens when it is used up (R10)."""

from typing import Protocol
from weakref import WeakSet

from processors.spilling import SpillFolder

_PIECE_BYTES = 16 << 20
_FILE_BYTES = 16 << 20


class HeldRows(Protocol):
    """Rows that take memory."""

    @property
    def held(self) -> int:
        """Bytes in memory."""

    @property
    def closing(self) -> bool:
        """Whether they are being reduced already."""

    def shrink(self) -> None:
        """Take less memory: free a piece of duplicates, and put it on disk if that does not halve it.

        Raises `processors.spilling.SpillFailed`.
        """


class OpenMemory:
    """Keeps the open windows of all partitions and metrics of a process within `limit` bytes of memory.

    What is above goes into `folder`; without one there is no limit. About `piece_bytes` are moved at a time, and files
    larger than `file_bytes` are divided, so that no step takes long. One thread uses it.
    """

    def __init__(
        self,
        limit: int = 0,
        folder: SpillFolder | None = None,
        *,
        piece_bytes: int = _PIECE_BYTES,
        file_bytes: int = _FILE_BYTES,
    ) -> None:
        self.limit = limit
        self.folder = folder
        self.file_bytes = file_bytes
        self.piece_bytes = piece_bytes
        self._rows: WeakSet[HeldRows] = WeakSet()  # the folds of lost partitions are dropped, not closed
        self._at_most = 0

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(rows.held for rows in self._rows)

    def register(self, rows: HeldRows) -> None:
        """From now on these rows count."""
        self._rows.add(rows)

    def grown(self, size: int) -> None:
        """Some rows have become larger by so many bytes."""
        self._at_most += size

    def make_room(self) -> None:
        """Shrink the largest rows until all are within the limit. Raises `processors.spilling.SpillFailed`."""
        if self._at_most <= self.limit or self.folder is None:
            return
        self._at_most = self.held
        while self._at_most > self.limit:
            candidates = [rows for rows in self._rows if not rows.closing and rows.held]
            if not candidates:
                return
            max(candidates, key=lambda rows: rows.held).shrink()
            self._at_most = self.held
