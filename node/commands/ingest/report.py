"""The file in which a simulator reports what it sent."""

import json
from pathlib import Path


def write_report(path: Path, content: object) -> None:
    """Write JSON in one step: a reader that waits for the file finds all of it. Raises `OSError`."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content))
    draft.replace(path)
