"""A peer's cells are compared with what was written; a peer that gives none has no figure."""

import os
import sys
from collections import defaultdict

import psutil
import pytest

from benchmarks.peers.installs import HERE, NotPossible, java_program
from benchmarks.peers.oracle import every_reading
from benchmarks.peers.unpack import parts
from benchmarks.peers.watched import PeerFailed, ServiceProcesses, watch
from benchmarks.readings import CellAmounts, CellKey, Written, cut, energy, steps
from embedded.jars import parse_line
from ingest.batches import tick

CELL = CellKey(3_600_000, 7, "residential")


@pytest.mark.parametrize("rows", [500, 1], ids=["batches", "single readings"])
def test_what_python_peers_make_of_messages_is_what_was_written(rows):
    stream = energy(2_000, 5, areas=2, rows=rows)
    cells = defaultdict(lambda: CellAmounts(0, 0))
    for readings in steps(stream, Written()):
        for message in cut(readings, stream.rows):
            for hour, area, class_, total, count in parts(message.value):
                before = cells[CellKey(hour, area, class_)]
                cells[CellKey(hour, area, class_)] = CellAmounts(before.value + total, before.readings + count)
    assert cells == every_reading(stream)
    assert len({key.window for key in cells}) > 2  # drifted clocks cross an hour within a message
    assert sum(cell.readings for cell in cells.values()) == 2_000 * 5 * 101 // 100


def test_a_tick_has_no_rows():
    assert parts(tick("energy.readings", 1_790_000_000_000)) == []


def watched(tmp_path, program):
    here = psutil.Process(os.getpid())
    command = [sys.executable, "-c", f"import sys\n{program}"]
    return watch(command, ServiceProcesses(here, here), tmp_path / "log", 20)


def test_the_cells_that_a_system_gives_are_its_result(tmp_path):
    seen = watched(
        tmp_path,
        "print('begin\\nanything else\\nend', flush=True)\nsys.stdin.read()\n"
        "print('cell 3600000 7 residential 12 3\\ndone')",
    )
    assert seen.cells == {CELL: CellAmounts(12, 3)}
    assert seen.peak_mb > 1


@pytest.mark.parametrize(
    "program", ["print('begin\\nend')", "print('end\\ndone')", "print('begin'); sys.exit('no such topic')"]
)
def test_a_system_that_ends_without_a_result_has_no_figure(tmp_path, program):
    with pytest.raises(PeerFailed, match="ended without a result") as failed:
        watched(tmp_path, program)
    assert ("no such topic" in str(failed.value)) == ("topic" in program)


def test_jars_of_the_peers_are_locked_and_have_names_of_their_own():
    for lock in HERE.glob("*.lock"):
        jars = [parse_line(line) for line in lock.read_text().splitlines() if not line.startswith("#")]
        assert len({jar.name for jar in jars}) == len(jars) > 1


def test_without_a_compiler_a_java_peer_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotPossible, match="there is no `javac`"):
        java_program(tmp_path, "streams", ["Batch.java"])
