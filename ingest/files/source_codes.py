"""Numbers for the sources of an import, so that readings can be columns before they are looked up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.identity import normal

Codes = NDArray[np.int32]


class _Numbered(dict[str | None, int]):
    """Numbers for the ids of one metric."""

    def __init__(self, codes: "SourceCodes", metric: str) -> None:
        super().__init__()
        self._codes = codes
        self._metric = metric

    def __missing__(self, source: str | None) -> int:
        code = self[source] = self._codes.added(self._metric, source)
        return code


class SourceCodes:
    """A code for each metric and id as files spell it, from 0; and a key for each metric and id in its normal form.

    `metrics` and `ids` are by code (an id is None where the command names the source), `key_metrics` by key.
    """

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.ids: list[str | None] = []
        self.key_metrics: list[str] = []
        self._numbered: dict[str, _Numbered] = {}
        self._keys: dict[tuple[str, str | None], int] = {}
        self._key_of: list[int] = []
        self._known_keys: Codes = np.empty(0, np.int32)

    def codes(self, metric: str, ids: Sequence[str | None] | None, count: int) -> Codes:
        """The codes of ids, shape (count,)."""
        if metric not in self._numbered:
            self._numbered[metric] = _Numbered(self, metric)
        numbered = self._numbered[metric]
        if ids is None:
            return np.full(count, numbered[None], np.int32)
        return np.fromiter(map(numbered.__getitem__, ids), np.int32, count)

    def added(self, metric: str, source: str | None) -> int:
        """A new code."""
        key = metric, None if source is None else normal(source)
        if key not in self._keys:
            self._keys[key] = len(self._keys)
            self.key_metrics.append(metric)
        self.metrics.append(metric)
        self.ids.append(source)
        self._key_of.append(self._keys[key])
        return len(self.ids) - 1

    def keys(self, codes: NDArray[np.integer]) -> Codes:
        """The keys of codes."""
        known = len(self._known_keys)
        if known < len(self._key_of):
            self._known_keys = np.concatenate((self._known_keys, np.array(self._key_of[known:], np.int32)))
        keys: Codes = self._known_keys[codes]
        return keys

    def __len__(self) -> int:
        return len(self.ids)
