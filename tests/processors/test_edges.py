"""What a partition meets that is no message: damaged batches, markers of transactions, gaps, a log that was cut short.

Each stops or moves its own partition and no other (R5, R14, R17). With the log and the store in memory.
"""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors.readings import FUTURE_MS
from processors.runner import Stopped
from schemas.batch import encode
from schemas.registry import schema_named
from store.processing import Account
from store.processing_memory import MemoryStore
from tests.processors.logs import T0, rows_of
from tests.processors.test_runner import MESSAGES, TOPIC, Clock, process
from tests.soak import examples

HOUR = 3_600_000
FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


def reading(hour: int, source: int) -> bytes:
    """A message with one reading of a quarter of an hour, at the beginning of an hour."""
    rows = rows_of([(source, source, 0.0, 1_000.0, 1)])
    return encode(
        schema_named("energy.readings.v1").id,
        metric="energy.import",
        area=2,
        class_="residential",
        interval=HOUR // 4,
        start=T0 + hour * HOUR,
        rows=rows,
    )


def log_of_readings(hours: int, partitions: int = 1, clock: Clock | None = None) -> MemoryLog:
    """One reading an hour in partition 0, appended when its hour is over."""
    clock = clock or Clock()
    log = MemoryLog(clock)
    log.create(TOPIC, partitions, {})
    append_readings(log, clock, range(hours))
    return log


def append_readings(log: MemoryLog, clock: Clock, hours: Iterable[int]) -> None:
    for hour in hours:
        clock.now = T0 + (hour + 1) * HOUR
        log.append(FIRST, b"2", reading(hour, source=hour))


def test_a_damaged_batch_stops_its_partition_and_the_others_go_on():
    log, store = log_of_readings(5, partitions=2), MemoryStore()
    for number in range(10):
        log.append(SECOND, b"3", b"broken %d" % number)
    log.damage(FIRST, 2)
    with pytest.raises(Stopped, match=f"--skip {TOPIC} 0 2"):
        process(log, store)
    assert store.position(FIRST).next_offset == 2
    assert store.position(SECOND).account == Account(messages=10, dead=10)
    assert "--skip" in store.stopped[FIRST]
    assert SECOND not in store.stopped


def test_a_skipped_batch_is_lost_and_its_windows_are_incomplete():
    log, store = log_of_readings(10), MemoryStore()
    log.damage(FIRST, 4)
    process(log, store, skip={FIRST: 4})
    account = store.position(FIRST).account
    assert (account.messages, account.decoded, account.lost_messages) == (10, 9, 1)
    assert (account.readings, account.lost) == (9, 0)
    assert account.balanced()
    cells = [cell for _, cell in store.cells.values()]
    closed_before, next_record = T0 + 2 * HOUR, T0 + 6 * HOUR
    incomplete = [cell.window_end > closed_before and cell.window_start < next_record + FUTURE_MS for cell in cells]
    assert [cell.incomplete for cell in cells] == incomplete
    assert set(incomplete) == {True, False}
    assert not store.stopped


def test_a_skip_of_another_batch_goes_past_nothing():
    log, store = log_of_readings(5), MemoryStore()
    log.damage(FIRST, 2)
    with pytest.raises(Stopped, match="damaged"):
        process(log, store, skip={FIRST: 3})
    assert store.position(FIRST).account.lost_messages == 0


def test_a_replay_passes_what_was_skipped_before():
    whole, pieces = MemoryStore(), MemoryStore()
    log = log_of_readings(8)
    log.damage(FIRST, 5)
    process(log, whole, skip={FIRST: 5})
    clock = Clock()
    part = log_of_readings(6, clock=clock)
    part.damage(FIRST, 5)
    process(part, pieces, skip={FIRST: 5})
    append_readings(part, clock, (6, 7))
    process(part, pieces)  # the open windows begin before the damaged batch, which is not accepted again
    assert pieces.cells == whole.cells
    assert pieces.position(FIRST) == whole.position(FIRST)


