"""Where PostgreSQL lives, and as whom it runs.

PostgreSQL refuses to run as root, so under root it runs as `nobody`, who must be able to reach its binaries and data. A
project below a folder that is closed to others (`/root`, mode 0700) is out of its reach; then both live in a folder
elsewhere, and no permission of a folder above the project's own is ever changed.
"""

import hashlib
import os
import pwd
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from errors import OperatorError

NOBODY = "nobody"
LASTING = Path("/var/tmp")


class UnsafeFolder(OperatorError):
    """The folder for PostgreSQL's files exists and is not ours alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} exists, and is not a folder that only you may write to; find out who made it, and remove it"
        )


class NoUnprivilegedUser(OperatorError):
    """We are root, and the system knows no user `nobody` as whom PostgreSQL could run."""

    def __init__(self) -> None:
        super().__init__(
            f"PostgreSQL does not run as root, and this system has no user {NOBODY}: add one, or be another user"
        )


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """A folder that `user` may enter (None: whoever we are)."""

    path: Path
    user: User | None

    @property
    def data(self) -> Path:
        return self.path / "data"


def folder_for(home: Path, *, root: bool | None = None) -> PostgresFolder:
    """The folder for PostgreSQL of the project in `home`; makes it. Raises UnsafeFolder, NoUnprivilegedUser."""
    if not (os.geteuid() == 0 if root is None else root):
        return PostgresFolder(own_folder(home / "postgres", 0o700), None)
    if all(others_may_enter(parent) for parent in home.resolve().parents):
        home.chmod(stat.S_IMODE(home.stat().st_mode) | 0o011)
        return PostgresFolder(own_folder(home / "postgres", 0o711), nobody())
    return PostgresFolder(own_folder(shared_base() / elsewhere_name(home), 0o711), nobody())


def nobody() -> User:
    # Its number differs between systems, and initdb asks for a user that the system knows.
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError:
        raise NoUnprivilegedUser from None
    return User(entry.pw_uid, entry.pw_gid)


def elsewhere_name(home: Path) -> str:
    """A name for this project folder and this life of it: one that was deleted and made again gets no old database."""
    life = home / "postgres-elsewhere"
    if not life.exists():
        life.write_text(secrets.token_hex(16))
    return f"sistercity-{hashlib.sha256(os.fsencode(home.resolve()) + life.read_bytes()).hexdigest()[:16]}"


def shared_base() -> Path:
    """A folder for everyone's files, preferably one that outlasts a reboot."""
    reachable = LASTING.is_dir() and all(others_may_enter(folder) for folder in (LASTING, *LASTING.parents))
    return LASTING if reachable else Path(tempfile.gettempdir())


def others_may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def own_folder(folder: Path, mode: int) -> Path:
    """Make the folder, or take the one that is there if only we may write to it. Raises UnsafeFolder."""
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        found = folder.lstat()
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or writable:
            raise UnsafeFolder(folder) from None
    folder.chmod(mode)
    return folder
