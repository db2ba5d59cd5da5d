"""`docs/security.md` names the tests of each attack on the exchange, and they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
SECTION = re.search(r"^## Each attack and its test$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)


def rows() -> dict[str, list[tuple[str, str]]]:
    """The tests of each attack, as (function, file)."""
    assert SECTION is not None
    lines = [line.split("|")[1:-1] for line in SECTION[1].splitlines() if line.startswith("|")]
    return {
        attack.strip(): re.findall(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", tests)
        for attack, _, tests in lines[2:]
    }


@pytest.mark.parametrize("attack", rows())
def test_an_attack_has_tests_that_exist(attack: str) -> None:
    tests = rows()[attack]
    assert tests
    for function, file in tests:
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {function}"
