"""A partition of this process, and the work on it that is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventlog.protocol import Record
from processors.fold import Fold
from store.processing import Claim, Position, Step


@dataclass(slots=True)
class Owned:
    """How a partition was taken over, its fold, and the position that is known to be committed.

    `step`: what follows that position and is not known to be committed, None if the fold has given nothing; `compared`:
    whether the position was found to fit the log; `waiting`: the records that were polled and not folded.
    """

    claim: Claim
    fold: Fold
    committed: Position
    step: Step | None = None
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
        if self.waiting:
            self.fold.feed(self.waiting[:most])
            self.waiting = self.waiting[most:]  # not before: in a replay the fold may find the store away

    def cut_short(self, end: int) -> str:
        """What is wrong with a log that ends at `end`, before what was processed."""
        return (
            f"the log ends at offset {end}, but messages up to {self.committed.next_offset} were processed: it was cut"
            " short or replaced by another; the stored offsets do not fit it"
        )