@examples(40, soak=600)
@given(st.lists(st.one_of(MESSAGES, st.just("marker")), max_size=60), st.integers(1, 7), st.integers(1, 4))
def test_markers_of_transactions_change_nothing_but_offsets(entries, at_once, runs):
    plain, marked = MemoryStore(), MemoryStore()
    process(_log_of([entry for entry in entries if entry != "marker"]), plain)
    clock = Clock()
    growing = _log_of([], clock)
    for part in range(runs):
        for entry in entries[len(entries) * part // runs : len(entries) * (part + 1) // runs]:
            _append(growing, clock, entry)
        process(growing, marked, at_once=at_once)
    assert marked.position(FIRST).next_offset == len(entries)
    assert marked.position(FIRST).account == plain.position(FIRST).account
    assert _contents(marked) == _contents(plain)


def _log_of(entries, clock=None) -> MemoryLog:
    clock = clock or Clock()
    log = MemoryLog(clock)
    log.create(TOPIC, 1, {})
    for entry in entries:
        _append(log, clock, entry)
    return log


def _append(log: MemoryLog, clock: Clock, entry) -> None:
    if entry == "marker":
        log.append_marker(FIRST)
    else:
        key, body, clock.now = entry
        log.append(FIRST, key, body)


def _contents(store: MemoryStore) -> tuple:
    """Cells without offsets, and the bytes and reasons of dead letters in order."""
    cells = {
        key: (cell.amounts.value, cell.amounts.readings, cell.amounts.contributors, cell.incomplete)
        for key, (_, cell) in store.cells.items()
    }
    letters = [store.dead_letters[key] for key in sorted(store.dead_letters)]
    return cells, [(letter.row, letter.reason, letter.original) for letter in letters]


def test_an_accepted_gap_is_kept_although_no_message_follows_it():
    log, store = log_of_readings(6), MemoryStore()
    process(log, store)
    position = store.position(FIRST)
    assert position.resume_offset < position.next_offset  # windows are open
    log.forget(FIRST, position.resume_offset + 1)
    with pytest.raises(Stopped, match="--accept-gap"):
        process(log, store)
    process(log, store, accept_gap=True)
    assert store.position(FIRST).account.lost == 1
    process(log, store)  # nothing more has to be accepted
    assert store.position(FIRST).account.balanced()


def test_a_replay_that_differs_stops_its_partition_alone_until_the_loss_is_accepted():
    clock, store = Clock(), MemoryStore()
    log = log_of_readings(6, partitions=2, clock=clock)
    log.append(SECOND, b"3", b"broken")
    process(log, store)
    resume = store.position(FIRST).resume_offset
    log.truncate(FIRST, resume)
    append_readings(log, clock, [0, 5])  # the first of them is late now, and was open before
    log.append(SECOND, b"3", b"broken too")
    log.append(FIRST, b"2", reading(5, source=50))
    with pytest.raises(Stopped, match="--accept-gap"):
        process(log, store)
    assert store.position(SECOND).account == Account(messages=2, dead=2)
    assert "--accept-gap" in store.stopped[FIRST]
    process(log, store, accept_gap=True)
    account = store.position(FIRST).account
    assert account.lost == 1
    assert account.balanced()
    assert FIRST not in store.stopped


def test_a_log_that_was_cut_short_is_noticed_at_once_and_stops_its_partition_alone():
    log, store = log_of_readings(6, partitions=2), MemoryStore()
    process(log, store)
    before = store.position(FIRST)
    log.truncate(FIRST, before.next_offset - 1)
    log.append(SECOND, b"3", b"broken")
    with pytest.raises(Stopped, match="cut short"):
        process(log, store)
    assert store.position(FIRST) == before
    assert store.position(SECOND).account == Account(messages=1, dead=1)
    assert "cut short" in store.stopped[FIRST]
