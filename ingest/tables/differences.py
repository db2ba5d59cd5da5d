"""From the states of a register that only rises to the energy of the intervals between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingest.files.pieces import FilePiece, Readings, kept
from ingest.files.reasons import CONTRADICTION, REGISTER_FELL, REGISTER_STEP
from store.deliveries import Refused

FIRST_STATE, REPEATED_STATE = "first-state", "repeated-state"
"""Why a line is no reading, and nothing is lost with it."""


@dataclass(frozen=True, slots=True)
class _State:
    time: int
    value: int
    quality: int


class Differences:
    """Takes the states of each source in the order of the file, and holds the last one of each.

    A reading begins at a state and ends at the next, which must be one interval later; it has the position and the
    original of the later one, and is measured if both are. A lower state is refused, and what follows counts from it.
    """

    def __init__(self) -> None:
        self._last: dict[str, _State] = {}

    def of(self, piece: FilePiece) -> FilePiece:
        """The readings between the states of a piece, and what of it is refused."""
        refused = list(piece.refused)
        empty = dict(piece.empty)
        readings = [self._between(states, refused, empty) for states in piece.readings]
        return FilePiece(readings, refused, empty)

    def _between(self, states: Readings, refused: list[Refused], empty: dict[str, int]) -> Readings:
        rows: list[int] = []
        starts: list[int] = []
        values: list[int] = []
        qualities: list[int] = []
        sources: Sequence[str | None] = states.source if states.source is not None else [None] * len(states)
        columns = (states.start, states.interval, states.value, states.quality)
        for row, (source, time, length, value, quality) in enumerate(
            zip(sources, *(column.tolist() for column in columns), strict=True)
        ):
            last = self._last.get(source or "")
            state = _State(time, value, quality)
            found = _judge(last, state, length)
            if found == REPEATED_STATE:
                empty[found] = empty.get(found, 0) + 1
                continue
            if found != CONTRADICTION:
                self._last[source or ""] = state
            if found == FIRST_STATE:
                empty[found] = empty.get(found, 0) + 1
            elif found:
                refused.append(Refused(int(states.position[row]), found, kept(states.original[row])))
            elif last is not None:
                rows.append(row)
                starts.append(last.time)
                values.append(value - last.value)
                qualities.append(min(quality, last.quality))
        return Readings(
            states.metric,
            states.position[rows],
            None if states.source is None else [states.source[row] for row in rows],
            np.array(starts, np.int64),
            states.interval[rows],
            np.array(values, np.int64),
            np.array(qualities, np.uint8),
            [states.original[row] for row in rows],
        )


def _judge(last: _State | None, state: _State, length: int) -> str:
    """Why there is no reading between two states; "" if there is one."""
    if last is None:
        return FIRST_STATE
    if state.time == last.time:
        return REPEATED_STATE if state.value == last.value else CONTRADICTION
    if state.value < last.value and state.time > last.time:
        return REGISTER_FELL
    return "" if state.time - last.time == length else REGISTER_STEP
