"""The sources of a metric in memory, for tests that need no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.register import SourceColumns
from store.source_history import BEGINNING_MS, NEVER_MS


@dataclass(frozen=True)
class Registered:
    number: int
    contributor: int
    area: int
    class_: int = 0
    fact: int = 0


@dataclass(frozen=True)
class InMemorySources:
    """Implements `ingest.register.MetricSources` on a dict from id to row."""

    rows: Mapping[str, Registered]
    holds_from_ms: int = BEGINNING_MS
    holds_until_ms: int = NEVER_MS

    def look_up(self, ids: Sequence[str]) -> SourceColumns:
        rows = [self.rows.get(source, Registered(0, 0, 0, 0)) for source in ids]
        return SourceColumns(
            known=np.array([source in self.rows for source in ids], np.bool_),
            number=np.array([row.number for row in rows], np.uint32),
            contributor=np.array([row.contributor for row in rows], np.uint32),
            area=np.array([row.area for row in rows], np.int32),
            class_=np.array([row.class_ for row in rows], np.uint8),
            fact=np.array([row.fact for row in rows], np.uint32),
        )
