"""The rows of one open window: in memory, and on disk where memory is short (R10)."""

from collections import deque
from collections.abc import Iterator
from typing import Generic

from processors.dividing import Divisible
from processors.open_memory import OpenMemory
from processors.pieces import Pieces
from processors.spilling import RowKind, SpilledRows, size_of

_NEVER = 2**62
_ARRAY_BYTES = 128
"""What numpy takes for an array besides its elements."""


class OpenRows(Generic[Divisible]):
    """The rows of one window in the order of the log.

    Rows that can no longer count are dropped when memory is short (R6). They stay readings of an open window until it
    closes, so that the account is the same whether and whenever they were dropped.
    """

    def __init__(self, kind: RowKind[Divisible], memory: OpenMemory) -> None:
        self._kind = kind
        self._memory = memory
        self._parts: deque[Divisible] = deque()
        self._spilled: SpilledRows[Divisible] | None = None
        self._dropped = 0
        self.first_offset = _NEVER
        """The lowest offset of all rows, also of those that were dropped."""
        self.held = 0
        self.closing = False
        memory.register(self)

    @property
    def on_disk(self) -> int:
        """Bytes on disk."""
        return 0 if self._spilled is None else self._spilled.bytes

    @property
    def dropped(self) -> int:
        """How many duplicates were dropped."""
        return self._dropped + (0 if self._spilled is None else self._spilled.dropped)

    def append(self, part: Divisible, first_offset: int) -> None:
        """Keep rows that came after all rows of their key. They may not be views of something larger."""
        self._parts.append(part)
        self.first_offset = min(self.first_offset, first_offset)
        size = self._size(part)
        self.held += size
        self._memory.grown(size)

    def shrink(self) -> None:
        part, size = self._oldest()
        kept = self._kind.without_duplicates(part)
        self._dropped += len(part) - len(kept)
        if 2 * self._size(kept) <= size:
            self._parts.appendleft(kept)
            self.held += self._size(kept)
        else:
            self._spill(kept)

    def portions(self) -> Pieces[Iterator[list[Divisible]]]:
        """All rows in portions, each with all rows of its keys, and each in parts. No rows may be added from now on.

        A piece brings some of them to the rest on disk, if there is any. Going on to the next portion reads a file, and
        may raise `processors.spilling.SpillFailed`.
        """
        self.closing = True
        if self._spilled is None:
            parts = list(self._parts)
            self._parts.clear()
            return iter([parts])
        while self._parts:
            part, _ = self._oldest()
            self._spill(part)
            yield
        return self._spilled.portions()

    def _oldest(self) -> tuple[Divisible, int]:
        """Take about a piece of what is in memory; returns how many bytes it was, too."""
        taken, size = [], 0
        while self._parts and size < self._memory.piece_bytes:
            taken.append(self._parts.popleft())
            size += self._size(taken[-1])
        self.held -= size
        return self._kind.join(taken), size

    def _spill(self, part: Divisible) -> None:
        if self._spilled is None:
            if self._memory.folder is None:
                raise ValueError("without a folder there is no limit of memory")
            self._spilled = SpilledRows(self._kind, self._memory.folder, self._memory.file_bytes)
        self._spilled.append(part)

    def _size(self, part: Divisible) -> int:
        return size_of(self._kind, part) + _ARRAY_BYTES * len(self._kind.dtypes)
