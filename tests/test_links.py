"""Every link from one of the project's documents to a file leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
DOCUMENTS = subprocess.run(
    ["git", "ls-files", "-z", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split("\0")[:-1]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_linked_file_exists(document):
    path = ROOT / document
    targets = [target for target, _ in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_that_is_linked_by_name_is_defined_in_the_linked_file(document):
    path = ROOT / document
    for name, target in re.findall(r"\[`([\w.]+)`\]\(([^)#\s]+\.py)\)", path.read_text(encoding="utf-8")):
        code = (path.parent / target).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^ *(class|(async )?def) {part}\b", code, re.MULTILINE), f"{target} has no {name}"
