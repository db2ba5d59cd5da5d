"""A watched folder, such as an SFTP server writes to: whole files are delivered, half-written ones left alone.

A file is whole when its size and time have not changed for a while. It stays where it is, and what is refused of it is
beside it, in `NAME.rejects.csv`. Links are not followed: who may write to the folder gets to read nothing through it.
"""

import csv
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import IO

from ingest.files.reasons import WHAT_TO_DO
from ingest.live.adapter import Delivered
from store.deliveries import Refused

REJECTS = ".rejects.csv"
UNFINISHED = (".part", ".partial", ".filepart", ".tmp", ".crdownload", REJECTS)
"""Ends of names of files that are being written, or are ours."""
MOST_FILES = 100
MOST_BYTES = 2 << 30
"""Files of one turn, and their bytes, unless one file alone has more."""
_BLOCK = 1 << 20

logger = logging.getLogger(__name__)

_State = tuple[int, int, int]
"""Inode, size, time of the last change in nanoseconds."""


@dataclass(slots=True)
class _Seen:
    state: _State
    since_ms: int
    done: bool = False


class Folder:
    """Implements `Adapter`. `spool` is a folder of this process for copies; `clock` gives milliseconds since 1970."""

    def __init__(
        self, name: str, folder: Path, pattern: str, settle_ms: int, spool: Path, clock: Callable[[], int]
    ) -> None:
        self.name = name
        self._folder = folder
        self._pattern = pattern
        self._settle_ms = settle_ms
        self._spool = spool
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._begun: set[str] = set()
        """Names of files whose rejects are being written."""
        self._closed: set[str] = set()
        """Names of files that this user may not read, which was said."""

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """Files that are whole, in the order in which they came. Raises `OSError` if the folder can't be read."""
        now = self._clock()
        found: list[Delivered] = []
        size = 0
        files = sorted(self._files())
        names = {name for _, name, _ in files}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._closed &= names
        for _, name, state in files:
            seen = self._seen.get(name)
            if seen is None or seen.state != state:
                self._seen[name] = _Seen(state, now)
            elif not seen.done and now - seen.since_ms >= self._settle_ms:
                if len(found) == MOST_FILES or (found and size + state[1] > MOST_BYTES):
                    break
                delivered = self._copied(name, state, now)
                if delivered is None:
                    self._seen[name] = _Seen(state, now)
                elif done(delivered.checksum):
                    seen.done = True
                    delivered.path.unlink()
                else:
                    found.append(delivered)
                    size += state[1]
        return found

    def present(self) -> Sequence[str]:
        """The names of all files that are there."""
        return [name for _, name, _ in self._files()]

    def refuse(self, delivered: Delivered, refused: Sequence[Refused]) -> None:
        """Write beside the file what is refused of it."""
        rows = [
            (item.position, item.reason, WHAT_TO_DO.get(item.reason, ""), item.original.decode("utf-8", "replace"))
            for item in refused
        ]
        self._write(delivered, rows)

    def retract(self, delivered: Delivered) -> None:
        """Begin the rejects of a file anew."""
        self._begun.discard(delivered.name)

    def settled(self, delivered: Delivered, words: str) -> None:
        """Give the rejects of a file their name, or remove those of an earlier content."""
        if words:
            self._write(delivered, [(0, "not-read", words, "")])
        final = self._folder / f"{delivered.name}{REJECTS}"
        if delivered.name in self._begun:
            self._unnamed(delivered).replace(final)
            self._begun.discard(delivered.name)
        else:
            final.unlink(missing_ok=True)

    def acknowledge(self, delivered: Delivered) -> None:
        """Leave the file alone from now on, and remove the copy."""
        seen = self._seen.get(delivered.name)
        if seen is not None:
            seen.done = True
        delivered.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Begin anew with what is not acknowledged, after an interruption."""
        self._begun.clear()
        for path in self._spool.iterdir():
            path.unlink()

    def _files(self) -> Iterator[tuple[int, str, _State]]:
        """When each came, which nobody can set, name, and state."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(UNFINISHED):
                    continue
                if not fnmatchcase(entry.name, self._pattern):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode) and found.st_size:
                    yield found.st_ctime_ns, entry.name, _state(found)

    def _copied(self, name: str, state: _State, now: int) -> Delivered | None:
        """A copy of the file; None if it has changed meanwhile."""
        copy, digest = self._spool / name, sha256()
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            if name not in self._closed:
                words = "this user may not read it; give it the right, and the file is taken"
                logger.warning("%s: %s: %s", self.name, name, words)
            self._closed.add(name)
            return None
        except OSError:  # gone, or a link now
            return None
        self._closed.discard(name)
        with os.fdopen(descriptor, "rb") as file, copy.open("wb") as out:
            while block := file.read(_BLOCK):
                digest.update(block)
                out.write(block)
            unchanged = _state(os.fstat(descriptor)) == state
        if not unchanged:
            copy.unlink()
            return None
        return Delivered(name, copy, digest.digest(), now)

    def _write(self, delivered: Delivered, rows: Sequence[tuple[object, ...]]) -> None:
        begins = delivered.name not in self._begun
        with self._opened(self._unnamed(delivered), begins=begins) as file:
            writer = csv.writer(file)
            if begins:
                writer.writerow(("position", "reason", "what to do", "original"))
            writer.writerows(rows)
        self._begun.add(delivered.name)

    @staticmethod
    def _opened(path: Path, *, begins: bool) -> IO[str]:
        if begins:  # never through a link that somebody has put there
            path.unlink(missing_ok=True)
        mode = os.O_WRONLY | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if begins else os.O_APPEND)
        return os.fdopen(os.open(path, mode, 0o640), "w" if begins else "a", encoding="utf-8", newline="")

    def _unnamed(self, delivered: Delivered) -> Path:
        return self._folder / f".{delivered.name}{REJECTS}"


def _state(found: os.stat_result) -> _State:
    return found.st_ino, found.st_size, found.st_mtime_ns
