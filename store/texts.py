"""Many texts as columns: their UTF-8 end to end, compared, hashed and told apart without an object for each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 50_000
"""Texts that are compared at once: each takes some hundred bytes meanwhile."""

_SEEDS = np.frombuffer(os.urandom(16), np.uint64)
"""Secret, and the same for the life of the process."""
_WORD = 8


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Texts:
    """Texts as UTF-8: text n is `data[start[n] : start[n] + length[n]]`.

    `data` uint8; `start` and `length` int64 of shape (n,), in bytes. Texts may lie in any order and share bytes.
    """

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """These texts, end to end."""
        joined = "".join(texts)
        lengths = map(len, texts) if joined.isascii() else (len(t.encode("utf-8", "surrogatepass")) for t in texts)
        data = np.frombuffer(joined.encode("utf-8", "surrogatepass"), np.uint8)
        return cls.end_to_end(data, np.fromiter(lengths, np.int64, len(texts)))

    @classmethod
    def end_to_end(cls, data: NDArray[np.uint8], length: NDArray[np.int64]) -> "Texts":
        """Texts of these lengths that follow one another in `data`."""
        return cls(data, np.cumsum(length) - length, length)

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: NDArray[np.int64]) -> "Texts":
        """The texts with these numbers, in this order, on the same bytes."""
        return Texts(self.data, self.start[rows], self.length[rows])

    def packed(self) -> "Texts":
        """The same texts, end to end and with no other byte in `data`."""
        ends = np.cumsum(self.length)
        total = int(ends[-1]) if len(ends) else 0
        if total == len(self.data) and np.array_equal(self.start, ends - self.length):
            return self
        padded = self.padded()
        return Texts.end_to_end(padded[self.used(padded.shape[1])], self.length)

    def bytes_of(self, row: int) -> bytes:
        """One text as UTF-8."""
        start = int(self.start[row])
        return self.data[start : start + int(self.length[row])].tobytes()

    def strings(self) -> list[str]:
        """The texts as strings."""
        packed = self.packed()
        data = packed.data.tobytes()
        bounds = zip(packed.start.tolist(), (packed.start + packed.length).tolist(), strict=True)
        if data.isascii():
            whole = data.decode()
            return [whole[start:end] for start, end in bounds]
        return [data[start:end].decode("utf-8", "surrogatepass") for start, end in bounds]

    def used(self, width: int) -> NDArray[np.bool_]:
        """Which bytes of a row of `padded` belong to its text: shape (n, width)."""
        if len(self) and int(self.length.min()) >= width:
            return np.ones((len(self), width), np.bool_)
        used: NDArray[np.bool_] = np.arange(width, dtype=np.uint32) < self.length.astype(np.uint32)[:, None]
        return used

    def padded(self, multiple: int = 1) -> NDArray[np.uint8]:
        """The texts with zeros after each: shape (n, width), the width of the longest, up to a `multiple`."""
        longest = int(self.length.max(initial=0))
        found = np.zeros((len(self), -(-longest // multiple) * multiple), np.uint8)
        if not longest:
            return found
        last = len(self.data) - longest  # where the last piece of this length begins
        late = self.start > last
        found[:, :longest] = _pieces(self.data, np.minimum(self.start, last), longest)
        if late.any():
            tail = np.concatenate([self.data[last:], np.zeros(longest, np.uint8)])
            found[late, :longest] = _pieces(tail, self.start[late] - last, longest)
        if int(self.length.min()) < longest:
            found *= self.used(found.shape[1])
        return found

    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each text: uint64 of shape (n,). Equal texts have equal ones in the life of this process.

        Nobody can foresee them. The mixing is that of MurmurHash3's 64-bit finaliser, for each eight bytes.
        """
        words = self.padded(_WORD).view(np.uint64)
        found = _mixed(self.length.astype(np.uint64) ^ _SEEDS[0])
        for column in range(words.shape[1]):
            found = _mixed(found ^ words[:, column])
        return _mixed(found ^ _SEEDS[1])

    def same(self, other: "Texts") -> NDArray[np.bool_]:
        """Whether each text is equal to the other one in its place: shape (n,)."""
        found: NDArray[np.bool_] = self.length == other.length
        equal = np.flatnonzero(found)
        for begin in range(0, len(equal), AT_ONCE):
            rows = equal[begin : begin + AT_ONCE]
            found[rows] = (self.take(rows).padded() == other.take(rows).padded()).all(axis=1)
        return found

    def told_apart(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The different texts, as the number of a row of each, and which of them every row has, shape (n,).

        `hashes` has a number for each row that is the same for equal texts, and rarely for others.
        """
        order = np.argsort(hashes)
        ordered = hashes[order]
        alike = ordered[1:] == ordered[:-1]
        equal = self._equal_to_last(order, alike)
        if not np.array_equal(equal, alike):  # different texts with one hash: bring those that are equal together
            for value in np.unique(ordered[1:][alike & ~equal]):
                begin, end = np.searchsorted(ordered, value), np.searchsorted(ordered, value, "right")
                order[begin:end] = sorted(order[begin:end].tolist(), key=self.bytes_of)
            equal = self._equal_to_last(order, alike)
        first = np.concatenate([np.ones(min(len(order), 1), np.bool_), ~equal])
        which = np.empty(len(order), np.int64)
        which[order] = np.cumsum(first) - 1
        return order[first], which

    def _equal_to_last(self, order: NDArray[np.int64], alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of the rows in this order that have the hash of the last one, those that have its text."""
        equal = alike.copy()
        at = np.flatnonzero(alike)
        equal[at] = self.take(order[at + 1]).same(self.take(order[at]))
        return equal


def joined(parts: Sequence[Texts]) -> Texts:
    """The texts of all parts, each of which is packed."""
    data = np.concatenate([np.zeros(0, np.uint8), *(part.data for part in parts)])
    return Texts.end_to_end(data, np.concatenate([np.zeros(0, np.int64), *(part.length for part in parts)]))


def repeated(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The places of all keys that are there more than once, in ascending order."""
    order = np.argsort(keys)
    keys = keys[order]
    equal = keys[1:] == keys[:-1]
    return np.unique(np.concatenate([order[1:][equal], order[:-1][equal]]))


def _pieces(data: NDArray[np.uint8], start: NDArray[np.int64], length: int) -> NDArray[np.uint8]:
    """The bytes data[start[n] : start[n] + length], shape (n, length): each is copied as one item."""
    data = np.ascontiguousarray(data)
    items = np.ndarray((len(data) - length + 1,), np.dtype((np.void, length)), data, strides=(1,))
    return items[start].view(np.uint8).reshape(len(start), length)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ (words >> np.uint64(33))
