"""Rows of open windows in files on local disk, for which there is no room in memory (R10).

The files of a process lie in a folder of its own with mode 0700. They hold what the log holds, columns of numbers, and
are removed when their window closes, when the process ends, or at the next start if it was killed.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Generic
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from errors import OperatorError
from processors.dividing import Divisible, spread

_PREFIX = "open-windows-"
_HASH_BITS = 32
_DIGIT_BITS = 3
_MOST_DIGITS = 10
"""A file is divided by the next three bits of its rows' hashes, up to 30 of 32 bits."""


class SpillFailed(OperatorError):
    """Rows of open windows can't be kept on disk: it is full, or the folder can't be used."""


@dataclass(frozen=True, slots=True)
class RowKind(Generic[Divisible]):
    """What rows are made of.

    `join`: all rows, one part after the other. `key`: shape (n,), unsigned; rows with the same key are reduced
    together. `winners`: the places of the rows that can still count, ascending; the others are duplicates for certain.
    `apart`: the arrays of a part, one-dimensional, of the types `dtypes`; `together` makes a part of them.
    """

    join: Callable[[Sequence[Divisible]], Divisible]
    key: Callable[[Divisible], NDArray[Any]]
    winners: Callable[[Divisible], NDArray[np.intp]]
    apart: Callable[[Divisible], Sequence[NDArray[Any]]]
    together: Callable[[Sequence[NDArray[Any]]], Divisible]
    dtypes: Sequence[np.dtype[Any]]

    def without_duplicates(self, part: Divisible) -> Divisible:
        """The rows that can still count, in their order."""
        winners = self.winners(part)
        return part if len(winners) == len(part) else part.take(winners)


class SpillFolder:
    """A folder for this process inside `parent`, which is made if needed. Removes what killed processes left there.

    Raises `SpillFailed`.
    """

    def __init__(self, parent: Path) -> None:
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(parent, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)  # so that nobody takes a folder without a lock for an abandoned folder
                for left in parent.glob(f"{_PREFIX}*"):
                    _remove_abandoned(left)
                self.path = Path(mkdtemp(prefix=_PREFIX, dir=parent))
                held = os.open(self.path, os.O_RDONLY)
                fcntl.flock(held, fcntl.LOCK_EX)
            finally:
                os.close(lock)
        except OSError as error:
            raise SpillFailed(f"open windows can't be kept on disk in {parent}: {error.strerror}") from error
        self._numbers = count()
        self._remove = finalize(self, _remove_own, self.path, os.getpid(), held)

    def new(self) -> Path:
        """A folder for the files of one window. Raises `SpillFailed`."""
        path = self.path / str(next(self._numbers))
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise _failed(path, error) from error
        return path

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        self._remove()


@dataclass(slots=True)
class _SpillFile:
    """The rows whose hashes begin with the same digits. `settled`: how large it was when last freed of duplicates."""

    path: Path
    bytes: int = 0
    settled: int = 0


