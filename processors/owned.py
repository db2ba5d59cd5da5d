"""A partition of this process, and the work on it that is left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eventlog.protocol import Record
from processors.fold import Fold
from store.processing import Claim, Position, Step


@dataclass(slots=True)
class Owned:
    """How a partition was taken over, its fold, and the position that is known to be committed.

    `step`: what follows that position and is not known to be committed, None if the fold has given nothing; `compared`:
    whether the position was found to fit the log; `waiting`: the records that were polled and not folded.
    `cut`: where the log was cut short, below what was committed of it, if that was accepted and is not committed yet.
    """

    claim: Claim
    fold: Fold
    committed: Position
    step: Step | None = None
    compared: bool = False
    waiting: Sequence[Record] = ()
    cut: int | None = None

    @property
    def start(self) -> Position:
        """Where a fold starts: the position last committed, as far as the log still has what is below it."""
        if self.cut is None:
            return self.committed
        resume = min(self.committed.resume_offset, self.cut)
        return replace(self.committed, next_offset=self.cut, resume_offset=resume)

    def move(self, position: Position) -> None:
        """The store has this position now."""
        self.claim = replace(self.claim, cut_end=None)
        self.committed, self.cut = position, None

    @property
    def busy(self) -> bool:
        """Whether records wait or windows are left to close. Until then the partition is paused (R15)."""
        return self.fold.closing or bool(self.waiting)

    def work(self, most: int) -> None:
        """Do a piece of the work: close windows, or else fold up to `most` records. Raises what `Fold.feed` raises."""
        if self.fold.closing:
            self.fold.close_some()
            return
        if self.waiting:
            self.fold.feed(self.waiting[:most])
            self.waiting = self.waiting[most:]  # not before: in a replay the fold may find the store away

    def least_end(self, end: int) -> int:
        """The least end of the log that was found below what was committed; it may have grown since."""
        return min(at for at in (end, self.claim.cut_end, self.cut) if at is not None)

    def cut_short(self, end: int) -> str:
        """What is wrong with a log that ended at `end`, before what was processed."""
        return (
            f"the log ended at offset {end}, but messages up to {self.committed.next_offset} were processed: it was cut"
            " short or replaced by another"
        )
