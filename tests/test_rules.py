"""`docs/rules.md` defines every rule label that the project cites, and links the tests that hold each rule."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RULES = ROOT / "docs" / "rules.md"
LABEL = re.compile(r"\b[RP]\d{1,2}\b")
STATES = ("**Built.**", "**Built in part.**", "**Not built")
TEXTS = (".py", ".md", ".toml", ".sql", ".yml", ".yaml", ".avsc", "Makefile")


def sections() -> dict[str, str]:
    """The text of each rule by its label."""
    parts = re.split(r"^### ([RP]\d{1,2}) .*$", RULES.read_text(), flags=re.MULTILINE)
    labels, texts = parts[1::2], parts[2::2]
    assert len(labels) == len(set(labels))
    return dict(zip(labels, texts, strict=True))


def committed_texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name.endswith(TEXTS) and (ROOT / name).is_file()]


def linked_tests(section: str) -> list[tuple[str, str]]:
    """(function, file) of each link whose text is the name of a test."""
    return re.findall(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", section)


def test_the_labels_are_r1_to_r17_and_p1_to_p8():
    assert list(sections()) == [f"R{n}" for n in range(1, 18)] + [f"P{n}" for n in range(1, 9)]


def test_every_cited_label_is_defined():
    cited = {
        label: path.relative_to(ROOT)
        for path in committed_texts()
        for label in LABEL.findall(path.read_text(encoding="utf-8"))
    }
    assert {label: path for label, path in cited.items() if label not in sections()} == {}


@pytest.mark.parametrize("label", sections())
def test_a_rule_says_whether_it_is_built_and_links_the_tests_that_hold_it(label):
    section = sections()[label]
    assert section.strip().startswith(STATES)
    tests = linked_tests(section)
    assert bool(tests) != section.strip().startswith("**Not built")
    for function, file in tests:
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {function}"
