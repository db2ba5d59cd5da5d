import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedded.hold import AlreadyRunning, StillStopping, held
from embedded.record import Member
from tests.embedded.conftest import ROOT

OURSELVES = Member.of(os.getpid())
NOBODY = Member(OURSELVES.pid, OURSELVES.started - 1000)
HOLD_AND_WAIT = """
import os, sys, threading
from pathlib import Path
from embedded.hold import held
from embedded.record import Member
with held(Path(sys.argv[1]), Member.of(os.getpid()), threading.Event()):
    print("held", flush=True)
    sys.stdin.read()
"""


def told_to_stop() -> threading.Event:
    cancelled = threading.Event()
    cancelled.set()
    return cancelled


def test_a_folder_that_a_running_owner_holds_is_refused(tmp_path: Path) -> None:
    with held(tmp_path, OURSELVES, threading.Event()):
        with pytest.raises(AlreadyRunning, match=str(os.getpid())), held(tmp_path, OURSELVES, threading.Event()):
            pass
        with pytest.raises(AlreadyRunning), held(tmp_path, NOBODY, threading.Event()):
            pass


def test_a_running_owner_keeps_the_folder_when_its_guard_loses_the_lock(tmp_path: Path) -> None:
    with held(tmp_path, OURSELVES, threading.Event()):
        name = (tmp_path / "services.lock").read_text()
    (tmp_path / "services.lock").write_text(name)
    with pytest.raises(AlreadyRunning), held(tmp_path, NOBODY, threading.Event()):
        pass
    with held(tmp_path, OURSELVES, threading.Event()):
        pass


def test_the_next_owner_waits_while_the_services_of_the_last_are_stopped(tmp_path: Path) -> None:
    with (
        held(tmp_path, NOBODY, threading.Event()),
        pytest.raises(StillStopping),
        held(tmp_path, OURSELVES, told_to_stop()),
    ):
        pass


def test_the_lock_is_released_when_its_holder_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=str(holder.pid)), held(tmp_path, OURSELVES, threading.Event()):
            pass
        holder.kill()
        holder.wait()
        with held(tmp_path, OURSELVES, threading.Event()):
            pass
