"""What the loop folds a partition's records with, whatever comes out: cells, or messages of another topic."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from eventlog.protocol import Record
from store.processing import CameraCount, Cell, DeadLetter, Position

DEAD_BLOCK = 10_000
DEAD_LIMIT = DEAD_BLOCK // 100
"""More dead messages than this in a block of `DEAD_BLOCK` stop the partition: a bad deploy must not drain a topic."""


class TooManyDead(Exception):
    """A partition has more dead messages than ordinary trouble explains (R8)."""


class ReplayDiffers(Exception):
    """The log below the stored position no longer gives the readings that were open there (R5)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a partition has come to since the last step: the new position, and what goes with it."""

    position: Position
    cells: Sequence[Cell]
    dead_letters: Sequence[DeadLetter]
    cameras: Sequence[CameraCount] = ()


class Fold(Protocol):
    """Folds the records of one partition, from a position on."""

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that was folded, or the stored one while replaying."""

    @property
    def buffered(self) -> int:
        """How many readings lie in open windows."""

    def feed(self, records: Sequence[Record]) -> None:
        """Fold records that follow each other in the log. Raises `TooManyDead`, `ReplayDiffers`, `LogUnavailable`."""

    def step(self) -> Step | None:
        """What is to be committed, or None if nothing moved since the last step. May raise `LogUnavailable`."""

    def skip_to(self, offset: int) -> None:
        """Go on at `offset` where the log holds nothing at all: what lay before is lost (R5)."""


class Folds(Protocol):
    """Makes the folds of some topics' partitions, which may share what is used by one thread at a time."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics that are read."""

    def fold(self, topic: str, partition: int, position: Position, settled: Set[tuple[int, int]], *, gap: bool) -> Fold:
        """The fold of one partition. `settled` are the dead letters that a replay meets again, as (offset, row); with
        `gap` the log has lost what lay before its first record (R5)."""

    def keep_time(self) -> None:
        """Called every so often, behind a commit. May raise `LogUnavailable` and `StoreUnavailable`."""

    def close(self) -> None:
        """Let go of what the folds share. What was not committed is dropped."""


class DeadBlock:
    """Counts the dead messages of the block of messages under way; more than `limit` in one block are an error."""

    def __init__(self, limit: int, position: Position) -> None:
        self._limit = limit
        self._block = position.account.messages // DEAD_BLOCK
        self._dead = position.dead_in_block

    def count(self, messages: int, offset: int, error: Exception) -> None:
        """Count one, with `messages` accounted for before it. Raises `TooManyDead`."""
        block = messages // DEAD_BLOCK
        if block != self._block:
            self._block, self._dead = block, 0
        self._dead += 1
        if self._dead > self._limit:
            raise TooManyDead(
                f"{self._dead} dead messages within {DEAD_BLOCK} messages, the last at offset {offset}: {error}. If the"
                " messages are right, this version can't read them; if they are not, accept them"
            )

    def under_way(self, messages: int) -> int:
        """The count of the block that the next message belongs to, with `messages` accounted for."""
        return self._dead if self._block == messages // DEAD_BLOCK else 0
