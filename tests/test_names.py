"""Conventions of names and words that a reader relies on, held by machine."""

import ast
import re
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent


def committed(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.split("\0")[:-1] if (path := ROOT / name).is_file()]


def product() -> list[Path]:
    """Every committed Python file that is not a test."""
    return [path for path in committed("*.py") if path.relative_to(ROOT).parts[0] != "tests"]


def public_names(path: Path) -> tuple[list[str], list[str]]:
    """The public classes of a module, and its public type aliases."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    assigned = [target.id for target in targets if isinstance(target, ast.Name)]
    aliases = [name for name in assigned if name[0].isupper() and not name.isupper()]
    return [name for name in classes if not name.startswith("_")], aliases


def test_a_public_class_shares_its_name_with_no_other_class_or_type_alias():
    classes, named = set(), defaultdict(list)
    for path in product():
        own, aliases = public_names(path)
        classes |= set(own)
        for name in own + aliases:
            named[name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in named.items() if name in classes and len(files) > 1} == {}


def test_no_docstring_is_only_a_reference():
    """A docstring such as `See X` repeats what the class says about its Protocol."""
    empty = re.compile(r'^\s*"""See `[\w.]+`\.?"""$', re.MULTILINE)
    assert [path.name for path in committed("*.py") if empty.search(path.read_text(encoding="utf-8"))] == []


def test_a_loop_names_what_it_goes_over():
    """`for one in` leaves the reader to guess what it is."""
    vague = re.compile(r"\bfor one in\b")
    assert [path.name for path in committed("*.py") if vague.search(path.read_text(encoding="utf-8"))] == [
        "test_names.py"
    ]
