"""What the register says of the sources of an import: asked once for each of them and each state of the register."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ingest.files.ordering import Placed
from ingest.files.source_codes import SourceCodes
from ingest.register import MetricSources, Register, SourceColumns
from schemas.catalogue import Metric


class LookedUp:
    """Looks readings up by the codes of their sources, which are complete; `unnamed` is the id of the nameless ones."""

    def __init__(self, register: Register, sources: SourceCodes, unnamed: str) -> None:
        self._register = register
        self._sources = sources
        self._unnamed = unnamed
        self._kept: dict[str, _Kept] = {}

    def spans(self, metric: Metric, rows: Placed) -> Iterator[tuple[Placed, SourceColumns]]:
        """Readings of one metric in the order of time, in spans in which the register does not change.

        Raises `store.register.RegisterError` if its sources can't be used.
        """
        start = np.ascontiguousarray(rows["start"])
        begin = 0
        while begin < len(rows):
            sources = self._register.at(metric, int(start[begin]))
            end = max(begin + 1, int(np.searchsorted(start, sources.holds_until_ms, "left")))
            kept = self._kept.get(metric.name)
            if kept is None or kept.state is not sources:
                kept = self._kept[metric.name] = _Kept(sources, len(self._sources))
            some = rows[begin:end]
            yield some, self._of(kept, some["source"])
            begin = end

    def _of(self, kept: "_Kept", codes: NDArray[np.int32]) -> SourceColumns:
        asked = kept.asked[codes]
        if not asked.all():
            new = np.unique(codes[~asked])
            ids = [self._sources.ids[code] for code in new.tolist()]
            kept.put(new, kept.state.look_up([self._unnamed if source is None else source for source in ids]))
        return kept.columns.take(codes)


class _Kept:
    """A state of the register, and what it said of the sources by their codes."""

    def __init__(self, state: MetricSources, count: int) -> None:
        self.state = state
        self.asked = np.zeros(count, np.bool_)
        self.columns = SourceColumns(
            np.zeros(count, np.bool_),
            np.zeros(count, np.uint32),
            np.zeros(count, np.uint32),
            np.zeros(count, np.int32),
            np.zeros(count, np.uint8),
            np.zeros(count, np.uint32),
        )

    def put(self, codes: NDArray[np.int32], found: SourceColumns) -> None:
        self.asked[codes] = True
        for name in ("known", "number", "contributor", "area", "class_", "fact"):
            getattr(self.columns, name)[codes] = getattr(found, name)
