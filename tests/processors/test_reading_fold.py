"""The fold over a partition's log gives what the rules say, however it is polled and however often replayed."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryRecord
from processors.brakes import ROW_BLOCK, TooManyDead, TooManyRejected
from processors.fold import ReplayDiffers
from processors.reading_fold import ReadingFold
from schemas.batch import ROW, encode
from schemas.catalogue import catalogue, metrics_of
from schemas.windows import Windows
from store.processing import Position
from tests.oracle import outcome, window
from tests.processors.logs import MINUTE, STEPS, T0, logs, rows_of, splits
from tests.soak import examples

ZONE = "Asia/Tehran"
ENERGY = "energy.readings"
START = Position()

offsets = st.integers(1, 3)
every_dataset = pytest.mark.parametrize("dataset", sorted(STEPS))


def fold(position: Position = START, dataset: str = ENERGY, **options) -> ReadingFold:
    metrics = metrics_of(dataset)
    windows = {metric.name: Windows(ZONE, metric.window) for metric in metrics}
    return ReadingFold(metrics, windows, position, **options)


def batch(offset: int, *readings, start: int = T0, appended: int | None = None, **header) -> MemoryRecord:
    fields = {"metric": "energy.import", "area": 1, "class_": "residential", "interval": 15 * MINUTE, **header}
    when = T0 + 24 * 60 * MINUTE if appended is None else appended
    return MemoryRecord(offset, when, b"1", encode(1, **fields, start=start, rows=rows_of(list(readings))))


def tick(offset: int, time: int, appended: int | None = None) -> MemoryRecord:
    return batch(offset, start=time, appended=appended if appended is not None else time)


def read(subject: ReadingFold, records, first: int, last: int, data) -> None:
    """Feed the fold these records, and sometimes let it pass the markers of transactions that follow them."""
    subject.feed(records[first:last])
    if last and data.draw(st.booleans()):
        subject.pass_over(records[last].offset if last < len(records) else records[-1].offset + data.draw(offsets))


def table(steps) -> dict:
    """Cells of all steps by key; a cell that comes twice is an error."""
    cells = {}
    for step in steps:
        for cell in step.cells:
            key = (cell.metric, cell.window_start, cell.window_end, cell.area, cell.class_)
            assert key not in cells
            cells[key] = asdict(cell.amounts)
    return cells


def late(steps) -> dict:
    """Late readings by window, added up over the steps: first offset, last offset, how many."""
    windows: dict = {}
    for of_window in (of_window for step in steps for of_window in step.late):
        key = (of_window.metric, of_window.window_start, of_window.window_end)
        windows[key] = windows[key] + of_window if key in windows else of_window
    return {key: (found.first_offset, found.last_offset, found.readings) for key, found in windows.items()}


def letters(steps) -> tuple[list, list]:
    every = [letter for step in steps for letter in step.dead_letters]
    dead = sorted((letter.offset, letter.reason) for letter in every if letter.row < 0)
    return dead, sorted((letter.offset, letter.row, letter.reason) for letter in every if letter.row >= 0)


def assert_as_modelled(steps, records, dataset=ENERGY) -> None:
    expected = outcome(records, {metric.name: metric for metric in metrics_of(dataset)}, ZONE)
    assert table(steps) == expected.cells
    assert late(steps) == expected.late_windows
    dead, rejected = letters(steps)
    assert (dead, rejected) == (sorted(expected.dead), sorted(expected.rejected))
    account = steps[-1].position.account if steps else Position().account
    assert account.balanced()
    assert (account.messages, account.dead) == (expected.messages, len(expected.dead))
    assert (account.readings, account.rejected) == (expected.readings, len(expected.rejected))
    assert (account.late, account.duplicate) == (expected.late, expected.duplicate)
    assert (account.aggregated, account.open) == (expected.aggregated, expected.open)


@every_dataset
@examples(6, soak=500, minutes=1)
@given(st.data())
def test_any_split_of_the_log_gives_what_the_rules_say(dataset, data):
    records = data.draw(logs(dataset))
    subject, steps = fold(dataset=dataset), []
    for first, last in data.draw(splits(len(records))):
        read(subject, records, first, last, data)
        if data.draw(st.booleans()) and (step := subject.step()):
            steps.append(step)
    if step := subject.step():
        steps.append(step)
    assert_as_modelled(steps, records, dataset)


@every_dataset
@examples(6, soak=500, minutes=1)
@given(st.data())
def test_a_replay_from_any_committed_position_changes_nothing(dataset, data):
    records = data.draw(logs(dataset))
    subject, steps = fold(dataset=dataset), []
    for first, last in data.draw(splits(len(records))):
        read(subject, records, first, last, data)
        if data.draw(st.booleans()) and (step := subject.step()):
            steps.append(step)
        if data.draw(st.booleans()):  # a crash: what was not committed is gone
            position = steps[-1].position if steps else Position()
            subject = fold(position, dataset)
            again = [record for record in records[:last] if record.offset >= position.resume_offset]
            for begin, end in data.draw(splits(len(again))):
                subject.feed(again[begin:end])
    if step := subject.step():
        steps.append(step)
    assert_as_modelled(steps, records, dataset)


def test_a_late_actual_beats_an_earlier_estimate_and_a_repeat_counts_once():
    subject = fold()
    subject.feed([
        batch(0, (7, 3, 0, 100, 0)),
        batch(1, (7, 3, 0, 140, 1)),
        batch(2, (7, 3, 0, 120, 0)),
        tick(3, T0 + 180 * MINUTE),
    ])  # fmt: skip
    step = subject.step()
    assert [cell.amounts.value for cell in step.cells] == [140]
    assert (step.position.account.aggregated, step.position.account.duplicate) == (1, 2)


def test_a_clock_in_the_future_moves_no_watermark():
    subject = fold()
    year_2043 = T0 + 17 * 365 * 24 * 60 * MINUTE
    subject.feed([
        batch(0, (1, 1, 0, 10, 1)),
        batch(1, (2, 2, 0, 10, 1), start=year_2043, appended=T0 + 60 * MINUTE),
        tick(2, year_2043, appended=T0 + 60 * MINUTE),
        batch(3, (3, 3, 0, 10, 1)),
    ])  # fmt: skip
    step = subject.step()
    assert step.position.event_time == T0
    assert [(letter.offset, letter.row, letter.reason) for letter in step.dead_letters] == [
        (2, -1, "future-tick"),
        (1, 0, "future"),
    ]
    assert step.position.account.open == 2


@pytest.mark.parametrize(("ahead", "accepted"), [(0, 1), (1, 0)])
def test_a_clock_may_be_five_minutes_off_and_not_a_millisecond_more(ahead, accepted):
    subject = fold()
    subject.feed([batch(0, (1, 1, 0, 10, 1), appended=T0 + 10 * MINUTE - ahead)])  # the interval ends at T0 + 15
    assert subject.step().position.account.open == accepted


def test_rejected_rows_and_dead_messages_keep_their_bytes():
    broken = MemoryRecord(0, T0, b"1", b"\x00\x00\x00\x00\x01broken")
    nan = batch(1, (1, 1, 0, float("nan"), 1))
    subject = fold()
    subject.feed([broken, nan])
    dead, rejected = subject.step().dead_letters
    assert (dead.row, dead.original) == (-1, broken.value)
    assert (rejected.row, rejected.original) == (0, np.array([(1, 1, 0, float("nan"), 1)], ROW).tobytes())


def test_a_sum_beyond_bigint_is_rejected_row_by_row_and_crashes_nothing():
    largest = catalogue()["energy.import"].maximum
    rows = [(source, source, 0, largest, 1) for source in range(3_000)]
    subject = fold()
    subject.feed([batch(0, *rows), batch(1, (1, 1, 0, 5, 1), area=2, start=T0), tick(2, T0 + 180 * MINUTE)])
    step = subject.step()
    account = step.position.account
    assert account.balanced()
    assert (account.rejected, account.dead) == (3_000, 1)  # the second batch's key is not its area
    assert {letter.reason for letter in step.dead_letters} == {"sum-overflow", "wrong-key"}


def test_a_time_that_a_source_sent_in_intervals_of_two_lengths_counts_in_neither():
    quarters = [(1, 1, number * 15 * MINUTE, 10, 1) for number in range(4)]
    drifted = [(2, 2, 0, 7, 1), (2, 2, 15 * MINUTE - 1_000, 7, 1)]  # of one length: a clock that was set
    hour, _ = window(ZONE, T0 + 60 * MINUTE)
    subject = fold()
    subject.feed(
        [
            batch(0, *quarters, *drifted, start=hour),
            batch(1, (1, 1, 20 * MINUTE, 30, 1), interval=20 * MINUTE, start=hour),
            batch(2, (3, 3, 0, 40, 1), interval=60 * MINUTE, start=hour, class_="commercial"),
            batch(3, (3, 3, 45 * MINUTE, 10, 1), start=hour, class_="commercial"),
            tick(4, hour + 180 * MINUTE),
        ]
    )
    step = subject.step()
    assert {
        (cell.class_, cell.amounts.value, cell.amounts.readings, cell.amounts.contributors) for cell in step.cells
    } == {
        ("residential", 10 + 10 + 7 + 7, 4, 2),
        ("commercial", 0, 0, 0),
    }
    assert [(letter.offset, letter.row) for letter in step.dead_letters] == [(0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]
    assert {letter.reason for letter in step.dead_letters} == {"overlap"}
    assert step.position.account.balanced()
    assert step.position.account.rejected == 5


def test_more_than_one_percent_dead_messages_stop_the_partition():
    subject = fold()
    subject.feed([MemoryRecord(offset, T0, b"1", b"dead") for offset in range(100)])
    with pytest.raises(TooManyDead):
        subject.feed([MemoryRecord(100, T0, b"1", b"dead")])


def test_dead_messages_that_lie_far_apart_stop_nothing():
    subject = fold()
    for block in range(3):
        good = [tick(block * 20_000 + n, T0) for n in range(9_950)]
        subject.feed(good + [MemoryRecord(block * 20_000 + 9_950 + n, T0, b"1", b"dead") for n in range(50)])
    assert subject.step().position.account.dead == 150


BAD, GOOD = (1, 1, 0, 0.5, 1), (1, 1, 0, 5, 1)


def test_more_than_one_percent_rejected_rows_stop_the_partition_wherever_the_log_is_cut():
    log = [batch(offset, *[GOOD] * 7_000, *[BAD] * 100) for offset in range(12)]
    for cuts in ([(0, 12)], [(0, 5), (5, 12)], [(offset, offset + 1) for offset in range(12)]):
        subject = fold()
        with pytest.raises(TooManyRejected, match=r"1100 rejected rows .* at offset 10: not-whole"):
            for first, last in cuts:
                subject.feed(log[first:last])


def test_rejected_rows_of_another_block_are_counted_apart():
    subject = fold()
    for block in range(3):  # a message that reaches into the next block counts in its own
        first = batch(3 * block, *[GOOD] * (ROW_BLOCK - 1_000))
        subject.feed([first, batch(3 * block + 1, *[BAD] * 1_000), tick(3 * block + 2, T0)])
    assert subject.step().position.account.rejected == 3_000


def test_the_brake_of_rejected_rows_counts_on_after_a_restart():
    subject = fold()
    subject.feed([batch(0, *[GOOD] * 90_000, *[BAD] * 600)])
    position = subject.step().position
    assert position.rejected_in_block == 600
    again = fold(position, settled=lambda first, until: {(0, 90_000 + n) for n in range(600)})
    again.feed([batch(0, *[GOOD] * 90_000, *[BAD] * 600), batch(1, *[BAD] * 400)])
    with pytest.raises(TooManyRejected):
        again.feed([batch(2, BAD)])


def test_a_log_that_was_changed_below_the_stored_offset_is_noticed():
    subject = fold()
    subject.feed([batch(0, (1, 1, 0, 10, 1)), batch(1, (2, 2, 0, 10, 1))])
    again = fold(subject.step().position)
    with pytest.raises(ReplayDiffers):
        again.feed([batch(0), batch(1, (2, 2, 0, 10, 1)), batch(2, (3, 3, 0, 10, 1))])


def test_what_retention_took_is_counted_as_lost_and_its_windows_are_incomplete():
    subject = fold()
    subject.feed([batch(0, (1, 1, 0, 10, 1)), batch(1, (2, 2, 0, 20, 1))])
    again = fold(subject.step().position, gap=True)
    again.feed([batch(5, (3, 3, 0, 40, 1), appended=T0 + 30 * MINUTE), tick(6, T0 + 180 * MINUTE)])
    step = again.step()
    account = step.position.account
    assert account.balanced()
    assert (account.lost, account.lost_messages, account.aggregated) == (2, 3, 1)
    assert [(cell.amounts.value, cell.incomplete) for cell in step.cells] == [(40, True)]


def test_what_was_settled_stays_settled_when_a_later_version_could_read_it():
    older = fold()
    older.feed([
        batch(0, (1, 1, 0, 10, 1)),
        MemoryRecord(1, T0 + 60 * MINUTE, b"1", b"unreadable for the older version"),
        batch(2, (2, 2, 0, 0.5, 1), (3, 3, 0, 30, 1)),
    ])  # fmt: skip
    step = older.step()
    settled = frozenset((letter.offset, letter.row) for letter in step.dead_letters)
    assert settled == {(1, -1), (2, 0)}
    newer = fold(
        step.position, settled=lambda first, until: {letter for letter in settled if first <= letter[0] < until}
    )
    newer.feed([
        batch(0, (1, 1, 0, 10, 1)),
        batch(1, (9, 9, 0, 500, 1)),
        batch(2, (2, 2, 0, 50, 1), (3, 3, 0, 30, 1)),
        tick(3, T0 + 180 * MINUTE),
    ])  # fmt: skip
    done = newer.step()
    assert [cell.amounts.value for cell in done.cells] == [40]
    assert done.position.account.balanced()


def test_the_brake_counts_on_after_a_restart():
    subject = fold()
    subject.feed([MemoryRecord(offset, T0, b"1", b"dead") for offset in range(60)])
    again = fold(subject.step().position)
    again.feed([MemoryRecord(60 + n, T0, b"1", b"dead") for n in range(40)])
    with pytest.raises(TooManyDead):
        again.feed([MemoryRecord(100, T0, b"1", b"dead")])


def test_an_emptied_log_is_passed_and_its_windows_are_incomplete():
    subject = fold()
    subject.feed([batch(0, (1, 1, 0, 10, 1))])
    again = fold(subject.step().position, gap=True)
    again.skip_to(8)
    passed = again.step().position
    assert (passed.next_offset, passed.account.lost, passed.account.lost_messages) == (8, 1, 7)
    assert passed.account.balanced()
    later = fold(passed)
    later.feed([batch(8, (3, 3, 0, 40, 1), appended=T0 + 30 * MINUTE), tick(9, T0 + 180 * MINUTE)])
    step = later.step()
    assert step.position.incomplete_before == T0 + 35 * MINUTE
    assert [cell.incomplete for cell in step.cells] == [True]