class SpilledRows(Generic[Divisible]):
    """The rows of one window on disk, in files of about `file_bytes`, divided by a hash of their keys.

    Rows of one key lie in one file, in the order in which they came. A file that has grown past `file_bytes`, and to
    twice the size that it had without duplicates, is freed of them, and divided if it is still large. So the files take
    a small multiple of what their rows without duplicates need, however often these are repeated.

    Every method may raise `SpillFailed`. The files go when this object does.
    """

    def __init__(self, kind: RowKind[Divisible], folder: SpillFolder, file_bytes: int) -> None:
        self._kind = kind
        self._path = folder.new()
        self._file_bytes = file_bytes
        self._files: dict[tuple[int, int], _SpillFile] = {}
        self._divided: set[tuple[int, int]] = set()
        self.dropped = 0
        """How many duplicates were removed."""
        finalize(self, _remove_window, self._path, os.getpid())

    @property
    def bytes(self) -> int:
        """How much the files hold."""
        return sum(file.bytes for file in self._files.values())

    def append(self, part: Divisible) -> None:
        """Write rows that came after all rows so far, and free at most one file of duplicates."""
        self._put((0, 0), part, spread(self._kind.key(part)))
        self._tidy()

    def portions(self) -> Iterator[list[Divisible]]:
        """All rows, file by file, each with all rows of its keys. A file is removed when it has been read."""
        while self._files:
            _, file = self._files.popitem()
            part = self._read(file)
            file.path.unlink(missing_ok=True)
            yield [part]

    def _put(self, digits: tuple[int, int], part: Divisible, hashed: NDArray[np.uint64]) -> None:
        """Append rows whose hashes begin with these digits, (how many, which), to the files that they belong to."""
        if digits not in self._divided:
            file = self._files.get(digits)
            if file is None:
                file = self._files[digits] = _SpillFile(self._path / "-".join(map(str, digits)))
            self._write(file, part)
            return
        depth, beginning = digits
        shift = np.uint64(_HASH_BITS - _DIGIT_BITS * (depth + 1))
        digit = (hashed >> shift) & np.uint64((1 << _DIGIT_BITS) - 1)
        for number in np.unique(digit).tolist():
            which = np.flatnonzero(digit == number)
            self._put((depth + 1, beginning << _DIGIT_BITS | number), part.take(which), hashed[which])

    def _tidy(self) -> None:
        """Free the file that needs it most of duplicates."""
        digits = max(self._files, key=lambda at: self._files[at].bytes / self._allowed(self._files[at]))
        file = self._files[digits]
        if file.bytes <= self._allowed(file):
            return
        part = self._read(file)
        kept = self._kind.without_duplicates(part)
        self.dropped += len(part) - len(kept)
        hashed = spread(self._kind.key(kept))
        file.path.unlink(missing_ok=True)
        del self._files[digits]
        before = set(self._files)
        several = len(hashed) and digits[0] < _MOST_DIGITS and bool((hashed != hashed[0]).any())
        if several and 2 * size_of(self._kind, kept) > self._file_bytes:
            self._divided.add(digits)
        self._put(digits, kept, hashed)
        for new in self._files.keys() - before:
            self._files[new].settled = self._files[new].bytes

    def _allowed(self, file: _SpillFile) -> int:
        return max(self._file_bytes, 2 * file.settled)

    def _write(self, file: _SpillFile, part: Divisible) -> None:
        arrays = self._kind.apart(part)
        block = [np.array([len(array) for array in arrays], np.int64), *map(np.ascontiguousarray, arrays)]
        try:
            with os.fdopen(os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as opened:
                for array in block:
                    opened.write(array.view(np.uint8).data)
        except OSError as error:
            raise _failed(file.path, error) from error
        file.bytes += sum(array.nbytes for array in block)

    def _read(self, file: _SpillFile) -> Divisible:
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise _failed(file.path, error) from error
        if len(content) != file.bytes:
            raise SpillFailed(f"{file.path} was changed: it holds {len(content)} bytes and should hold {file.bytes}")
        parts, at = [], 0
        while at < len(content):
            lengths = np.frombuffer(content, np.int64, len(self._kind.dtypes), at)
            at += lengths.nbytes
            arrays: list[NDArray[Any]] = []
            for dtype, length in zip(self._kind.dtypes, lengths.tolist(), strict=True):
                arrays.append(np.frombuffer(content, dtype, length, at))
                at += arrays[-1].nbytes
            parts.append(self._kind.together(arrays))
        return self._kind.join(parts)


def size_of(kind: RowKind[Divisible], part: Divisible) -> int:
    """The bytes of a part's arrays."""
    return sum(array.nbytes for array in kind.apart(part))


def _failed(path: Path, error: OSError) -> SpillFailed:
    return SpillFailed(
        f"open windows don't fit into memory and can't be written to {path.parent}: {error.strerror or error}. Nothing"
        " is lost: with room there, or another SISTERCITY_SPILL_FOLDER, the processor goes on where it was"
    )


def _remove_abandoned(path: Path) -> None:
    """Remove the folder of a process that is gone: nobody holds its lock."""
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError:
        return  # another user's
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        pass  # of a process that runs
    finally:
        os.close(folder)


def _remove_own(path: Path, owner: int, lock: int) -> None:
    if os.getpid() == owner:  # a forked process has the same objects, but not the files
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _remove_window(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
