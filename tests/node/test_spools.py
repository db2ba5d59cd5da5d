"""Copies of deliveries do not outlive the processes that made them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.spools import PREFIX, remove_leftovers, spool

ROOT = Path(__file__).parents[2]
MAKE_AND_WAIT = """
import sys
from node.spools import spool
with spool() as path:
    (path / "copy").write_text("meter-1")
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def another(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a spool of its own."""
    command = [sys.executable, "-c", MAKE_AND_WAIT]
    with subprocess.Popen(
        command, cwd=ROOT, env={"TMPDIR": str(temporary)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_has_is_not(temporary: Path) -> None:
    with spool() as own, another(temporary) as (running, of_running), another(temporary) as (killed, of_killed):
        (own / "copy").write_text("mine")
        (temporary / f"{PREFIX}link").symlink_to(own)
        assert remove_leftovers() == 0
        killed.kill()
        killed.wait()
        assert (of_killed / "copy").exists()
        assert remove_leftovers() == 1
        assert not of_killed.exists()
        assert (of_running / "copy").exists() and (own / "copy").exists()
        running.communicate("")
        assert not of_running.exists()
    assert not own.exists()
