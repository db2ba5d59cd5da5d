"""Kafka and PostgreSQL that run as long as a block of code.

with services(Path(".sistercity"), report=print) as s:
    ...  # s.kafka, s.database_url
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedded.guard import PASSING, stop_leftovers
from embedded.hold import AlreadyRunning, held
from embedded.jars import NotInstalled, classpath, read_lock
from embedded.postgres_folder import UnsafeFolder, folder_for
from embedded.record import Member, Services, read_record, running
from errors import OperatorError

__all__ = ["AlreadyRunning", "NotInstalled", "Services", "ServicesFailed", "await_stop", "running", "services"]


LOG_BYTES = 1_000_000
_LOOK_S = 1.0


class ServicesFailed(OperatorError):
    """The services did not start, or one has ended. Of a start, the text ends with the log that shows why."""


def to_stderr(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def services(
    home: Path, *, installed: Path | None = None, report: Callable[[str], None] = to_stderr, lasting: bool = True
) -> Iterator[Services]:
    """Start both on the data in `home` (made if missing); stop them when the block ends, or this process does.

    `installed` is the folder that `python -m embedded.install` filled; without it, `home`. `report` gets lines of
    progress. Without `lasting`, nobody needs the data when the block has ended: PostgreSQL does not wait for the disk,
    and both are stopped as they are. Raises NotInstalled, ServicesFailed, AlreadyRunning (another process, or an outer
    block of this one, holds `home`).
    """
    home = home.resolve()
    installed = (installed or home).resolve()
    classpath(installed, read_lock())
    home.mkdir(parents=True, exist_ok=True)
    report("starting Kafka and PostgreSQL")
    guard = start_guard(home, installed, lasting=lasting)
    try:
        yield await_ready(guard, home, report)
    finally:
        stop_guard(guard, home)


def await_stop(home: Path, stop: threading.Event) -> None:
    """Return when `stop` is set. Raises `ServicesFailed` if a service of `home` ends before."""
    record = read_record(home)
    members = {} if record is None else {"Kafka": record.kafka, "PostgreSQL": record.postgres}
    while not stop.wait(_LOOK_S):
        for name, member in members.items():
            if not member.alive and not stop.is_set():
                raise ServicesFailed(f"{name} has ended, or was killed, perhaps for want of memory: start both again")


def start_guard(home: Path, installed: Path, *, lasting: bool = True) -> subprocess.Popen[str]:
    """Start the guard with this process as owner. Its errors go to `home`/guard.log."""
    owner = Member.of(os.getpid())
    arguments = [str(home), str(installed), str(owner.pid), repr(owner.started), *([] if lasting else [PASSING])]
    log_path = home / "guard.log"
    too_long = log_path.exists() and log_path.stat().st_size > LOG_BYTES
    with log_path.open("wb" if too_long else "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "embedded.guard", *arguments],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )


def await_ready(guard: subprocess.Popen[str], home: Path, report: Callable[[str], None]) -> Services:
    """Report the guard's progress until both services answer. Raises ServicesFailed, AlreadyRunning."""
    assert guard.stdout is not None
    for line in guard.stdout:
        message = json.loads(line)
        if "progress" in message:
            report(message["progress"])
        elif "ready" in message:
            return Services(**message["ready"])
        elif message["already_running"]:
            raise AlreadyRunning(message["failed"])
        else:
            raise ServicesFailed(message["failed"])
    raise ServicesFailed(f"the guard of the services ended; the end of {home / 'guard.log'}:\n{guard_log(home)}")


def guard_log(home: Path) -> str:
    """The end of the guard's log."""
    return (home / "guard.log").read_text(errors="replace")[-4000:]


def stop_guard(guard: subprocess.Popen[str], home: Path) -> None:
    """End the guard, which stops both services, and wait for it; if it fails, stop them here."""
    assert guard.stdin is not None and guard.stdout is not None
    guard.stdin.close()
    code = guard.wait()
    guard.stdout.close()
    if code != 0:
        with suppress(AlreadyRunning, UnsafeFolder), held(home, Member.of(os.getpid()), threading.Event()):
            stop_leftovers(home, folder_for(home))
