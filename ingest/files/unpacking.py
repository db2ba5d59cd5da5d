"""Files that came packed: gzip, or a zip with one file in it."""

import errno
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from ingest.files.reading import NotSuchFile

LARGEST_UNPACKED = 1 << 30
"""The most bytes that are unpacked of a file, to the folder for temporary files."""
MOST_MEMBERS = 10_000

_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK = 1 << 20
_OF_CONTENT = (None, errno.EINVAL)
"""Of errors that the archive's content makes: `gzip.BadGzipFile`, and seeking to where nothing can be."""


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary copy of the same name that holds what is packed in it.

    Raises `NotSuchFile` for an archive that is damaged, encrypted, too large, or holds several files, and `OSError` if
    there is no room for the copy, or the disk fails.
    """
    with path.open("rb") as file:
        beginning = file.read(4)
    if not beginning.startswith((_GZIP, *_ZIP)):
        yield path
        return
    with TemporaryDirectory(prefix="sistercity-") as folder:
        copy = Path(folder) / path.name
        try:
            if beginning.startswith(_GZIP):
                with gzip.open(path) as packed:
                    _copy(packed, copy)
            else:
                _unzip(path, copy)
        except OSError as error:
            if error.errno not in _OF_CONTENT:
                raise
            raise NotSuchFile(f"{path.name}: cannot be unpacked: {error}") from None
        # RuntimeError is an encrypted member, NotImplementedError an unknown compression.
        except (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise NotSuchFile(f"{path.name}: cannot be unpacked: {error}") from None
        yield copy


def _unzip(path: Path, copy: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) > MOST_MEMBERS:
            raise NotSuchFile(f"{path.name}: holds more than {MOST_MEMBERS} files; unpack it")
        members = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(members) != 1:
            listed = ", ".join(members[:5]) or "none"
            raise NotSuchFile(f"{path.name}: holds {len(members)} files ({listed}); unpack it and name those to import")
        with archive.open(members[0]) as packed:
            _copy(packed, copy)


def _copy(packed: IO[bytes] | gzip.GzipFile, copy: Path) -> None:
    left = LARGEST_UNPACKED
    with copy.open("wb") as file:
        while block := packed.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise NotSuchFile(
                    f"{copy.name}: is larger than {LARGEST_UNPACKED >> 20} MB unpacked; unpack and split it"
                )
            file.write(block)
