"""Kafka and PostgreSQL for as long as a block of code runs.

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

from embedded.guard import stop_leftovers
from embedded.hold import AlreadyRunning, held
from embedded.jars import NotInstalled, classpath, read_lock
from embedded.postgres_folder import UnsafeFolder, folder_for
from embedded.record import Member, Services, running
from errors import OperatorError

__all__ = ["AlreadyRunning", "NotInstalled", "Services", "ServicesFailed", "running", "services"]


LOG_BYTES = 1_000_000


class ServicesFailed(OperatorError):
    """The services did not start. The message ends with the last lines of the log that says why."""


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def services(
    home: Path, *, installed: Path | None = None, report: Callable[[str], None] = to_stderr
) -> Iterator[Services]:
    """Start both on the data in `home` (made if it is not there); stop them when the block ends, or this process does.

    `installed` is the folder that `python -m embedded.install` filled; without it, `home`. `report` gets progress.
    Raises NotInstalled, ServicesFailed, AlreadyRunning (another living process, or an outer block here, holds `home`).
    """
    home = home.resolve()
    installed = (installed or home).resolve()
    classpath(installed, read_lock())
    home.mkdir(parents=True, exist_ok=True)
    report("starting Kafka and PostgreSQL")
    guard = start_guard(home, installed)
    try:
        yield await_ready(guard, home, report)
    finally:
        stop_guard(guard, home)


def start_guard(home: Path, installed: Path) -> subprocess.Popen[str]:
    owner = Member.of(os.getpid())
    arguments = [str(home), str(installed), str(owner.pid), repr(owner.started)]
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
    raise ServicesFailed(f"the guard of the services ended; {home / 'guard.log'} says:\n{guard_log(home)}")


def guard_log(home: Path) -> str:
    return (home / "guard.log").read_text(errors="replace")[-4000:]


def stop_guard(guard: subprocess.Popen[str], home: Path) -> None:
    """Let go of the guard and wait until it has stopped both; if it did not end well, stop them here."""
    assert guard.stdin is not None and guard.stdout is not None
    guard.stdin.close()
    code = guard.wait()
    guard.stdout.close()
    if code != 0:
        with suppress(AlreadyRunning, UnsafeFolder), held(home, Member.of(os.getpid()), threading.Event()):
            stop_leftovers(home, folder_for(home))
