"""A window that is read again comes to what its rows below each bound come to, whoever sent them and when (R13)."""

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import asdict, replace
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors.open_memory import OpenMemory
from processors.readings import ALWAYS
from processors.rereading import DueWindow, Interrupted, Rereader, merged
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.corrections import Content, KnownContents, LateWindow
from store.processing import LateReadings, Step
from store.publications import Window
from tests import oracle
from tests.processors.logs import MINUTE, STEPS, T0, logs
from tests.processors.test_open_memory import memory
from tests.processors.test_reading_fold import ENERGY, ZONE, batch, fold, tick
from tests.soak import examples

HERE = TopicPartition(live("isfahan", ENERGY), 0)
HOUR = 60 * MINUTE
FIRST = ("energy.import", T0 - 30 * MINUTE)
"""The window of T0: hours begin at half past in Tehran."""
CORRECTED = sorted(STEPS.keys() - {"traffic.plate-regions"})


class City:
    """What the processor has stored of a partition, and the corrections that were made of it."""

    def __init__(self, dataset: str = ENERGY) -> None:
        self.dataset = dataset
        self.cells: dict[tuple[str, int], dict] = defaultdict(dict)
        self.late: dict[tuple[str, int], LateReadings] = {}
        self.known: dict[tuple[str, int], list[Content]] = {}
        self.next_offset = 0

    def store(self, step: Step | None) -> None:
        if step is None:
            return
        self.next_offset = step.position.next_offset
        for cell in step.cells:
            self.cells[cell.metric, cell.window_start][cell.area, cell.class_] = cell.amounts
        for of_window in step.late:
            key = (of_window.metric, of_window.window_start)
            self.late[key] = self.late[key] + of_window if key in self.late else of_window

    def due(self, step: int = 1) -> list[DueWindow]:
        found = []
        for key, late in self.late.items():
            cells = self.cells.get(key, {})
            first = min([late.first_offset, *(amounts.first_offset for amounts in cells.values())])
            contents = self.known.setdefault(key, [Content(0, late.first_offset, cells)])
            bound = min(late.last_offset + 1, self.next_offset)
            window = Window(late.window_start, late.window_end)
            where = LateWindow(HERE, late.metric, window, late.first_offset, bound, len(contents) - 1)
            if bound > contents[-1].bound or len(contents) == 1:
                found.append(DueWindow(where, KnownContents(contents, first, incomplete=False), step))
        return found

    def correct(self, log: MemoryLog, step: int = 1, room: OpenMemory | None = None):
        """Read every window with late readings again; returns what became of each, by metric and start."""
        reread = Rereader(log, metrics_of(self.dataset), ZONE, ALWAYS, room or OpenMemory(), Event())
        made = {(of.metric, of.window.start): of for of in reread.correct(HERE, self.due(step))}
        for key, correction in made.items():
            if correction.outcome == "corrected":
                cells = {(cell.area, cell.class_): cell.amounts for cell in correction.cells}
                before = self.known[key]
                before.append(Content(step, correction.bound, {**before[-1].cells, **cells}))
        return made


def log_of(records) -> MemoryLog:
    """A log with these records, and markers in the holes between them."""
    clock = [0]
    log = MemoryLog(lambda: clock[0])
    log.create(HERE.topic, 1, {})
    for record in records:
        while log.end(HERE) < record.offset:
            log.append_marker(HERE)
        clock[0] = record.timestamp
        log.append(HERE, record.key, record.value)
    return log


def rows_below(records, dataset: str, bound: int) -> dict:
    """The accepted rows at the offsets below `bound`, cell by cell, whether they were late or not."""
    metrics = {metric.name: metric for metric in metrics_of(dataset)}
    found = defaultdict(list)
    for record in records:
        message = oracle._message(record, metrics)
        if record.offset >= bound or isinstance(message, str):
            continue
        for index, row in enumerate(message["rows"]):
            metric = metrics[message["metric"]]
            reason, start, value = oracle._check(row, message, metric, record.timestamp)
            if reason is None:
                cell = (metric.name, *oracle.window(ZONE, start, metric.window), message["area"], message["class"])
                found[cell].append((row, start, value, message["interval"], record.offset, index))
    return found


