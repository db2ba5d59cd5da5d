"""Open windows stay within their memory (R10): duplicates go, the rest goes to disk, and the result is the same."""

import gc
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors.open_memory import OpenMemory
from processors.open_rows import OpenRows
from processors.pieces import finish
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.rows import ROW_TYPES, Rows
from processors.runner import Runner
from processors.spilling import RowKind, SpilledRows, SpillFailed, SpillFolder
from processors.winners import winning
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.processing import Position
from store.processing_memory import MemoryStore
from tests.processors.logs import MINUTE, STEPS, T0, logs, splits
from tests.processors.test_reading_fold import ENERGY, ZONE, assert_as_modelled, batch, fold, tick
from tests.processors.test_runner import Clock
from tests.soak import examples

every_dataset = pytest.mark.parametrize("dataset", sorted(STEPS))


@contextmanager
def memory(limit: int = 1, piece_bytes: int = 1_000, file_bytes: int = 1_000):
    """So little of everything that a few rows are written to disk, and files are freed of duplicates and divided."""
    with TemporaryDirectory() as folder:
        spill = SpillFolder(Path(folder))
        yield OpenMemory(limit, spill, piece_bytes=piece_bytes, file_bytes=file_bytes)
        spill.close()


def rows_in_memory() -> int:
    """How many rows of windows this process holds, by its own count of objects."""
    gc.collect()
    return sum(len(found) for found in gc.get_objects() if type(found) is Rows)


@st.composite
def repeating_logs(draw, dataset):
    """Records of one partition: a few messages, most of them again and again."""
    few = draw(logs(dataset, least=4, most=10))
    chosen = draw(st.lists(st.sampled_from(few), min_size=25, max_size=60))
    return [replace(record, offset=offset) for offset, record in enumerate(chosen)]


@every_dataset
@examples(6, soak=500, minutes=2)
@given(st.data())
def test_what_is_on_disk_and_when_it_went_there_does_not_show(dataset, data):
    records = data.draw(repeating_logs(dataset))
    sizes = [st.sampled_from((0, 0, 3_000)), st.sampled_from((1, 5_000)), st.sampled_from((1, 100, 500))]
    with memory(*(data.draw(size) for size in sizes)) as room:
        subject, steps = fold(dataset=dataset, memory=room), []
        plain, expected = fold(dataset=dataset), []
        for first, last in data.draw(splits(len(records))):
            subject.feed(records[first:last])
            plain.feed(records[first:last])
            if data.draw(st.booleans()) and (step := subject.step()):
                steps.append(step)
                expected.append(plain.step())
            assert room.held <= room.limit
            if data.draw(st.booleans()):  # a crash: what was not committed is gone
                position = steps[-1].position if steps else Position()
                subject = fold(position, dataset, memory=room)
                again = [record for record in records[:last] if record.offset >= position.resume_offset]
                for begin, end in data.draw(splits(len(again))):
                    subject.feed(again[begin:end])
        if step := subject.step():
            steps.append(step)
            expected.append(plain.step())
        assert_as_modelled(steps, records, dataset)
        assert [step.position for step in steps] == [step.position for step in expected]
        assert room.held <= room.limit


def test_a_batch_that_is_repeated_again_and_again_takes_no_more_memory():
    readings = [(source, source, 0, 100, 1) for source in range(200)]
    with memory(limit=1 << 20, piece_bytes=200_000, file_bytes=200_000) as room:
        subject = fold(memory=room)
        for offset in range(1_000):
            subject.feed([batch(offset, *readings)])
        assert rows_in_memory() < 30_000
        assert subject.held[1] == 0  # duplicates need no disk
        subject.feed([tick(1_000, T0 + 180 * MINUTE)])
        account = subject.step().position.account
        assert (account.aggregated, account.duplicate, account.open) == (200, 199_800, 0)


def test_repeats_of_more_than_the_memory_holds_do_not_fill_the_disk():
    with memory(limit=100_000, piece_bytes=50_000, file_bytes=100_000) as room:
        subject = fold(memory=room)
        for offset in range(1_000):
            readings = [(source, source, 0, 100, 1) for source in range(offset % 50 * 200, offset % 50 * 200 + 200)]
            subject.feed([batch(offset, *readings)])
            assert subject.held[0] <= 100_000
            assert subject.held[1] < 3 * 10_000 * 45
        subject.feed([tick(1_000, T0 + 180 * MINUTE)])
        account = subject.step().position.account
        assert (account.aggregated, account.duplicate, account.open) == (10_000, 190_000, 0)


def kind() -> RowKind[Rows]:
    return RowKind(Rows.join, lambda rows: rows.group, winning, Rows.columns,
                Rows.of_columns, ROW_TYPES)  # fmt: skip


def some_rows(groups: int, sources: int, count: int, offset: int) -> Rows:
    """Rows drawn at random, many of them of the same group, source and start."""
    draw = np.random.default_rng(offset)
    return Rows.one_by_one(
        group=draw.integers(0, groups, count), source=draw.integers(0, sources, count), contributor=np.zeros(count),
        start=T0 + np.zeros(count), value=draw.integers(0, 99, count), quality=draw.integers(0, 2, count),
        interval=np.full(count, 15 * MINUTE), offset=offset + np.arange(count), row=np.zeros(count),
    )  # fmt: skip


