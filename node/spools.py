"""Folders for copies of what is being sent. A process that is killed leaves its own; the next one to start removes it.

Each is in the folder for temporary files, and locked (`flock`) as long as its process lives.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "sistercity-spool-"

logger = logging.getLogger(__name__)


@contextmanager
def spool() -> Iterator[Path]:
    """A new folder of this process, which is removed at the end. Raises `OSError` if none can be made."""
    path, descriptor = _made()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_leftovers() -> int:
    """Remove the spools of this user's processes that have ended; how many."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, in use, or removed by another process
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
                    removed += 1
            finally:
                os.close(descriptor)
    if removed:
        logger.info("removed the copies that %d spools of ended processes held", removed)
    return removed


def _made() -> tuple[Path, int]:
    """A folder and its lock; another one if somebody took it for a leftover before it was locked."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError, BlockingIOError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.stat()
                return path, descriptor
            except OSError:
                os.close(descriptor)
                raise
