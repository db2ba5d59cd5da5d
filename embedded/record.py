"""The record of running services that the guard writes into the project's folder."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from embedded.processes import is_alive, start_time


@dataclass(frozen=True, slots=True)
class Services:
    """Addresses of both services. The URL holds a superuser's password, not to be logged: repr leaves it out."""

    kafka: str
    database_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """A process. `started`, in seconds since 1970, tells it from a later process with the same id."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Member":
        """The process that has this id now."""
        return cls(pid, start_time(pid) or 0.0)

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return is_alive(self.pid, self.started)


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """Addresses of both services, and their processes."""

    services: Services
    kafka: Member
    postgres: Member


def record_path(home: Path) -> Path:
    """The file of the record."""
    return home / "services.json"


def write_record(home: Path, record: ServiceRecord) -> None:
    """Write `services.json` in one step, readable by its owner only: a reader sees all of it or none."""
    unfinished = home / "services.json.new"
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(record), file, indent=2)
    unfinished.replace(record_path(home))


def read_record(home: Path) -> ServiceRecord | None:
    """The record in `home`; None if there is none, or it can't be read."""
    try:
        found = json.loads(record_path(home).read_text())
        return ServiceRecord(Services(**found["services"]), Member(**found["kafka"]), Member(**found["postgres"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(home: Path) -> Services | None:
    """The services that run on this folder; None unless both are running."""
    record = read_record(home)
    return record.services if record and record.kafka.alive and record.postgres.alive else None
