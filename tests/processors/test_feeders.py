"""Every feeder of a partition has its own time: nobody is late because another is ahead (R16)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryRecord
from processors.decoding import Decoded
from processors.reading_fold import ReadingFold
from processors.watermark import MOST_FEEDERS, EventTime
from schemas.batch import encode
from schemas.catalogue import metrics_of, silence_ms
from schemas.registry import newest
from schemas.windows import Windows
from store.processing import Position
from tests import oracle
from tests.processors.logs import MINUTE, T0, rows_of
from tests.soak import examples

ENERGY = "energy.readings"
HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
SILENCE = silence_ms(ENERGY)


class Log:
    """Writes a log of head-ends, and folds it."""

    def __init__(self) -> None:
        self.records: list[MemoryRecord] = []

    def send(self, feeder: str, start: int, appended: int, *sources: int) -> "Log":
        """A message of one reading for each source, or a tick without any; times are minutes from T0."""
        body = encode(
            newest(ENERGY).id,
            metric="energy.import",
            area=1,
            class_="residential",
            interval=QUARTER,
            start=T0 + start * MINUTE,
            rows=rows_of([(source, source, 0, 10, 1) for source in sources]),
            feeder=feeder,
        )
        self.records.append(MemoryRecord(len(self.records), T0 + appended * MINUTE, b"1", body))
        return self

    def folded(self, position: Position | None = None) -> ReadingFold:
        metrics = metrics_of(ENERGY)
        windows = {metric.name: Windows("UTC", metric.window) for metric in metrics}
        subject = ReadingFold(metrics, windows, position or Position())
        subject.feed(self.records)
        return subject


def away(minutes: int) -> Log:
    """Two head-ends send every quarter of an hour, each for one meter; one was away, and comes back with all of it."""
    log = Log()
    gone, back = 60, 60 + minutes
    for start in range(0, back + 15, 15):
        log.send("north", start, start + 16, 1)
        if start < gone:
            log.send("south", start, start + 16, 2)
    for start in range(gone, back + 15, 15):
        log.send("south", start, back + 17, 2)
    return log


def closed(log: Log) -> dict[int, int]:
    """Readings that were counted by the hour, after ticks that close everything."""
    end = (log.records[-1].timestamp - T0) // MINUTE + 600
    step = log.send("north", end, end).send("south", end, end).folded().step()
    assert step.position.account.balanced()
    return {(cell.window_start - T0) // HOUR: cell.amounts.readings for cell in step.cells}


def test_a_head_end_that_was_away_for_three_hours_loses_nothing():
    log = away(180)
    assert log.folded().step().position.account.late == 0
    assert closed(log) == {0: 8, 1: 8, 2: 8, 3: 8, 4: 2}


def test_a_head_end_that_is_away_for_longer_than_the_silence_holds_nobody_back():
    hours = SILENCE // HOUR + 2
    log = away(hours * 60)
    before = [record for record in log.records if record.timestamp <= log.records[-1].timestamp - MINUTE]
    alone = Log()
    alone.records = before
    silent = alone.folded().step()
    assert silent.position.event_time == T0 + (60 + hours * 60) * MINUTE
    assert [feeder.feeder for feeder in silent.position.feeders] == ["north"]
    step = log.folded().step()
    assert step.position.account.late == sum(of_window.readings for of_window in step.late) > 0
    for of_window in step.late:  # where a correction finds them
        noted = log.records[of_window.first_offset : of_window.last_offset + 1]
        assert {record.timestamp for record in noted} == {log.records[-1].timestamp}


def test_what_is_late_by_more_than_a_week_is_counted_only():
    week = 7 * 24 * 60
    log = Log().send("north", week + 179, week + 180).send("south", 0, week + 182, 2).send("south", 61, week + 183, 2)
    step = log.folded().step()
    assert step.position.account.late == 2
    assert [(of_window.window_start, of_window.readings) for of_window in step.late] == [(T0 + HOUR, 1)]


def test_the_watermark_waits_for_a_silent_feeder_until_the_logs_clock_has_passed_the_silence():
    log = Log().send("north", 0, 1).send("south", 0, 1).send("north", 200, 1 + SILENCE // MINUTE)
    assert log.folded().step().position.event_time == T0
    log.records[-1] = MemoryRecord(2, log.records[-1].timestamp + 1, b"1", log.records[-1].value)
    assert log.folded().step().position.event_time == T0 + 200 * MINUTE


def test_the_watermark_never_goes_back_for_a_feeder_that_returns():
    log = Log().send("north", 0, 1).send("south", 0, 1).send("north", 400, 401).send("south", 60, 402, 2)
    position = log.folded().step().position
    assert position.event_time == T0 + 400 * MINUTE
    assert position.account.late == 1
    assert [(feeder.feeder, feeder.latest) for feeder in position.feeders] == [
        ("north", T0 + 400 * MINUTE),
        ("south", T0 + 60 * MINUTE),
    ]


def test_a_feeder_that_lags_for_longer_than_the_silence_does_not_keep_windows_open():
    log = Log()
    for start in range(0, 3_000, 15):  # it sends all the time, and its own time stands still
        log.send("north", start, start + 16, 1).send("south", 0, start + 16)
    account = log.folded().step().position.account
    lateness = max(metric.lateness_ms for metric in metrics_of(ENERGY))
    assert account.open <= (SILENCE + lateness + HOUR) // QUARTER + 1


def test_messages_without_a_feeder_have_a_time_of_their_own():
    log = Log().send("", 0, 1).send("north", 60, 61)
    assert log.folded().step().position.event_time == T0


def test_a_position_of_an_older_release_has_no_feeders_and_goes_on_from_its_time():
    log = Log().send("north", 0, 1, 1)
    position = log.folded(Position(event_time=T0 + 60 * MINUTE)).step().position
    assert position.event_time == T0 + 60 * MINUTE


@pytest.mark.parametrize("feeders", [MOST_FEEDERS, MOST_FEEDERS + 1, 5_000])
def test_the_feeders_of_a_partition_are_bounded_and_the_others_share_a_time(feeders):
    log = Log()
    for number in range(feeders):
        log.send(f"gateway-{number}", number % 60, 61)
    kept = log.folded().step().position.feeders
    assert len(kept) == min(feeders, MOST_FEEDERS + 1)
    assert ("" in {feeder.feeder for feeder in kept}) == (feeders > MOST_FEEDERS)


@examples(30, soak=2_000)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 130]), st.integers(1, 300))
def test_the_time_of_any_feeders_is_that_of_the_rules_also_from_any_position(seed, feeders, most):
    rng = np.random.default_rng(seed)
    silence, known, time = 50, {}, None
    subject = EventTime(Position(), silence)
    appended = np.cumsum(rng.choice([0, 0, 1, 2, 30, -10, 60], most, p=[0.3, 0.2, 0.3, 0.1, 0.04, 0.04, 0.02])) + 1_000
    for at, of, ahead in zip(appended.tolist(), rng.integers(0, feeders, most), rng.integers(0, 90, most), strict=True):
        message = (f"f{of}" if of else "", max(at - int(ahead), 0), at)
        time = oracle.event_time(time, known, message, silence)
        subject.take(*message)
        assert subject.time == time
        assert {of.feeder: (of.latest, of.appended) for of in subject.feeders} == known
        if rng.random() < 0.1:  # another process goes on
            subject = EventTime(Position(event_time=subject.time, feeders=subject.feeders), silence)


@examples(30, soak=2_000)
@given(st.integers(0, 2**32 - 1), st.integers(20, 60))
def test_messages_in_any_polls_move_the_time_as_one_by_one(seed, polls):
    rng = np.random.default_rng(seed)
    silence, known, time, now, one = 50, {}, None, 1_000, 1
    subject = EventTime(Position(), silence)
    for _ in range(polls):
        one = one if rng.random() < 0.9 else 1 - one  # mostly the only one for some polls
        records, feeders, ticks, before = [], [], {}, []
        for sequence in range(int(rng.integers(1, 6))):
            now += int(rng.choice([0, 1, 30, -10, 60], p=[0.4, 0.2, 0.2, 0.05, 0.15]))
            message = (f"f{one}", now - int(rng.integers(0, 90)), now)
            records.append(MemoryRecord(sequence, now, None, None))
            feeders.append(message[0])
            before.append(-1 if time is None else time)
            if rng.random() < 0.95:  # the others hold no accepted reading
                ticks[sequence] = message[1]
                time = oracle.event_time(time, known, message, silence)
        assert subject.advance(records, Decoded(feeders, ticks=ticks), {}).tolist() == before
        assert subject.time == time
        assert {of.feeder: (of.latest, of.appended) for of in subject.feeders} == known
