"""Numbers for the sources of an import, so that readings can be columns before they are looked up."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.identity import normal

Codes = NDArray[np.int32]


class _Column:
    """Numbers that are added one by one, as an array."""

    def __init__(self) -> None:
        self._added: list[int] = []
        self._array: Codes = np.empty(0, np.int32)

    def add(self, number: int) -> None:
        self._added.append(number)

    def array(self) -> Codes:
        if self._added:
            self._array = np.concatenate((self._array, np.array(self._added, np.int32)))
            self._added = []
        return self._array


class _Numbered(dict[str | None, int]):
    """Codes for the ids of one metric."""

    def __init__(self, sources: "SourceCodes", metric: str) -> None:
        super().__init__()
        self._sources = sources
        self._metric = metric

    def __missing__(self, source: str | None) -> int:
        code = self[source] = self._sources.added(self._metric, source)
        return code


class SourceCodes:
    """A code for each metric and id as files spell it, from 0; and a key for each metric and id in its normal form.

    `metrics` are those of all sources, `ids` are by code; an id is None where the command names the source.
    """

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.ids: list[str | None] = []
        self._numbered: dict[str, _Numbered] = {}
        self._keys: dict[tuple[str, str | None], int] = {}
        self._key_of, self._metric_of, self._metric_of_key = _Column(), _Column(), _Column()

    def codes(self, metric: str, ids: Sequence[str | None] | None, count: int) -> Codes:
        """The codes of ids, shape (count,)."""
        if metric not in self._numbered:
            self._numbered[metric] = _Numbered(self, metric)
            self.metrics.append(metric)
        numbered = self._numbered[metric]
        if ids is None:
            return np.full(count, numbered[None], np.int32)
        return np.fromiter(map(numbered.__getitem__, ids), np.int32, count)

    def added(self, metric: str, source: str | None) -> int:
        """A new code."""
        number = self.metrics.index(metric)
        key = metric, None if source is None else normal(source)
        if key not in self._keys:
            self._keys[key] = len(self._keys)
            self._metric_of_key.add(number)
        self._key_of.add(self._keys[key])
        self._metric_of.add(number)
        self.ids.append(source)
        return len(self.ids) - 1

    def keys(self, codes: NDArray[np.integer]) -> Codes:
        """The keys of codes."""
        keys: Codes = self._key_of.array()[codes]
        return keys

    def kinds(self, codes: NDArray[np.integer]) -> Codes:
        """The metric of each code: its place in `metrics`."""
        kinds: Codes = self._metric_of.array()[codes]
        return kinds

    def metric(self, code: int) -> str:
        """The metric of a code."""
        return self.metrics[int(self._metric_of.array()[code])]

    def keys_of(self, metrics: Collection[str]) -> NDArray[np.bool_]:
        """By key, whether its metric is one of these."""
        among: NDArray[np.bool_] = np.array([metric in metrics for metric in self.metrics], np.bool_)
        return among[self._metric_of_key.array()] if len(among) else among

    def are_of(self, metrics: Collection[str], codes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether the metric of each code is one of these."""
        among: NDArray[np.bool_] = np.array([metric in metrics for metric in self.metrics], np.bool_)
        return among[self.kinds(codes)] if len(among) else among

    @property
    def key_count(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def __len__(self) -> int:
        return len(self.ids)
