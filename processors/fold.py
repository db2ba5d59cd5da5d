"""What a fold is, whatever it produces: it takes the records of one partition, and from time to time gives a step."""

from collections.abc import Callable, Sequence, Set
from typing import Protocol

from eventlog.protocol import Record
from store.processing import Position, Step

Settled = Callable[[int, int], Set[tuple[int, int]]]
"""The dead letters at the offsets from the first argument up to the second, as (offset, row): a replay skips them, even
if this version could read them (R2)."""


class ReplayDiffers(Exception):
    """Reading the log again from the stored position does not give the readings that were open there (R5)."""


class Fold(Protocol):
    """Folds the records of one partition, from a position on."""

    @property
    def next_offset(self) -> int:
        """The offset after the last record that was folded, or the stored one while replaying."""

    @property
    def buffered(self) -> int:
        """How many readings are in open windows."""

    @property
    def held(self) -> tuple[int, int]:
        """How many bytes open windows take in memory, and on disk."""

    @property
    def closing(self) -> bool:
        """Whether windows are left that have to be closed before anything else is done (R15)."""

    def close_some(self) -> None:
        """Do a piece of closing windows, which takes less than a second.

        The result does not depend on the pieces: whatever is left, `feed` and `step` do first.
        """

    def feed(self, records: Sequence[Record]) -> None:
        """Fold records that follow each other in the log. Raises `TooManyDead`, `TooManyRejected`, `ReplayDiffers`,
        `LogUnavailable`.

        May raise what the factory's `settled` raises.
        """

    def step(self) -> Step | None:
        """What is to be committed, or None if nothing moved since the last step. May raise `LogUnavailable`."""

    def pass_over(self, offset: int) -> None:
        """The log was read up to `offset`. After the last record, it has no message before that (R17), or lost it (R5).

        May raise `ReplayDiffers`.
        """

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: the messages before it can't be read and are lost (R14)."""


class FoldFactory(Protocol):
    """Creates the folds of the partitions of some topics. One thread uses all of them."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics that are read."""

    def create(self, topic: str, position: Position, settled: Settled, *, gap: bool) -> Fold:
        """The fold of one partition of `topic`, from `position` on.

        `settled` gives the dead letters that a replay meets again, and is called in `feed`. With `gap` the log has
        lost what was before its first record (R5).
        """
