"""A partition of this process, and the work on it that is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventlog.protocol import Record
from processors.fold import Fold
from store.processing import Claim, Position


@dataclass(slots=True)
class Owned:
    """How a partition was taken over, its fold, and the position last committed.

    `compared`: whether the position was found to fit the log. `waiting`: the records that were polled and not folded.
    """

    claim: Claim
    fold: Fold
    committed: Position
    compared: bool = False
    waiting: Sequence[Record] = ()

    @property
    def busy(self) -> bool:
        """Whether records wait or windows are left to close. Until then the partition is paused (R15)."""
        return self.fold.closing or bool(self.waiting)

    def work(self, most: int) -> None:
        """Do a piece of the work: close windows, or else fold up to `most` records. Raises what `Fold.feed` raises."""
        if self.fold.closing:
            self.fold.close_some()
            return
        records, self.waiting = self.waiting[:most], self.waiting[most:]
        if records:
            self.fold.feed(records)
