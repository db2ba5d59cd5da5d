"""Every `sistercity` command that a page, a setting file or an error message names exists, with its options."""

import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperGroup

from node.cli import app

ROOT = Path(__file__).parents[1]
TEXTS = ("*.md", "docs/**/*.md", "docker-compose*.yml", ".env.example", "deploy/**/*.yml", "deploy/**/*.toml")
ROOMS = ("api", "embedded", "eventlog", "federation", "ingest", "node", "processors", "schemas", "store", "benchmarks")
# A history tells of commands that there were.
LEFT_OUT = {ROOT / "CHANGELOG.md", *(ROOT / "docs" / "decisions").glob("*.md")}

# What stands before the words of a command: on a line of its own, or in backticks.
_BEFORE = r"(?:\.venv/bin/)?sistercity|docker compose run (?:--[a-z-]+ (?:\"[^\"]*\" )?)*(?:cli|detect)(?: sistercity)?"
_LINE = re.compile(rf"^ *(?:{_BEFORE}) +(?P<words>[a-z].*)$", re.MULTILINE)
_SPAN = re.compile(rf"`(?:{_BEFORE})\s+(?P<words>[a-z][^`]*)`")
_SHORT_SPAN = re.compile(r"`(?P<words>[a-z-]+ [^`]+)`")
# A command ends at what a shell would take, and in a list of commands at the blanks before its description.
_END = re.compile(r"\s(?:[|#<>&;]|2>)|\\$|\s{2,}")
_HOLE = re.compile(r"\{[^{}]*\}")

PROGRAM = typer.main.get_command(app)
HELP = ("--help", "-h")


def commands_of(group: object) -> Mapping[str, object]:
    """By name, the commands of a group of commands; none of a command that is no group."""
    return group.commands if isinstance(group, TyperGroup) else {}


def named_in(text: str, *, lines: bool) -> Iterator[tuple[int, Sequence[str]]]:
    """The words of each command in a text, after `sistercity`, with the line on which it stands."""
    for pattern in [_LINE, _SPAN, _SHORT_SPAN] if lines else [_SPAN]:
        for match in pattern.finditer(text):
            written = match["words"] if pattern is _LINE else " ".join(match["words"].split())
            if pattern is _SHORT_SPAN and not _stands_for_a_command(written):
                continue
            words = shlex.split(_END.split(_HOLE.sub("X", written))[0])
            if words[-1] == "..." and not words[-2].startswith("-"):
                words.pop()  # stands for any words
            yield text.count("\n", 0, match.start()) + 1, words


def _stands_for_a_command(written: str) -> bool:
    """Whether what is written without `sistercity` before it is a command: it has an option, or is of a group."""
    first, second, *_ = written.split()
    known = commands_of(PROGRAM)
    return first in known and ("--" in written or second in commands_of(known[first]))


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """A page or file with its first line; of a program, its strings."""
    if path.suffix != ".py":
        yield 1, path.read_text()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def lacks_arguments(words: Sequence[str]) -> bool:
    """Whether the words are the name of a command alone, which could not be given without more."""
    command: Any = PROGRAM
    for word in words:
        commands = commands_of(command)
        if word not in commands:
            return False
        command = commands[word]
    return any(param.required for param in command.params)


def fault(words: Sequence[str]) -> str | None:
    """What is wrong with a command's words, None if it could be given so. Values are not looked at."""
    command: Any = PROGRAM
    remaining = list(words)
    while (commands := commands_of(command)) and remaining and not remaining[0].startswith("-"):
        name = remaining.pop(0)
        if name.isupper():  # stands for any command
            return None
        if name not in commands:
            return f"there is no command {name}"
        command = commands[name]
    options = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
    arguments = [param.nargs for param in command.params if isinstance(param, TyperArgument)]
    room = len(words) if -1 in arguments else sum(arguments)
    while remaining:
        word, _, value = remaining.pop(0).partition("=")
        if not word.startswith("-"):
            room -= 1
        elif word in HELP:
            continue
        elif word not in options:
            return f"there is no option {word}"
        elif not value and not options[word].is_flag:
            del remaining[: options[word].nargs]
    return "there are too many words" if room < 0 else None


def _sources() -> Iterator[Path]:
    for pattern in TEXTS:
        yield from sorted(set(ROOT.glob(pattern)) - LEFT_OUT)
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def test_every_command_that_a_text_names_exists_with_its_options():
    faults: list[str] = []
    checked: set[str] = set()
    for path in _sources():
        for first, text in texts_of(path):
            for line, words in named_in(text, lines=path.suffix != ".py"):
                checked.add(words[0])
                if wrong := fault(words):
                    faults.append(f"{path.relative_to(ROOT)}:{first + line - 1}: {' '.join(words)}: {wrong}")
    assert faults == []
    assert set(commands_of(PROGRAM)) - checked == set(), "commands that no text names"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("status", None),
        ("proces --until-caught-up", "there is no command proces"),
        ("process --until-caught-op", "there is no option --until-caught-op"),
        ("topics made-new", "there is no command made-new"),
        ("status now", "there are too many words"),
    ],
)
def test_a_command_that_is_not_there_is_told(words: str, wrong: str | None):
    assert fault(words.split()) == wrong
