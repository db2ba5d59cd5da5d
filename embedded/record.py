"""What the guard writes into the project's folder: who holds it, and where its services are."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from embedded.processes import is_alive, start_time


@dataclass(frozen=True, slots=True)
class Services:
    """Where to reach the two. The URL holds the password of a superuser: it is not for logs, so repr leaves it out."""

    kafka: str
    database_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """A process, told apart from a later one with the same id by when it started (seconds since the epoch)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Member":
        return cls(pid, start_time(pid) or 0.0)

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.started)


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    services: Services
    kafka: Member
    postgres: Member


def record_path(home: Path) -> Path:
    return home / "services.json"


def write_record(home: Path, record: ServiceRecord) -> None:
    """Write `services.json`, for the owner's eyes only, in one step: a reader sees all of it or none."""
    unfinished = home / "services.json.new"
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(record), file, indent=2)
    unfinished.replace(record_path(home))


def read_record(home: Path) -> ServiceRecord | None:
    try:
        found = json.loads(record_path(home).read_text())
        return ServiceRecord(Services(**found["services"]), Member(**found["kafka"]), Member(**found["postgres"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(home: Path) -> Services | None:
    """The services that some process has started on this folder, if both are alive now."""
    record = read_record(home)
    return record.services if record and record.kafka.alive and record.postgres.alive else None