def counted(rows: Rows) -> list[tuple]:
    """What counts of some rows, in order."""
    kept = rows.take(winning(rows))
    columns = (kept.group, kept.source, kept.quality, kept.value, kept.offset)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(("groups", "sources"), [(300, 40), (1, 3_000), (2, 3)])
def test_files_are_freed_of_duplicates_and_divided_and_hold_each_group_once(groups, sources, tmp_path):
    spill = SpillFolder(tmp_path)
    rows, every = SpilledRows(kind(), spill, 40_000), []
    for number in range(100):
        every.append(some_rows(groups, sources, 1_000, 1_000 * number))
        rows.append(every[-1])
        assert rows.bytes < 5 * 45 * groups * sources + 200_000
    assert rows.dropped > 30_000
    portions = [Rows.join(portion) for portion in rows.portions()]
    assert (len(portions) > 8) == (groups > 2)
    found = [group for portion in portions for group in np.unique(portion.group).tolist()]
    assert len(found) == len(set(found)) == groups
    assert [path for path in spill.path.rglob("*") if path.is_file()] == []
    assert counted(Rows.join(portions)) == counted(Rows.join(every))


def test_memory_is_that_of_all_windows_together(tmp_path):
    memory = OpenMemory(100_000, SpillFolder(tmp_path), piece_bytes=20_000, file_bytes=20_000)
    windows = [OpenRows(kind(), memory) for _ in range(4)]
    for number in range(50):
        for at in range(len(windows)):
            windows[at].append(some_rows(300, 1_000, 100 * (at + 1), 1_000 * number), 1_000 * number)
            memory.make_room()
            assert memory.held <= 100_000
    assert windows[0].on_disk < windows[3].on_disk  # the largest goes first
    del windows[1:]
    gc.collect()
    assert memory.held == windows[0].held
    rows = sum(len(part) for portion in finish(windows[0].portions()) for part in portion)
    assert rows + windows[0].dropped == 5_000


def processed(log: MemoryLog, store: MemoryStore, memory: OpenMemory) -> None:
    folds = ReadingFoldFactory({live("isfahan", ENERGY): metrics_of(ENERGY)}, ZONE, memory=memory)
    Runner(log, store, folds, Plan("group", commit_s=0.0, until_caught_up=True, at_once=5)).run(Event())


def test_a_full_disk_stops_the_processor_with_words_and_with_room_it_goes_on(tmp_path):
    topic, clock = live("isfahan", ENERGY), Clock()
    log, store = MemoryLog(clock), MemoryStore()
    log.create(topic, 1, {})
    for number in range(40):
        record = batch(0, *((source, source, 0, 100, 1) for source in range(number * 20, number * 20 + 40)))
        clock.now = record.timestamp
        log.append(TopicPartition(topic, 0), record.key, record.value)
    log.append(TopicPartition(topic, 0), None, tick(0, T0 + 180 * MINUTE).value)
    spill = SpillFolder(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a file that grows beyond it fails as on a full disk
    try:
        with pytest.raises(SpillFailed, match="Nothing is lost"):
            processed(log, store, OpenMemory(3_000, spill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    [before] = store.claim([TopicPartition(topic, 0)]).values()
    assert 0 < before.position.next_offset < 40
    processed(log, store, OpenMemory(3_000, spill))
    [after] = store.claim([TopicPartition(topic, 0)]).values()
    assert (after.position.account.aggregated, after.position.account.duplicate) == (820, 780)


def test_a_folder_that_can_not_be_used_is_an_error_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpillFailed, match=r"can't be kept on disk in .*file/inside"):
        SpillFolder(tmp_path / "file" / "inside")


def test_only_the_owner_may_read_the_files(tmp_path):
    spill = SpillFolder(tmp_path / "new")
    SpilledRows(kind(), spill, 1_000).append(some_rows(9, 9, 9, 0))
    rows = SpilledRows(kind(), spill, 1_000)
    rows.append(some_rows(9, 9, 9, 0))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(spill.path.stat().st_mode) == 0o700


HOLDS_A_FILE = """
import sys
from pathlib import Path
from processors.spilling import SpillFolder
folder = SpillFolder(Path(sys.argv[1]))
(folder.new() / "file").write_text("rows")
print(flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen]:
    """A process that holds a file in `folder` until it reads a line."""
    arguments = [sys.executable, "-c", HOLDS_A_FILE, str(folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_what_a_killed_process_left_goes_at_the_next_start_and_what_another_holds_stays(tmp_path):
    with another_process(tmp_path) as killed, another_process(tmp_path) as running:
        assert files(tmp_path) == 2
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert files(tmp_path) == 2
        spill = SpillFolder(tmp_path)
        assert files(tmp_path) == 1
        running.communicate(b"\n")
        assert files(tmp_path) == 0
    spill.close()
    assert list(tmp_path.iterdir()) == []
