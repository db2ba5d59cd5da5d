"""PostgreSQL on this machine: initialised once, started by pg_ctl on a free port; clients use TCP and a password."""

import os
import re
import secrets
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from embedded import processes
from embedded.ports import LOOPBACK, free_ports, taken
from embedded.postgres_binaries import programs
from embedded.postgres_folder import PostgresFolder
from errors import OperatorError

START_SECONDS = 60
STOP_SECONDS = 20
ATTEMPTS = 3
LAST_LINES = 15
SUPERUSER = "sistercity"
# Above every process id that a kernel assigns: no process has it.
NO_PROCESS = "999999999"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # No replica reads the write-ahead log: it holds what recovery after a crash needs, and little of it is kept.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One file for every ten minutes, overwritten an hour later. Statements, and rows that violate a constraint, are not
    # logged: they are the city's data.
    "logging_collector": "on",
    "log_filename": "postgres-%M.log",
    "log_rotation_age": "10min",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

PASSING = {"fsync": "off", "full_page_writes": "off"}
"""For data that need not last: what is committed survives the end of the server, but not that of the machine."""


class PostgresFailed(OperatorError):
    """PostgreSQL did not start; the text ends with the last lines of its logs."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `pid` is the postmaster's, `password` the superuser's."""

    folder: PostgresFolder
    pid: int
    port: int
    password: str

    @property
    def url(self) -> str:
        """URL of the database `postgres`. It holds the password: not for logs."""
        return f"postgresql://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/postgres"


def start(folder: PostgresFolder, *, lasting: bool = True) -> Server:
    """Start the server on the data in `folder` (initialised on the first call) and wait until it takes connections.

    Without `lasting` it does not wait for the disk. Raises PostgresFailed, and then no process is left; NoWheel.
    """
    password = initialised(folder, lasting=lasting)
    settings = SETTINGS if lasting else SETTINGS | PASSING
    forget_holder(folder.data / "postmaster.pid")
    for attempt in range(ATTEMPTS):
        (port,) = free_ports(1)
        log = folder.data / "start.log"
        log.unlink(missing_ok=True)
        options = shlex.join(["-p", str(port), *(f"--{name}={value}" for name, value in settings.items())])
        arguments = ("start", "-w", "-t", str(START_SECONDS), "-D", str(folder.data), "-l", str(log), "-o", options)
        finished = run(folder, "pg_ctl", *arguments)
        if finished.returncode == 0 and (pids := running(folder)):
            return Server(folder, pids[0], port, password)
        said = f"{finished.stderr}\n{last_lines(folder)}"
        stop(folder)
        if not taken(said) or attempt + 1 == ATTEMPTS:
            break
    raise PostgresFailed(f"PostgreSQL did not start; the end of its logs in {folder.data}:\n{said}")


def initialised(folder: PostgresFolder, *, lasting: bool = True) -> str:
    """The superuser's password of the data in `folder`, initialised on the first call. Raises PostgresFailed."""
    secret = folder.path / "password"
    if folder.data.exists():
        return secret.read_text()
    # Initialised under another name and renamed when complete: an interrupted start must not leave half a database.
    data = unfinished(folder)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    write_secret(secret, password)
    handed_over = folder.path / "password.new"
    write_secret(handed_over, password)
    give(folder, data, handed_over)
    arguments = (
        f"--username={SUPERUSER}",
        "--auth=scram-sha-256",
        # Nobody guesses 192 random bits, however cheap a guess is; with the 4,096 rounds that make up for short
        # passwords, each connection would take a client three times as much time of its core.
        "--set=scram_iterations=1",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
        *([] if lasting else ["--no-sync"]),
    )
    finished = run(folder, "initdb", *arguments, f"--pwfile={handed_over}", f"--pgdata={data}")
    handed_over.unlink()
    if finished.returncode != 0:
        raise PostgresFailed(f"PostgreSQL could not make its database:\n{finished.stderr}")
    data.rename(folder.data)
    return password


def unfinished(folder: PostgresFolder) -> Path:
    """The data folder while it is being initialised."""
    return folder.path / "data.new"


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only its owner may read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def give(folder: PostgresFolder, *paths: Path) -> None:
    """Make the folder's user the owner of the paths."""
    if folder.user is not None:
        for path in paths:
            os.chown(path, folder.user.uid, folder.user.gid)


def run(folder: PostgresFolder, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as the folder's user, without other groups or the caller's PG* variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [str(programs(folder.path) / program), *arguments],
        cwd=folder.path,
        env=environment | {"LC_ALL": "C"},
        user=folder.user.uid if folder.user else None,
        group=folder.user.gid if folder.user else None,
        extra_groups=[] if folder.user else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def forget_holder(lock: Path) -> None:
    """Replace the process id in the lock file of a server that has ended: another process may have that id by now.

    The file itself must stay: it also names the shared memory by which PostgreSQL notices survivors of a killed server.
    Call this only when no server runs on the data.
    """
    if lock.exists():
        with os.fdopen(os.open(lock, os.O_RDWR | os.O_NOFOLLOW), "r+") as file:
            lines = re.sub(r"\A\d+", NO_PROCESS, file.read())
            file.seek(0)
            file.write(lines)
            file.truncate()


def running(folder: PostgresFolder) -> list[int]:
    """The ids of the servers (at most one) on the data in `folder`."""
    return processes.with_arguments("-D", str(folder.data))


def stop(folder: PostgresFolder, *, lasting: bool = True) -> None:
    """Stop the server, whichever process started it, without waiting for clients; after 20 seconds it is killed.

    Without `lasting` its files are left as after a crash.
    """
    processes.end(processes.with_arguments(f"--pgdata={unfinished(folder)}"), grace_seconds=STOP_SECONDS)
    if running(folder):
        how = "fast" if lasting else "immediate"
        run(folder, "pg_ctl", "stop", "-m", how, "-t", str(STOP_SECONDS), "-D", str(folder.data))
    processes.end(running(folder), grace_seconds=STOP_SECONDS)


def last_lines(folder: PostgresFolder) -> str:
    """The last lines of the server's two newest logs."""
    logs = [folder.data / "start.log", *(folder.data / "log").glob("*.log")]
    newest = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)[-2:]
    return "\n".join(line for log in newest for line in log.read_text(errors="replace").splitlines()[-LAST_LINES:])
