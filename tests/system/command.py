"""The `sistercity` command, run as an operator runs it."""

import os
import subprocess
import sys
from pathlib import Path


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

    def fails(self, *arguments: str) -> str:
        """Run a command that must end with code 1; returns what it says on stderr."""
        done = self._run(arguments)
        assert done.returncode == 1, done.stderr[-3000:]
        return done.stderr

    def __call__(self, *arguments: str) -> str:
        """Run a command that must succeed; returns what it prints."""
        done = self._run(arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def _run(self, arguments: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "node", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
