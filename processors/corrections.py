"""A window whose readings did not all come in time: read again, and reduced at several bounds (R13). Pure.

A row of a window that lies below the offset where the window closed was in time, and a row above it was late, because a
watermark never falls (R1). So what the processor made of the window is what its rows below that offset come to, and
what it is after late readings is what those below a later offset come to. One pass over the log gives all of them.

Streams of traffic are not corrected. Their contributors are vehicles, which nothing identifies: how many of them a late
picture changes can't be counted, and a change may leave only if enough of them did (P6). A pass is also followed over
several pictures, among them those of the window before that were in time for this one alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.dividing import divided_groups
from processors.groups import group_name
from processors.open_memory import OpenMemory
from processors.open_rows import OpenRows
from processors.pieces import Pieces
from processors.reduce import reduce_window
from processors.rows import ROW_TYPES, Rows
from processors.spilling import RowKind
from processors.winners import contradicting, winning
from schemas.catalogue import Metric
from schemas.topics import REGIONS
from store.corrections import Content, CorrectedCell, Place
from store.processing import Amounts

_MOST_ROWS = 1_000_000
"""A piece of the reduction takes about so many rows."""


def is_corrected(metric: Metric) -> bool:
    """Whether late readings of a metric are counted afterwards."""
    return metric.dataset != REGIONS


@dataclass(frozen=True, slots=True)
class Reread:
    """What a window came to when it was read again.

    `contents` are its cells at each bound, in the order of the bounds; `changes`, one for each bound but the last, the
    amounts of the change from there to the last bound, of the cells that have any at the last.
    """

    contents: Sequence[Mapping[Place, Amounts]]
    changes: Sequence[Mapping[Place, Amounts]]

    def gives(self, known: Sequence[Content]) -> bool:
        """Whether the cells at the earlier bounds are those that were stored, and all of them are still there."""
        expected = [content.cells for content in known]
        last = self.contents[-1]
        return list(self.contents[:-1]) == expected and all(place in last for cells in expected for place in cells)

    def changed(self, known: Sequence[Content], incomplete: bool) -> list[CorrectedCell]:
        """The cells that differ from the content before the last, in the order of their places."""
        before, after = self.contents[-2:]
        return [
            CorrectedCell(
                *place,
                amounts,
                incomplete,
                {at.step: change[place] for at, change in zip(known, self.changes, strict=True)},
            )
            for place, amounts in sorted(after.items())
            if before.get(place) != amounts
        ]


class RereadWindow:
    """The rows of one window of `metric` in one partition, which are collected and then reduced at every bound.

    `bounds` are offsets in ascending order, two or more; the window is `width_ms` long. Rows that count at no bound are
    dropped where `memory` is short, and the others go to disk. Methods raise `processors.spilling.SpillFailed`.
    """

    def __init__(self, metric: Metric, width_ms: int, bounds: Sequence[int], memory: OpenMemory) -> None:
        self._metric = metric
        self._width_ms = width_ms
        self._bounds = np.array(bounds, np.int64)
        self._rows = OpenRows(self._kind(), memory)

    def add(self, rows: Rows) -> None:
        """Take rows of the window, which follow all others in the log. Those at the last bound and above are left out.

        They may not be views of something larger.
        """
        if len(rows) and int(rows.offset[-1]) >= self._bounds[-1]:
            rows = rows.between(0, int(np.searchsorted(rows.offset, self._bounds[-1])))
        if len(rows):
            self._rows.append(rows, int(rows.offset[0]))

    def reduce(self) -> Pieces[Reread]:
        """Reduce what was taken, which is dropped, in pieces of about `_MOST_ROWS` rows."""
        contents: list[dict[Place, Amounts]] = [{} for _ in self._bounds]
        changes: list[dict[Place, Amounts]] = [{} for _ in self._bounds[1:]]
        for portion in (yield from self._rows.portions()):
            for division in (yield from divided_groups(portion, _MOST_ROWS)):
                self._reduce(Rows.join(division), contents, changes)
                yield
        return Reread(contents, changes)

    def _reduce(self, rows: Rows, contents: list[dict[Place, Amounts]], changes: list[dict[Place, Amounts]]) -> None:
        """Add what some groups come to; `rows` are all rows of theirs."""
        ends = np.searchsorted(rows.offset, self._bounds).tolist()
        last: Mapping[int, Amounts] = {}
        for content, end in zip(contents, ends, strict=True):
            last = reduce_window(rows.between(0, end), self._metric, self._width_ms).groups
            content.update({group_name(self._metric, group): amounts for group, amounts in last.items()})
        after = self._counting(rows, ends[-1])
        for change, end in zip(changes, ends[:-1], strict=True):
            found = changed_amounts(rows, self._counting(rows, end), after, of_states=self._of_states)
            change.update({group_name(self._metric, group): found.get(group, _NO_CHANGE) for group in last})

    @property
    def _of_states(self) -> bool:
        return self._metric.kind == "mean-of-last"

    def _counting(self, rows: Rows, end: int) -> NDArray[np.intp]:
        """The places of the rows that count among the first `end`: winners, or of states each source's last."""
        winners = winning(rows.between(0, end))
        if not self._of_states or not len(winners):
            return winners[~contradicting(rows.take(winners), self._metric)]
        order = winners[np.lexsort((rows.start[winners], rows.source[winners], rows.group[winners]))]
        source, group = rows.source[order], rows.group[order]
        return order[np.r_[(source[1:] != source[:-1]) | (group[1:] != group[:-1]), True]]

    def _kind(self) -> RowKind[Rows]:
        """Rows are reduced group by group, and dropped if they win at no bound."""
        return RowKind(
            join=Rows.join,
            key=_group,
            winners=self._winning_somewhere,
            apart=Rows.columns,
            together=Rows.of_columns,
            dtypes=ROW_TYPES,
        )

    def _winning_somewhere(self, rows: Rows) -> NDArray[np.intp]:
        """The places of the rows that win among those between two bounds. No other row wins at any bound."""
        ends = np.searchsorted(rows.offset, self._bounds).tolist()
        pieces = [
            begin + winning(rows.between(begin, end)) for begin, end in zip([0, *ends], [*ends, len(rows)], strict=True)
        ]
        return np.concatenate(pieces)


