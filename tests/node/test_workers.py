"""The parent of several workers, with small Python programs as workers."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import typer

from node.cli import app
from node.workers import WorkerEnded, Workers, _arguments
from tests.waiting import until

LASTING = "import os, sys; open(os.environ['MARK'], 'a').write(f'{os.getpid()}\\n'); sys.stdin.read()"
FAILING = "import sys; sys.exit(3)"
DONE = "import os; open(os.environ['MARK'], 'a').write('done\\n')"


class Parent:
    """Workers that run in a thread. A worker writes its process id, or what it did, into its own file."""

    def __init__(self, folder: Path, *programs: str, **options) -> None:
        self.files = [folder / str(number) for number in range(len(programs))]
        environments = [
            {"MARK": str(file), "PROGRAM": program} for file, program in zip(self.files, programs, strict=True)
        ]
        command = [sys.executable, "-c", "import os; exec(os.environ['PROGRAM'])"]
        self.stop = threading.Event()
        self.error: WorkerEnded | None = None
        self._workers = Workers(command, environments, **options)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._workers.run(self.stop)
        except WorkerEnded as error:
            self.error = error

    def marks(self, number: int) -> list[str]:
        file = self.files[number]
        return file.read_text().splitlines() if file.exists() else []

    def ended(self) -> WorkerEnded | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.error


def runs(process_id: str) -> bool:
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return False
    return True


def test_all_workers_are_stopped_with_their_parent(tmp_path):
    parent = Parent(tmp_path, LASTING, LASTING)
    until(lambda: parent.marks(0) and parent.marks(1), "both run")
    parent.stop.set()
    assert parent.ended() is None
    assert not any(runs(parent.marks(number)[0]) for number in range(2))


def test_a_worker_that_fails_ends_the_others_and_the_parent(tmp_path):
    parent = Parent(tmp_path, LASTING, FAILING, steady_s=0.0)
    assert "worker 2 ended with code 3" in str(parent.ended())
    assert not any(map(runs, parent.marks(0)))


def test_a_worker_that_was_killed_is_started_again_if_it_had_run_for_a_while(tmp_path):
    parent = Parent(tmp_path, LASTING, LASTING, steady_s=0.0)
    until(lambda: parent.marks(0) and parent.marks(1), "both run")
    os.kill(int(parent.marks(0)[0]), signal.SIGKILL)
    until(lambda: len(parent.marks(0)) == 2, "another has been started")
    parent.stop.set()
    assert parent.ended() is None
    assert len(parent.marks(1)) == 1


def test_a_worker_that_was_killed_soon_after_its_start_is_not_started_again(tmp_path):
    parent = Parent(tmp_path, LASTING, LASTING, steady_s=600.0)
    until(lambda: parent.marks(0) and parent.marks(1), "both run")
    os.kill(int(parent.marks(0)[0]), signal.SIGKILL)
    assert "worker 1 was killed by signal 9" in str(parent.ended())
    assert not runs(parent.marks(1)[0])


def test_workers_that_are_to_end_by_themselves_are_waited_for(tmp_path):
    parent = Parent(tmp_path, DONE, DONE, lasting=False)
    assert parent.ended() is None
    assert [parent.marks(0), parent.marks(1)] == [["done"], ["done"]]


def test_a_lasting_worker_that_ends_by_itself_ends_the_parent(tmp_path):
    assert "worker 1 ended with code 0" in str(Parent(tmp_path, DONE, LASTING).ended())


def test_a_worker_that_does_not_stop_is_killed(tmp_path):
    deaf = "import os, threading; open(os.environ['MARK'], 'a').write(f'{os.getpid()}\\n'); threading.Event().wait()"
    parent = Parent(tmp_path, deaf, patience_s=0.0)
    until(lambda: parent.marks(0), "it runs")
    parent.stop.set()
    assert "worker 1 was killed by signal 9 when it was to stop" in str(parent.ended())


@pytest.mark.parametrize(
    "arguments",
    [
        ["process"],
        ["process", "--history", "july", "--until-caught-up"],
        ["process", "--accept-gap", "--skip", "town.energy.readings.v1", "3", "700", "--accept-dead"],
        ["detect", "--until-caught-up"],
    ],
)
def test_a_worker_has_the_options_of_its_parent(arguments: list[str]) -> None:
    name, options = arguments[0], [*arguments[1:], "--workers", "4"]
    command = typer.main.get_group(app).commands[name]
    context: Any = command.make_context(name, options)
    assert list(_arguments(context)) == arguments
