"""Files that a node had not seen, and took in wrongly: they lie beside the project."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[3] / "shared/data/cases"


def case(name: str) -> Path:
    """A file of the cases; the test is skipped where they are absent."""
    path = _FOLDER / name
    if not path.exists():
        pytest.skip("the shared cases do not lie beside this checkout (../shared/data/cases)")
    return path
