"""Conventions of names and words that a reader relies on, held by machine."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent


def sources() -> list[Path]:
    """Every committed Python file that is no test."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    names = listed.stdout.split("\0")[:-1]
    return [Path(name) for name in names if not name.startswith("tests/") and (ROOT / name).is_file()]


def public_classes(path: Path) -> list[str]:
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def test_each_public_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for path in sources():
        for name in public_classes(path):
            places[name].append(str(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
