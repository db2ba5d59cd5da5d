"""The `sistercity` command itself."""

import tomllib
from pathlib import Path

from typer.testing import CliRunner

from node.cli import app

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_version_is_the_packages():
    declared = tomllib.loads(PROJECT.read_text())["project"]["version"]
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"sistercity {declared}\n")


def test_help_describes_the_command():
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    assert "A city's streams, reduced to aggregates and shared with partner cities." in done.stdout
