"""The state of a fold: live, replaying what the open windows need, or before a gap.

A fold starts from a position in one of these states, and is live from the first record on that was not folded before.
"""

from dataclasses import dataclass, replace

from processors.fold import ReplayDiffers
from schemas.batch import LAST_MS
from store.processing import Account, Position


@dataclass(frozen=True, slots=True)
class Live:
    """Every record is new."""


@dataclass(frozen=True, slots=True)
class Replaying:
    """Records below `until` were folded before: they fill the windows that held `open` readings there (R2).

    `then` is the state after them.
    """

    until: int
    open: int
    then: "Live | Emptied"

    def end(self, buffered: int) -> None:
        """Raises `ReplayDiffers` unless the replay has buffered as many readings as were open."""
        if buffered != self.open:
            raise ReplayDiffers(
                f"{self.open} readings were open at offset {self.until}, but reading the log again gives {buffered}:"
                " the log was changed below that offset"
            )


@dataclass(frozen=True, slots=True)
class Gap:
    """The log has lost records from some offset on, below `until` or after it; `open` readings were open there (R5)."""

    until: int
    open: int

    def end(self, account: Account, offset: int, buffered: int) -> Account:
        """The account with what is lost: messages up to `offset`, and open readings that were not buffered again.

        If more were buffered than were open, the log has readings there that it did not have, and they count from now.
        """
        messages = offset - self.until
        lost, more = max(self.open - buffered, 0), max(buffered - self.open, 0)
        moved = Account(messages=messages, lost_messages=messages, readings=more, lost=lost)
        return replace(account + moved, open=buffered)


@dataclass(frozen=True, slots=True)
class Emptied:
    """Readings are lost, and the next record has not come: any window may lack readings until then.

    A stored position in this state has `schemas.batch.LAST_MS` as its `incomplete_before`.
    """


State = Live | Replaying | Gap | Emptied


def state_at(position: Position, *, gap: bool) -> State:
    """The state in which a fold starts from a position; with `gap` the log has lost records there."""
    if gap:
        return Gap(position.next_offset, position.account.open)
    then = Emptied() if position.incomplete_before == LAST_MS else Live()
    if position.account.open or position.resume_offset < position.next_offset:
        return Replaying(position.next_offset, position.account.open, then)
    return then
