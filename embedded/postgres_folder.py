"""The folder of PostgreSQL's programs and data, and the user that it runs as.

PostgreSQL refuses to run as root, so under root it runs as `nobody`, which must be able to enter the folder. It can't
enter a project below a folder that is closed to others (`/root`, mode 0700); then PostgreSQL's folder is elsewhere. No
permission of a folder above the project's own is ever changed.
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
    """The folder for PostgreSQL's files exists, and others may write to it or own it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} exists, and is not a folder that only you may write to; find out who made it, and remove it"
        )


class NoUnprivilegedUser(OperatorError):
    """This process is root's, and the system has no user `nobody` that PostgreSQL could run as."""

    def __init__(self) -> None:
        super().__init__(
            f"PostgreSQL does not run as root, and this system has no user {NOBODY}: add one, or be another user"
        )


@dataclass(frozen=True, slots=True)
class User:
    """A user and its group, by number."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """A folder that `user` may enter; None: the user of this process."""

    path: Path
    user: User | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.path / "data"


def folder_for(home: Path, *, root: bool | None = None) -> PostgresFolder:
    """PostgreSQL's folder for the project in `home`, made if it is missing. Raises UnsafeFolder, NoUnprivilegedUser.

    `root`: whether this process counts as root's; None: whether it is.
    """
    if not (os.geteuid() == 0 if root is None else root):
        return PostgresFolder(own_folder(home / "postgres", 0o700), None)
    if all(others_may_enter(parent) for parent in home.resolve().parents):
        home.chmod(stat.S_IMODE(home.stat().st_mode) | 0o011)
        return PostgresFolder(own_folder(home / "postgres", 0o711), nobody())
    return PostgresFolder(own_folder(shared_base() / elsewhere_name(home), 0o711), nobody())


def nobody() -> User:
    """The user `nobody`, whose number differs between systems. Raises NoUnprivilegedUser."""
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError:
        raise NoUnprivilegedUser from None
    return User(entry.pw_uid, entry.pw_gid)


def elsewhere_name(home: Path) -> str:
    """A name for the folder of this project. A project that is deleted and made again gets another name."""
    life = home / "postgres-elsewhere"
    if not life.exists():
        life.write_text(secrets.token_hex(16))
    return f"sistercity-{hashlib.sha256(os.fsencode(home.resolve()) + life.read_bytes()).hexdigest()[:16]}"


def shared_base() -> Path:
    """A folder that every user may enter, if possible one that is kept over a reboot."""
    reachable = LASTING.is_dir() and all(others_may_enter(folder) for folder in (LASTING, *LASTING.parents))
    return LASTING if reachable else Path(tempfile.gettempdir())


def others_may_enter(folder: Path) -> bool:
    """Whether users other than owner and group may enter the folder."""
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def own_folder(folder: Path, mode: int) -> Path:
    """Make the folder, or use an existing one if only this user owns it and may write to it. Raises UnsafeFolder."""
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        found = folder.lstat()
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or writable:
            raise UnsafeFolder(folder) from None
    folder.chmod(mode)
    return folder
