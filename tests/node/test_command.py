"""The `sistercity` command itself."""

import tomllib
from pathlib import Path

import typer
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


def test_no_help_has_brackets_which_the_screen_would_take_for_markup_and_drop():
    waiting = [typer.main.get_command(app)]
    texts = []
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        texts += [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    assert len(texts) > 100
    assert [text for text in texts if text and "[" in text] == []
