"""Rows in runs that have a label in common, such as their window, and how they are told apart by it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from processors.rows import Indices, Rows

_FEW_RUNS = 200
"""So few runs are taken one by one: a poll has few windows and groups, and they seldom alternate."""


@dataclass(frozen=True, slots=True)
class LabelledRuns:
    """Where runs of rows begin, and the label of each. Shape (r,); no run is empty, and the first begins at 0."""

    begins: Indices
    label: NDArray[np.int64]

    @staticmethod
    def of(label: NDArray[np.int64]) -> "LabelledRuns":
        """The runs of rows with these labels, shape (n,)."""
        begins = np.flatnonzero(changes(label))
        return LabelledRuns(begins, label[begins])

    def labels(self, count: int) -> NDArray[np.int64]:
        """The label of each of the `count` rows."""
        return np.repeat(self.label, np.diff(self.begins, append=count))

    def split(self, rows: Rows) -> Iterator[tuple[int, list[Rows]]]:
        """The rows label by label, each in their order and with messages that have some of them; views if the runs are
        few."""
        if not len(self.begins):
            return
        new = changes(self.label)
        begins, label = self.begins[new].tolist(), self.label[new]
        if len(label) == 1:
            yield int(label[0]), [replace(rows, messages=rows.messages.with_counts(rows.messages.count))]
        elif len(label) <= _FEW_RUNS:
            found: dict[int, list[Rows]] = {}
            for of_run, begin, end in zip(label.tolist(), begins, [*begins[1:], len(rows)], strict=True):
                found.setdefault(of_run, []).append(rows.between(begin, end))
            yield from sorted(found.items())
        else:
            yield from self._sorted(rows)

    def _sorted(self, rows: Rows) -> Iterator[tuple[int, list[Rows]]]:
        label = self.labels(len(rows))
        label -= (low := int(label.min()))
        order = np.argsort(label.astype(np.uint16) if int(label.max()) < 1 << 16 else label, kind="stable")
        ordered = label[order]
        begins = np.flatnonzero(changes(ordered))
        for of_run, places in zip(ordered[begins].tolist(), np.split(order, begins[1:]), strict=True):
            yield of_run + low, [rows.take(places)]


def changes(ordered: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which differ from the one before. Shape (n,)."""
    changed = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    return changed
