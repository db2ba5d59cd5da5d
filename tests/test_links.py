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
