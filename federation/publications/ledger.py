"""The ledger: an append-only file of entries, which outlives the database (P6).

Its first line says of which city and log it is, and after which entries of an earlier time it begins; each further line
is an entry. A line is on disk before the database commits what it is of. So after a restore of the database the ledger
knows everything that may have left the city. A line without its end was never on disk as a whole: nothing was committed
of it, and it is cut off.

The file is locked (`flock`) by whoever publishes. Publishers on several machines share it on storage that knows such
locks (NFS does from version 4 on), and each checks under the lock that the file has not moved on.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path

from errors import OperatorError
from federation.publications.chain import BrokenChain, ChainEnd, follow
from federation.publications.entries import FORMAT, BadEntry, PublicationEntry, entry_of
from federation.whole_files import put_whole, sync_folder


class LedgerFault(OperatorError):
    """The ledger is missing, damaged, or not the one of this database: nothing may be published."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first line: the city, the log's UUID, the position of the last publication that is not in this file, and the
    newest entry of each metric there."""

    city: str
    log: str
    after: int = 0
    ends: Mapping[str, ChainEnd] = field(default_factory=dict)

    def line(self) -> bytes:
        """The line, without its end."""
        heads = {metric: [end.sequence, end.hash] for metric, end in sorted(self.ends.items())}
        content = {"format": FORMAT, "city": self.city, "log": self.log, "after": self.after, "heads": heads}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What the ledger says: its first line, the position of its last entry, the newest entry of each metric."""

    beginning: Beginning
    position: int
    ends: Mapping[str, ChainEnd]

    def following(self, entry: PublicationEntry, line: bytes) -> "LedgerState":
        """The state after this entry. Raises `LedgerFault` if it does not continue the chain."""
        header = entry.header
        known = self.ends.get(header.metric, ChainEnd(0, None))
        skips = header.kind == "skip"
        in_turn = header.position == self.position + 1 or (skips and header.position > self.position)
        try:
            if not in_turn or entry.before != known.hash:
                raise BrokenChain("gap", "it is not the next one")
            end = follow(known, entry, line, city=self.beginning.city)
        except BrokenChain as error:
            raise LedgerFault(
                f"entry {header.position} ({header.metric} {header.sequence}) does not continue the chain: {error}"
            ) from None
        return replace(self, position=header.position, ends={**self.ends, header.metric: end})


class Ledger:
    """A ledger in a file. While it is locked, `state` is what it says; every entry was checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = LedgerState(Beginning("", ""), 0, {})
        self._file: FileIO | None = None
        self._seen: tuple[int, ...] = ()

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Lock the file; whether that is done, or another process has locked it.

        It is read again only if it has changed since. Raises `LedgerFault` if it is missing or damaged.
        """
        try:
            file = FileIO(os.open(self.path, os.O_RDWR | os.O_APPEND), "r+")
        except FileNotFoundError:
            raise LedgerFault(f"there is no ledger at {self.path}") from None
        with file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._file = file
            try:
                if self._seen != _identity(os.fstat(file.fileno())):
                    self._read(file)
                yield True
            finally:
                self._file = None

    def append(self, entry: PublicationEntry, line: bytes) -> None:
        """Write an entry and wait until it is on disk; the ledger must be locked.

        Raises `LedgerFault` if it does not continue the chain, or if the file is no longer the one that was locked, and
        `OSError`, after which the entry may be there or not: the file is read again.
        """
        assert self._file is not None
        try:
            unmoved = _identity(self.path.stat()) == self._seen
        except FileNotFoundError:
            unmoved = False
        if not unmoved:
            raise LedgerFault(f"{self.path} was changed or replaced by someone else while this process had locked it")
        state = self.state.following(entry, line)
        self._seen = ()
        size = os.fstat(self._file.fileno()).st_size
        if self._file.write(line + b"\n") <= len(line):
            self._file.truncate(size)
            raise OSError(errno.ENOSPC, f"{self.path}: the disk is full")
        os.fsync(self._file.fileno())
        self._seen = _identity(os.fstat(self._file.fileno()))
        self.state = state

    def _read(self, file: FileIO) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())
        self.state = read_ledger(self.path)
        self._seen = _identity(os.fstat(file.fileno()))


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size


def begin_ledger(path: Path, beginning: Beginning, *lines: bytes) -> None:
    """Make a new ledger with these entries, all of it or nothing. Raises `FileExistsError` if there is one."""
    put_whole(path, (line + b"\n" for line in (beginning.line(), *lines)))


def set_aside(path: Path) -> Path | None:
    """Give the ledger another name, so that a new one can begin; its new path, or None if there was none."""
    number = 1
    while (other := path.with_name(f"{path.name}.before-loss-{number}")).exists():
        number += 1
    try:
        path.rename(other)
    except FileNotFoundError:
        return None
    sync_folder(path.parent)
    return other


def read_ledger(path: Path) -> LedgerState:
    """What the ledger says, without a lock: a line without its end is left out. Raises `LedgerFault`."""
    number = 0
    try:
        lines = _lines(path)
        beginning = _beginning(next(lines, b""))
        state = LedgerState(beginning, beginning.after, beginning.ends)
        for number, line in enumerate(lines, 2):  # noqa: B007 (for the message)
            state = state.following(entry_of(line), line)
    except FileNotFoundError:
        raise LedgerFault(f"there is no ledger at {path}") from None
    except (BadEntry, LedgerFault) as error:
        raise LedgerFault(f"{path} is damaged in line {number or 1}: {error}") from None
    return state


def read_entries(path: Path) -> Iterator[tuple[PublicationEntry, bytes]]:
    """Every entry with its line, in order; of a ledger that `read_ledger` has checked."""
    lines = _lines(path)
    next(lines, None)
    for line in lines:
        yield entry_of(line), line


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def _beginning(line: bytes) -> Beginning:
    try:
        found = json.loads(line)
        if found["format"] != FORMAT:
            raise BadEntry(f"a ledger of format {found['format']!r}, of which this program knows nothing")
        ends = {metric: ChainEnd(int(sequence), hash_) for metric, (sequence, hash_) in found["heads"].items()}
        return Beginning(str(found["city"]), str(found["log"]), int(found["after"]), ends)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEntry(f"not the first line of a ledger: {error}") from None
