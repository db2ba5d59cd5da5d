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
from processors.stopping import Stopped
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


@examples(10, soak=200)
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


def test_a_log_that_was_cut_short_stays_stopped_when_new_messages_have_passed_the_stored_offset():
    clock, store = Clock(), MemoryStore()
    log = log_of_readings(8, clock=clock)
    process(log, store)
    log.truncate(FIRST, 6)
    for hours in ((), (9, 10, 11)):
        append_readings(log, clock, hours)
        with pytest.raises(Stopped, match=r"ended at offset 6, .* --accept-cut"):
            process(log, store)
    process(log, store, accept_cut=True)
    account = store.position(FIRST).account
    assert (account.messages, account.decoded, account.lost_messages) == (11, 11, 0)
    assert (account.readings, account.lost) == (11, 2)
    assert account.balanced()


def test_an_accepted_cut_loses_what_was_open_and_marks_its_windows():
    clock, store = Clock(), MemoryStore()
    log = log_of_readings(8, clock=clock)
    process(log, store)
    whole = dict(store.cells)
    resume = store.position(FIRST).resume_offset
    log.truncate(FIRST, 7)
    process(log, store, accept_cut=True)
    account = store.position(FIRST).account
    assert (account.lost, account.open) == (1, 7 - resume)  # those before the cut were read again
    process(log, store)  # nothing more has to be accepted, although no message has come
    append_readings(log, clock, range(9, 14))
    process(log, store)
    assert store.position(FIRST).account.balanced()
    assert (store.position(FIRST).account.messages, store.position(FIRST).account.lost) == (13, 1)
    begins = {cell.window_start: cell.incomplete for key, (_, cell) in store.cells.items() if key not in whole}
    next_record = T0 + 10 * HOUR
    assert begins == {start: start < next_record + FUTURE_MS for start in begins}
    assert set(begins.values()) == {True, False}


def test_a_dead_letter_at_an_offset_that_was_used_before_is_another():
    log, store = MemoryLog(Clock()), MemoryStore()
    log.create(TOPIC, 1, {})
    for number in range(4):
        log.append(FIRST, b"2", b"broken %d" % number)
    process(log, store)
    log.truncate(FIRST, 2)
    process(log, store, accept_cut=True)
    log.append(FIRST, b"2", b"broken again")
    process(log, store)
    assert [letter.original for letter in store.dead_letters.values()] == [b"broken 0", b"broken 1", b"broken again"]
    assert [letter.original for _, letter in store.cut_letters] == [b"broken 2", b"broken 3"]
    assert store.position(FIRST).account == Account(messages=5, dead=5)


@examples(10, soak=200)
@given(st.lists(MESSAGES, max_size=40), st.lists(MESSAGES, max_size=40), st.data())
def test_whatever_is_cut_the_account_balances_and_a_replay_gives_the_same(before, after, data):
    kept = data.draw(st.integers(0, len(before)))
    stores = []
    for runs in (1, 3):
        clock, store = Clock(), MemoryStore()
        log = _log_of(before, clock)
        process(log, store)
        log.truncate(FIRST, kept)
        process(log, store, accept_cut=True)
        for run in range(runs):
            for entry in after[len(after) * run // runs : len(after) * (run + 1) // runs]:
                _append(log, clock, entry)
            process(log, store, at_once=data.draw(st.integers(1, 7)))
        stores.append(store)
    account = stores[0].position(FIRST).account
    assert account.balanced()
    assert (account.messages, account.lost_messages) == (len(before) + len(after), 0)
    assert stores[0].position(FIRST) == stores[1].position(FIRST)
    assert stores[0].cells == stores[1].cells
    assert stores[0].dead_letters == stores[1].dead_letters
