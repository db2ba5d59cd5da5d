"""docs/operator.md as a list of what it tells an operator to run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.test_documented_commands import lacks_arguments, named_in

DOCUMENT = Path(__file__).parents[1] / "docs" / "operator.md"
CONTAINERS = "Containers"
"""The section whose commands run on a container engine."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4,}(?P<line>\S(?:\\\n|.)*)$", re.MULTILINE)
_SPAN = re.compile(r"`(?P<line>(?:docker compose|chmod|sudo) [^`]+)`")
_SAID = re.compile(r"\s{2,}#.*$|\\\n\s*")


@dataclass(frozen=True, slots=True)
class GuideCommand:
    """A command as the guide writes it, without what is said of it. `of_a_block`: on a line of its own."""

    line: int
    chapter: str
    section: str
    text: str
    of_a_block: bool


def sistercity_commands() -> list[GuideCommand]:
    """The commands of `sistercity` outside containers, without that word, in the order of the guide.

    A name without the arguments that the command needs only mentions it.
    """
    blocks = {command.line for command in shell_commands(every=True)}
    return [
        _placed(line, " ".join(words), of_a_block=line in blocks)
        for line, words in sorted(named_in(_text(), lines=True))
        if "docker compose run" not in _lines()[line - 1] and not lacks_arguments(words)
    ]


def shell_commands(*, every: bool = False) -> list[GuideCommand]:
    """The other commands: what stands in indented blocks, and commands of containers in the text.

    With `every`, those of `sistercity` in blocks too.
    """
    found = list(_matches(_INDENTED, of_a_block=True))
    if every:
        return found
    found = [command for command in found if not command.text.startswith("sistercity ")]
    return sorted([*found, *_matches(_SPAN, of_a_block=False)], key=lambda command: command.line)


def _matches(pattern: re.Pattern[str], *, of_a_block: bool) -> Iterator[GuideCommand]:
    text = _text()
    for match in pattern.finditer(text):
        written = _SAID.sub("", match["line"]) if of_a_block else " ".join(match["line"].split())
        yield _placed(text.count("\n", 0, match.start()) + 1, written.strip(), of_a_block=of_a_block)


def _placed(line: int, text: str, *, of_a_block: bool) -> GuideCommand:
    before = _lines()[:line]
    heads = [head for head in before if head.startswith(("## ", "### "))] or ["## "]
    chapter = next(head for head in reversed(heads) if head.startswith("## "))
    section = heads[-1] if heads[-1].startswith("### ") else "### "
    return GuideCommand(line, chapter[3:], section[4:], text, of_a_block)


def _text() -> str:
    """The guide with its lines, but nothing in what is fenced, which is what programs print or files hold."""
    return _FENCED.sub(lambda match: "\n" * match[0].count("\n"), DOCUMENT.read_text())


def _lines() -> list[str]:
    return _text().splitlines()
