"""PostgreSQL on this machine: initialised once, started by pg_ctl on a free port, reached by TCP with a password."""

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
# Above every process id that a kernel gives out: "the process that held this lock is gone".
NO_PROCESS = "999999999"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # No replica reads this log, so it carries no more than a crash needs, and little of it is kept.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A file for ten minutes, named by its minute and begun anew an hour later. Statements and the rows that broke a
    # rule stay out: they are the city's data.
    "logging_collector": "on",
    "log_filename": "postgres-%M.log",
    "log_rotation_age": "10min",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class PostgresFailed(OperatorError):
    """PostgreSQL did not come up; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    folder: PostgresFolder
    pid: int
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/postgres"


def start(folder: PostgresFolder) -> Server:
    """Start the server on the data in `folder` (initialised on the first call) and wait until it takes connections.

    Raises PostgresFailed; no process is left then.
    """
    password = initialised(folder)
    forget_holder(folder.data / "postmaster.pid")
    for attempt in range(ATTEMPTS):
        (port,) = free_ports(1)
        log = folder.data / "start.log"
        log.unlink(missing_ok=True)
        options = shlex.join(["-p", str(port), *(f"--{name}={value}" for name, value in SETTINGS.items())])
        arguments = ("start", "-w", "-t", str(START_SECONDS), "-D", str(folder.data), "-l", str(log), "-o", options)
        finished = run(folder, "pg_ctl", *arguments)
        if finished.returncode == 0 and (pids := running(folder)):
            return Server(folder, pids[0], port, password)
        said = f"{finished.stderr}\n{last_lines(folder)}"
        stop(folder)
        if not taken(said) or attempt + 1 == ATTEMPTS:
            break
    raise PostgresFailed(f"PostgreSQL did not start; the end of its logs in {folder.data}:\n{said}")


def initialised(folder: PostgresFolder) -> str:
    """The superuser's password of the data in `folder`, initialised on the first call. Raises PostgresFailed."""
    secret = folder.path / "password"
    if folder.data.exists():
        return secret.read_text()
    # Initialised under another name and renamed when whole: an interrupted start must not leave half a database.
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
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    )
    finished = run(folder, "initdb", *arguments, f"--pwfile={handed_over}", f"--pgdata={data}")
    handed_over.unlink()
    if finished.returncode != 0:
        raise PostgresFailed(f"PostgreSQL could not make its database:\n{finished.stderr}")
    data.rename(folder.data)
    return password


def unfinished(folder: PostgresFolder) -> Path:
    return folder.path / "data.new"


def write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def give(folder: PostgresFolder, *paths: Path) -> None:
    if folder.user is not None:
        for path in paths:
            os.chown(path, folder.user.uid, folder.user.gid)


def run(folder: PostgresFolder, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as the folder's user, without other groups and the caller's own PG* settings."""
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
    """Make PostgreSQL see that the process which held its data is gone, where another process has its id by now.

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


def stop(folder: PostgresFolder) -> None:
    """End the server, whoever started it, without waiting for clients, in the end by force; wait until it is gone."""
    processes.end(processes.with_arguments(f"--pgdata={unfinished(folder)}"), grace_seconds=STOP_SECONDS)
    if running(folder):
        run(folder, "pg_ctl", "stop", "-m", "fast", "-t", str(STOP_SECONDS), "-D", str(folder.data))
    processes.end(running(folder), grace_seconds=STOP_SECONDS)


def last_lines(folder: PostgresFolder) -> str:
    logs = [folder.data / "start.log", *(folder.data / "log").glob("*.log")]
    newest = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)[-2:]
    return "\n".join(line for log in newest for line in log.read_text(errors="replace").splitlines()[-LAST_LINES:])
