import gc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ingest.files.ordering import Placed, TimeOrder
from ingest.files.reading import Parsed
from tests.ingest.files.imports import peak_bytes


def reading(start: int, position: int, original: bytes = b"") -> Parsed:
    return Parsed(position, None, "energy.import", start, 60_000, 1, 1, original)


@given(st.lists(st.integers(0, 50), max_size=200), st.integers(1, 40))
def test_readings_are_sorted_by_time_and_equal_times_keep_their_order(starts: list[int], run: int) -> None:
    placed = [Placed(position % 3, reading(start, position)) for position, start in enumerate(starts)]
    with TimeOrder(run) as order:
        for item in placed:
            order.add(item)
        assert list(order) == sorted(placed, key=lambda item: item.parsed.start_ms)


def test_readings_beyond_the_memory_limit_are_on_disk() -> None:
    def sort(run: int) -> None:
        with TimeOrder(run) as order:
            for position in range(8_000):
                order.add(Placed(0, reading(position * 7919 % 8_000, position, b"%0500d" % position)))
            assert sum(1 for _ in order) == 8_000

    assert peak_bytes(lambda: sort(8_001)) > 4_000_000
    assert peak_bytes(lambda: sort(1_000)) < 4_000_000


def test_a_small_import_needs_no_disk(monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with TimeOrder(6) as order:
        for position in range(5):
            order.add(Placed(0, reading(-position, position)))
        assert [item.parsed.position for item in order] == [4, 3, 2, 1, 0]


def test_no_temporary_file_remains(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TimeOrder(2) as order:
        for position in range(5):
            order.add(Placed(0, reading(position, position)))
        assert len(list(order)) == 5
        assert list(tmp_path.iterdir()) == []  # it never had a name
    gc.collect()
    assert list(tmp_path.iterdir()) == []
