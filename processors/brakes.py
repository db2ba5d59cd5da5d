"""Brakes: too much of what can't be used stops a partition, so that a faulty release does not drain a topic (R8).

A verdict is a function of the log alone: blocks are counted from the partition's first message or row, and the count of
the current block is part of the position.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from processors.readings import Messages
from store.processing import DeadLetter, Position

DEAD_BLOCK = 10_000
DEAD_LIMIT = DEAD_BLOCK // 100
"""More dead messages than this in a block of `DEAD_BLOCK` messages stop the partition."""

ROW_BLOCK = 100_000
ROW_LIMIT = ROW_BLOCK // 100
"""More rejected rows than this in a block of `ROW_BLOCK` rows stop the partition."""


class TooManyDead(Exception):
    """A partition has more dead messages than ordinary trouble explains (R8)."""


class TooManyRejected(Exception):
    """A partition has more rejected rows than ordinary trouble explains (R8)."""


class _Block:
    """What was found in the current block of `size` messages or rows."""

    def __init__(self, size: int, before: int, found: int) -> None:
        self._size = size
        self._number = before // size
        self._found = found

    def add(self, before: int, found: int) -> int:
        """Count what was found after `before` messages or rows; returns how much it is in their block."""
        if before // self._size != self._number:
            self._number, self._found = before // self._size, 0
        self._found += found
        return self._found

    def in_current(self, before: int) -> int:
        """The count of the block that the next message or row belongs to."""
        return self._found if self._number == before // self._size else 0


class DeadBlock:
    """Counts the dead messages of the current block of messages; more than `limit` in one block are an error."""

    def __init__(self, limit: int, position: Position) -> None:
        self._limit = limit
        self._block = _Block(DEAD_BLOCK, position.account.messages, position.dead_in_block)

    def count(self, messages: int, offset: int, error: Exception) -> None:
        """Count a dead message, with `messages` accounted for before it. Raises `TooManyDead`."""
        dead = self._block.add(messages, 1)
        if dead > self._limit:
            raise TooManyDead(
                f"{dead} dead messages within {DEAD_BLOCK} messages, the last at offset {offset}: {error}. If the"
                " messages are right, this version can't read them; if they are not, accept them with --accept-dead"
            )

    def in_current(self, messages: int) -> int:
        """The count of the block that the next message belongs to, with `messages` accounted for."""
        return self._block.in_current(messages)


class RejectedBlock:
    """Counts the rejected rows of the current block of rows; more than `limit` in one block are an error.

    All rows of a message belong to the block of its first row. Rows that are rejected when their window closes are not
    counted (`sum-overflow`, `overlap`).
    """

    def __init__(self, limit: int, position: Position) -> None:
        self._limit = limit
        self._block = _Block(ROW_BLOCK, position.account.readings, position.rejected_in_block)

    def count(self, rows: int, messages: Iterable[Messages], rejected: Sequence[DeadLetter]) -> None:
        """Count the rejected rows of some messages, with `rows` accounted for before them. Raises `TooManyRejected`."""
        if not rejected:
            return
        found = Counter(letter.offset for letter in rejected)
        reasons = {letter.offset: letter.reason for letter in rejected}
        for offset, count in sorted(
            pair for some in messages for pair in zip(some.offset.tolist(), some.count.tolist(), strict=True)
        ):
            if offset in found and (total := self._block.add(rows, found[offset])) > self._limit:
                raise TooManyRejected(
                    f"{total} rejected rows within {ROW_BLOCK} rows, the last at offset {offset}: {reasons[offset]}. If"
                    " the rows are right, this version can't use them; if they are not, accept them with"
                    " --accept-rejected"
                )
            rows += count

    def in_current(self, rows: int) -> int:
        """The count of the block that the next message's rows belong to, with `rows` accounted for."""
        return self._block.in_current(rows)
