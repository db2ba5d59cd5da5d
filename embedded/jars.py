"""The jars of the Kafka runtime and the SHA-256 that each must have, as `kafka.lock` lists them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import OperatorError

LOCK = Path(__file__).with_name("kafka.lock")
SERVER = ("org.apache.kafka", "kafka_2.13")


class BadLock(OperatorError):
    """The lock file can't be read as `group:artifact:version sha256` lines with a Kafka server among them."""


class NotInstalled(OperatorError):
    """Jars of the lock are missing in the folder where they should be."""

    def __init__(self, folder: Path, missing: int) -> None:
        super().__init__(
            f"{missing} files of the Kafka runtime are missing in {folder}: run `python -m embedded.install {folder}`"
        )


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar by its Maven coordinates; `sha256` in 64 hexadecimal digits."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of a lock file. Lines that start with `#` are comments. Raises BadLock."""
    jars = tuple(parse_line(line) for line in path.read_text().splitlines() if line and not line.startswith("#"))
    kafka_version(jars)
    return jars


def parse_line(line: str) -> Jar:
    """The jar of a line of the lock. Raises BadLock."""
    coordinates, _, sha256 = line.partition(" ")
    parts = coordinates.split(":")
    if len(parts) != 3 or not all(parts) or len(sha256) != 64:
        raise BadLock(f"not `group:artifact:version sha256`: {line}")
    group, artifact, version = parts
    return Jar(group, artifact, version, sha256)


def write_lock(jars: Iterable[Jar], path: Path = LOCK) -> None:
    """Write a lock file, its jars in alphabetical order."""
    lines = sorted(f"{jar.coordinates} {jar.sha256}\n" for jar in jars)
    path.write_text("# Written by `python -m embedded.install --relock`.\n" + "".join(lines))


def kafka_version(jars: Sequence[Jar]) -> str:
    """The version of the Kafka server among the jars. Raises BadLock if there is none."""
    for jar in jars:
        if (jar.group, jar.artifact) == SERVER:
            return jar.version
    raise BadLock(f"{':'.join(SERVER)} is not in the lock")


def jar_folder(folder: Path, jars: Sequence[Jar]) -> Path:
    """The folder of these jars in an installation."""
    return folder / "kafka" / kafka_version(jars)


def classpath(folder: Path, jars: Sequence[Jar]) -> str:
    """The class path of the runtime installed in `folder`. Raises NotInstalled.

    Files that the lock does not name are not on it, even if they are in the same folder.
    """
    paths = [jar_folder(folder, jars) / jar.name for jar in jars]
    if missing := sum(not path.is_file() for path in paths):
        raise NotInstalled(folder, missing)
    return ":".join(str(path) for path in paths)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
