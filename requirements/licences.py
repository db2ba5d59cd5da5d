"""Prints the licence of every package in a CycloneDX list: name, version and licence, one package a line.

python requirements/licences.py sbom.cdx.json
"""

import json
import sys
from pathlib import Path
from typing import Any


def licence(component: dict[str, Any]) -> str:
    """What a package says of its licence: an SPDX expression, ids or names; "not stated" if it says nothing."""
    found = []
    for entry in component.get("licenses", []):
        one = entry.get("license", {})
        words = entry.get("expression") or one.get("id") or one.get("name")
        found.append(words.splitlines()[0] if words else "")
    return ", ".join(sorted({words for words in found if words})) or "not stated"


if __name__ == "__main__":
    listed = json.loads(Path(sys.argv[1]).read_text())["components"]
    for component in sorted(listed, key=lambda component: component["name"].lower()):
        print(f"{component['name']} {component['version']}: {licence(component)}")
