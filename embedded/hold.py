"""A folder has one owner at a time: a locked file names it, and the kernel releases the lock when its holder dies."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from embedded.record import Member
from errors import OperatorError

HANDOVER_SECONDS = 60.0


class AlreadyRunning(OperatorError):
    """The services of this folder belong to another running process."""


class StillStopping(OperatorError):
    """The last owner has ended, but the services that it started have not."""


@contextmanager
def held(home: Path, owner: Member, cancelled: threading.Event) -> Iterator[None]:
    """Hold the folder for `owner`. Waits up to a minute while the services of the last owner are being stopped.

    Raises AlreadyRunning, StillStopping (also when `cancelled` is set).
    """
    path = home / "services.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        acquire(file, home, owner, cancelled)
        file.seek(0)
        file.truncate()
        json.dump(asdict(owner), file)
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def acquire(file: TextIO, home: Path, owner: Member, cancelled: threading.Event) -> None:
    """Lock the file for `owner`. Raises AlreadyRunning, StillStopping."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while True:
        locked = try_lock(file)
        holder = named_in(file)
        # A running owner keeps the folder even if the guard that held the lock for it was killed.
        if holder and holder.alive and not (locked and holder == owner):
            raise AlreadyRunning(f"process {holder.pid} runs the services of {home}; use those, or stop it first")
        if locked:
            return
        if cancelled.wait(0.05) or time.monotonic() > deadline:
            raise StillStopping(f"the services of {home} are still being stopped for an owner that is gone; try again")


def try_lock(file: TextIO) -> bool:
    """Whether the file is locked by this process now."""
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def named_in(file: TextIO) -> Member | None:
    """The owner that the file names; None if it names no owner."""
    file.seek(0)
    try:
        return Member(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None
