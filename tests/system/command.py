"""The `sistercity` command, run as an operator runs it."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.processes import SistercityProcess

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def completed(arguments: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Run `sistercity` to its end, with this environment only."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = SistercityProcess(arguments, environment, out, err)
        try:
            code = process.wait(TIMEOUT_S)
        finally:
            process.kill()
        return Outcome(code, out.read_text(), err.read_text())


class Command:
    """Runs `sistercity` with the settings of one city."""

    def __init__(self, city_file: Path, kafka: str, database_url: str, home: Path) -> None:
        self.environment: dict[str, str] = {
            **os.environ,
            "SISTERCITY_CITY": str(city_file),
            "SISTERCITY_KAFKA": kafka,
            "SISTERCITY_DATABASE_URL": database_url,
            "SISTERCITY_HOME": str(home),
            "SISTERCITY_PARTITIONS": "4",
        }

    def __call__(self, *arguments: str) -> str:
        """Run a command that must succeed; returns what it prints."""
        outcome = self.outcome(*arguments)
        assert outcome.code == 0, outcome.stderr[-3000:]
        return outcome.stdout

    def fails(self, *arguments: str) -> str:
        """Run a command that must end with code 1; returns what it prints on stderr."""
        outcome = self.outcome(*arguments)
        assert outcome.code == 1, outcome.stderr[-3000:]
        return outcome.stderr

    def outcome(self, *arguments: str) -> Outcome:
        """Run a command to its end."""
        return completed(arguments, self.environment)

    @contextmanager
    def running(self, log: Path, *arguments: str, **settings: str) -> Iterator[SistercityProcess]:
        """A command that lasts, with further settings; its output goes to `log`. It is killed when the block ends."""
        environment = {**self.environment, **settings, "SISTERCITY_STOP_WITH_STDIN": "true"}
        process = SistercityProcess(arguments, environment, log, log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