def cells_below(records, dataset: str, key: tuple[str, int], bound: int) -> dict:
    """What the rules make of all rows of one window below a bound, by place."""
    result, metrics = oracle.Outcome(), {metric.name: metric for metric in metrics_of(dataset)}
    for cell, rows in rows_below(records, dataset, bound).items():
        if cell[:2] == key:
            oracle._reduce(result, cell, rows, metrics[cell[0]])
    return {cell[3:]: amounts for cell, amounts in result.cells.items()}


def states_below(records, metric, key: tuple[str, int], bound: int) -> dict:
    """By place and contributor: the net amount below a bound, or of a mean of states each source's last state."""
    found = defaultdict(lambda: defaultdict(int))
    for cell, rows in rows_below(records, metric.dataset, bound).items():
        if cell[:2] != key:
            continue
        winners = {}
        for row, start, value, interval, offset, index in rows:
            rank = (row["quality"][0], offset, index)
            if (row["source"], start) not in winners or rank > winners[row["source"], start][0]:
                winners[row["source"], start] = rank, row["contributor"], value, interval
        of_sum = metric.kind == "sum" and metric.reading == "interval"
        overlapping = oracle.contradicting(winners) if of_sum else set()
        for (source, start), (_, contributor, value, _) in winners.items():
            if (source, start) in overlapping:
                continue
            if metric.kind != "mean-of-last" or start == max(at for of, at in winners if of == source):
                found[cell[3:]][contributor] += value
                if metric.kind == "mean-of-last":
                    found[cell[3:]][contributor, "sources"] += 1
    return found


def assert_changes(cell, before: dict, after: dict) -> None:
    """The change that was found is the one between the two states of a cell."""
    own = {name for name in before.keys() | after.keys() if not isinstance(name, tuple)}
    net = {name: after.get(name, 0) - before.get(name, 0) for name in own}
    changed = {name for name in own if net[name] or before.get((name, "sources"), 0) != after.get((name, "sources"), 0)}
    assert (cell.contributors, cell.value) == (len(changed), sum(net.values()))
    assert cell.absolute == sum(map(abs, net.values()))
    assert cell.largest == max(map(abs, net.values()), default=0)


