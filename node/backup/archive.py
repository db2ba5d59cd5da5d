"""The file of a backup: a ZIP with the rows of each table, the ledger, and a manifest with the hash of everything.

The manifest is written last and the file gets its name when it is on disk as a whole, so a backup that was interrupted
is no backup. A program that reads ZIP files can read it without this one.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from errors import OperatorError
from federation.whole_files import give_name
from store.snapshot import Counter, TableShape

FORMAT = 1
LEDGER = "ledger.jsonl"
MANIFEST = "manifest.json"
_PIECE = 1 << 20
_COMPRESSION = 1
"""Of 1 to 9: the lowest takes a third of the time of the usual one, and a tenth more room."""

"""What a file system without hard links says: exFAT and many network shares, where backups often go."""


class BackupFault(OperatorError):
    """A file is no backup, is damaged, or can't be used by this version."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One file in the backup: its size before compression, the SHA-256 of that in hex, and how many rows it has."""

    name: str
    bytes: int
    sha256: str
    rows: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotTaken:
    """What a city needs and no backup holds: what it is, and where it lies as the settings say."""

    what: str
    path: str
    here: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of. `taken_at` is a time of RFC 3339; `position` that of the log's last publication.

    `ledger` is None if there was none where the backup was taken.
    """

    city: str
    taken_at: str
    software: str
    tables_version: str
    postgresql: str
    log: str
    position: int
    tables: tuple[Stored, ...]
    counters: tuple[Counter, ...]
    ledger: Stored | None
    has_ledger: bool
    not_taken: tuple[NotTaken, ...]

    def shapes(self) -> dict[TableShape, int]:
        """The tables, with how many rows each has."""
        return {TableShape(table.name, table.columns): table.rows for table in self.tables}


class BackupWriter:
    """Adds files to a backup; use `written`."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, pieces: Iterable[bytes], columns: tuple[str, ...] = ()) -> Stored:
        """Add a file of lines."""
        hashed, size, rows, waiting = sha256(), 0, 0, bytearray()
        with self._archive.open(_member(name), "w", force_zip64=True) as file:
            for piece in pieces:
                waiting += piece
                if len(waiting) >= _PIECE:
                    file.write(waiting)
                    hashed.update(waiting)
                    size, rows = size + len(waiting), rows + waiting.count(b"\n")
                    waiting.clear()
            file.write(waiting)
            hashed.update(waiting)
        return Stored(name, size + len(waiting), hashed.hexdigest(), rows + waiting.count(b"\n"), columns)

    def end(self, manifest: Manifest) -> None:
        """Write the manifest."""
        content = json.dumps({"format": FORMAT, **asdict(manifest)}, ensure_ascii=False, indent=1)
        self._archive.writestr(MANIFEST, content + "\n")


@contextmanager
def written(path: Path) -> Iterator[BackupWriter]:
    """A new backup at `path`, which only its owner may read; nothing is left of it if this fails.

    Raises `BackupFault` if there is a file already, and `OSError`.
    """
    if path.exists():
        raise BackupFault(f"{path} exists already: a backup never replaces a file")
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
                yield BackupWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        give_name(new, path)
    finally:
        new.unlink(missing_ok=True)


class BackupReader:
    """Reads a backup; use `opened`."""

    def __init__(self, archive: ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        self.manifest = self._manifest()

    def check(self) -> None:
        """Read everything once. Raises `BackupFault` if anything is not as it was written."""
        stored = [*self.manifest.tables, *([self.manifest.ledger] if self.manifest.ledger else [])]
        if {_member(each.name) for each in stored} | {MANIFEST} != set(self._archive.namelist()):
            raise BackupFault(f"{self._path} does not hold what its manifest names: it was changed after it was made")
        for each in stored:
            hashed, size = sha256(), 0
            for piece in self.read(each.name):
                hashed.update(piece)
                size += len(piece)
            if (size, hashed.hexdigest()) != (each.bytes, each.sha256):
                raise BackupFault(f"{self._path} is damaged: {each.name} is not what was backed up; use another backup")

    def read(self, name: str) -> Iterator[bytes]:
        """A file, in pieces. Raises `BackupFault` if it can't be read."""
        try:
            with self._archive.open(_member(name)) as file:
                while piece := file.read(_PIECE):
                    yield piece
        except (BadZipFile, EOFError, OSError, zlib.error) as error:
            raise BackupFault(f"{self._path} is damaged: {name} can't be read: {error}") from None

    def _manifest(self) -> Manifest:
        try:
            content = json.loads(self._archive.read(MANIFEST))
        except (KeyError, BadZipFile, ValueError):
            raise BackupFault(f"{self._path} is no backup of a city: it has no manifest") from None
        if content.pop("format", None) != FORMAT:
            raise BackupFault(f"{self._path} was made by a later version: install that one, or a newer one")
        return _manifest_of(content)


@contextmanager
def opened(path: Path) -> Iterator[BackupReader]:
    """The backup at `path`. Raises `BackupFault` if it is none."""
    try:
        archive = ZipFile(path)
    except FileNotFoundError:
        raise BackupFault(f"there is no backup at {path}") from None
    except (BadZipFile, IsADirectoryError):
        raise BackupFault(f"{path} is no backup, or only a part of one") from None
    with archive:
        yield BackupReader(archive, path)


def _member(name: str) -> str:
    return name if name == LEDGER else f"tables/{name}.txt"


def _manifest_of(content: dict[str, Any]) -> Manifest:
    tables = tuple(_stored(table) for table in content.pop("tables"))
    counters = tuple(Counter(**counter) for counter in content.pop("counters"))
    not_taken = tuple(NotTaken(**each) for each in content.pop("not_taken"))
    ledger = content.pop("ledger")
    return Manifest(
        **content,
        tables=tables,
        counters=counters,
        not_taken=not_taken,
        ledger=None if ledger is None else _stored(ledger),
    )


def _stored(content: dict[str, Any]) -> Stored:
    return Stored(**{**content, "columns": tuple(content["columns"])})
