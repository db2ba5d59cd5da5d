import gc
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.ordering import PLACED, Placed, TimeOrder
from tests.ingest.files.imports import peak_bytes


def readings(*starts: int, position: int = 0) -> Placed:
    rows = np.zeros(len(starts), PLACED)
    rows["start"] = starts
    rows["position"] = range(position, position + len(starts))
    return rows


def positions(order: TimeOrder, most: int = 1_000) -> list[int]:
    return [position for step in order.steps(most) for position in step["position"].tolist()]


@given(st.lists(st.lists(st.integers(0, 30), max_size=40), max_size=20), st.integers(1, 40), st.integers(1, 50))
def test_readings_are_sorted_by_time_and_equal_times_keep_their_order(
    pieces: list[list[int]], run: int, most: int
) -> None:
    starts = [start for piece in pieces for start in piece]
    with TimeOrder(run) as order:
        added = 0
        for piece in pieces:
            originals = [b"%d" % number for number in range(added, added + len(piece))]
            order.add(readings(*piece, position=added), originals)
            added += len(piece)
        steps = [step for step in order.steps(most) if len(step)]
        assert [len(step) for step in steps[:-1]] == [most] * len(steps[:-1])
        assert positions(order, most) == sorted(range(len(starts)), key=starts.__getitem__)
        for step in steps:
            for position, at, length in zip(step["position"], step["original"], step["length"], strict=True):
                assert order.original(int(at), int(length)) == b"%d" % position


def test_runs_longer_than_what_is_loaded_are_merged_in_order(monkeypatch) -> None:
    monkeypatch.setattr("ingest.files.ordering._LEAST_BLOCK", 7)
    monkeypatch.setattr("ingest.files.ordering._LOADED", 0)
    starts = [number * 7919 % 50 for number in range(1_000)]
    with TimeOrder(100) as order:
        for begin in range(0, 1_000, 50):
            order.add(readings(*starts[begin : begin + 50], position=begin), [b""] * 50)
        assert positions(order) == sorted(range(1_000), key=starts.__getitem__)


def test_readings_beyond_the_memory_limit_are_on_disk() -> None:
    def sort(run: int) -> None:
        with TimeOrder(run) as order:
            for begin in range(0, 1_000, 50):
                positions = range(begin, begin + 50)
                starts = [position * 7919 % 1_000 for position in positions]
                order.add(readings(*starts, position=begin), [b"%01000d" % position for position in positions])
            assert sum(map(len, order.steps(100))) == 1_000

    assert peak_bytes(lambda: sort(100_000)) > 900_000
    assert peak_bytes(lambda: sort(100)) < 900_000


def test_the_original_of_a_reading_beyond_the_memory_limit_is_read_again() -> None:
    with TimeOrder(3) as order:
        for position in range(8):
            order.add(readings(-position, position=position), [b"%d" % position * 3])
        [rows] = order.steps(100)
        found = [order.original(int(row["original"]), int(row["length"])) for row in rows]
    assert found == [b"%d" % position * 3 for position in reversed(range(8))]


def test_a_small_import_needs_no_disk(monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with TimeOrder(6) as order:
        for position in range(5):
            order.add(readings(-position, position=position), [b""])
        assert positions(order) == [4, 3, 2, 1, 0]


def test_no_temporary_file_remains(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TimeOrder(2) as order:
        for position in range(5):
            order.add(readings(position, position=position), [b""])
        assert len(positions(order)) == 5
        assert list(tmp_path.iterdir()) == []  # it never had a name
    gc.collect()
    assert list(tmp_path.iterdir()) == []