def changed_amounts(
    rows: Rows, before: NDArray[np.intp], after: NDArray[np.intp], *, of_states: bool
) -> Mapping[int, Amounts]:
    """By group, the amounts of the change from the rows at the places `before` to those at `after`.

    A contributor counts if its net amount differs; with `of_states`, also if the number of its rows does: a container
    that is empty and reports for the first time changes a mean. Groups in which no row differs are left out.
    """
    places = np.setxor1d(before, after, assume_unique=True)
    if not len(places):
        return {}
    sign = np.where(np.isin(places, after), 1, -1)
    moved = rows.take(places)
    key = (moved.group.astype(np.uint64) << np.uint64(32)) | moved.contributor
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.r_[True, key[order][1:] != key[order][:-1]])
    net = np.add.reduceat((sign * moved.value)[order], edges)
    differs = net != 0
    if of_states:
        differs |= np.add.reduceat(sign[order], edges) != 0
    group = moved.group[order][edges].astype(np.int64)
    found = {}
    for number in np.unique(group).tolist():
        own, of_group = moved.group == number, group == number
        absolute = np.abs(net[of_group])
        found[number] = Amounts(
            value=int(net[of_group].sum()),
            readings=int(own.sum()),
            contributors=int(differs[of_group].sum()),
            largest=int(absolute.max()),
            absolute=int(absolute.sum()),
            covered_ms=0,
            first_offset=int(moved.offset[own].min()),
            last_offset=int(moved.offset[own].max()),
        )
    return found


_NO_CHANGE = Amounts(0, 0, 0, 0, 0, 0, 0, 0)


def _group(rows: Rows) -> NDArray[np.uint32]:
    return rows.group
