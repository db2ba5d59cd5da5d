"""Files that are there whole or not at all, and never in the place of another."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def put_whole(path: Path, content: Iterable[bytes]) -> None:
    """Make a file of these pieces, and its folder. Raises `FileExistsError` if there is one, and `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        give_name(new, path)
    finally:
        new.unlink(missing_ok=True)


def give_name(new: Path, path: Path) -> None:
    """Let the file `new` be found at `path`, also after a crash. Raises `FileExistsError` if there is one already."""
    try:
        os.link(new, path)  # unlike a renaming, it never replaces what is there
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        new.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