@pytest.mark.parametrize("dataset", CORRECTED)
@examples(8, soak=100, minutes=1)
@given(st.data())
def test_the_content_below_each_bound_is_what_the_rules_make_of_the_rows_there(dataset, data):
    records = data.draw(logs(dataset, least=8))
    metrics = {metric.name: metric for metric in metrics_of(dataset)}
    first = data.draw(st.integers(len(records) // 3, len(records)))
    city, subject, log = City(dataset), fold(dataset=dataset), log_of(records)
    with memory() if data.draw(st.booleans()) else nullcontext() as room:
        for step, part in ((1, records[:first]), (2, records[first:])):
            subject.feed(part)
            city.store(subject.step())
            for key, correction in city.correct(log, step, room).items():
                assert correction.outcome in ("corrected", "unchanged")  # so content 0 is what the processor made
                expected = cells_below(records, dataset, key, correction.bound)
                contents = city.known[key]
                assert {place: asdict(amounts) for place, amounts in contents[-1].cells.items()} == expected
                after = states_below(records, metrics[key[0]], key, correction.bound)
                for cell in correction.cells:
                    place = (cell.area, cell.class_)
                    for content in contents[:-1]:
                        before = states_below(records, metrics[key[0]], key, content.bound)
                        assert_changes(cell.changes[content.step], before[place], after[place])


def late_log():
    """An hour with three customers, closed at offset 3; then a late customer, a late actual and a repeat."""
    return [
        batch(0, (1, 1, 0, 100, 1), (2, 2, 0, 200, 0)),
        batch(1, (3, 3, 0, 300, 1)),
        tick(2, T0 + 180 * MINUTE),
        batch(3, (4, 4, 0, 400, 1), (2, 2, 0, 250, 1), (1, 1, 0, 100, 1)),
    ]


def city_of(records) -> City:
    city, subject = City(), fold()
    subject.feed(records)
    city.store(subject.step())
    return city


def test_a_late_customer_and_a_late_actual_are_the_change_and_a_repeat_is_none():
    records = late_log()
    made = city_of(records).correct(log_of(records))[FIRST]
    [cell] = made.cells
    assert (made.outcome, made.bound, cell.amounts.value) == ("corrected", 4, 100 + 250 + 300 + 400)
    change = cell.changes[0]
    assert (change.value, change.contributors, change.largest, change.absolute) == (450, 2, 400, 450)


def test_what_only_repeats_the_cell_changes_nothing_that_leaves():
    records = [*late_log()[:3], batch(3, (2, 2, 0, 200, 0))]
    [cell] = city_of(records).correct(log_of(records))[FIRST].cells
    assert (cell.amounts.value, cell.changes[0].contributors) == (600, 0)
    records = [*late_log()[:3], batch(3, (1, 1, 0, 55, 0))]  # an estimate after the actual
    assert city_of(records).correct(log_of(records))[FIRST].outcome == "unchanged"


def test_a_window_whose_readings_retention_took_is_not_corrected():
    records = late_log()
    log = log_of(records)
    log.forget(HERE, 1)
    city = city_of(records)
    assert city.correct(log)[FIRST].outcome == "gone"


def test_a_log_that_was_cut_and_written_on_gives_no_correction():
    records = late_log()
    city = city_of(records)
    replaced = [*records[:1], batch(1, (9, 9, 0, 300, 1)), records[2], records[3]]
    replaced[1] = replace(replaced[1], value=batch(1, (3, 3, 0, 301, 1)).value)
    assert city.correct(log_of(replaced))[FIRST].outcome == "differs"
    assert city.correct(log_of(records[:3]))[FIRST].outcome == "gone"  # the late offset is past its end


def test_a_bound_that_is_not_above_those_before_is_no_correction():
    records = late_log()
    city = city_of(records)
    city.correct(log_of(records))
    city.next_offset = 3
    city.late[FIRST] = replace(city.late[FIRST], last_offset=5)
    city.known[FIRST][-1] = replace(city.known[FIRST][-1], bound=2)
    assert city.correct(log_of(records), 2)[FIRST].outcome == "differs"


def test_a_batch_that_cannot_be_read_is_passed_over():
    records = late_log()
    log = log_of([*records, tick(4, T0 + 180 * MINUTE), batch(5, (5, 5, 0, 50, 1))])
    city = city_of([*records, tick(4, T0 + 180 * MINUTE), batch(5, (5, 5, 0, 50, 1))])
    log.damage(HERE, 4)
    assert city.correct(log)[FIRST].cells[0].amounts.value == 1_100


def test_a_role_that_is_to_end_gives_up_reading():
    records, stop = late_log(), Event()
    city = city_of(records)
    stop.set()
    with pytest.raises(Interrupted):
        Rereader(log_of(records), metrics_of(ENERGY), ZONE, ALWAYS, OpenMemory(), stop).correct(HERE, city.due())


def test_each_part_of_the_log_is_read_once():
    assert merged([(5, 9), (0, 3), (3, 4), (8, 12), (20, 21)]) == [(0, 4), (5, 12), (20, 21)]


def test_where_memory_is_short_no_row_is_dropped_that_counts_at_an_earlier_bound():
    records = [*late_log()[:3], batch(3, (2, 2, 0, 250, 1), *[(source, source, 0, 1, 1) for source in range(10, 60)])]
    with memory(file_bytes=1) as room:
        made = city_of(records).correct(log_of(records), room=room)[FIRST]
    assert (made.outcome, made.cells[0].amounts.value) == ("corrected", 700)
