"""Readings that benchmarks write to a topic, and the cells that must come of them.

A stream is many sources that report in steps, in areas and classes of their own, each with a clock that is off by the
same in every reading. Some readings come twice, with another value; the later one counts. Sources have numbers in
random order, as the register gives them.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Log, Writer
from ingest.batches import Message, ReadingColumns, messages, tick
from schemas.batch import ACTUAL, ROW, encode
from schemas.catalogue import Metric, catalogue
from schemas.registry import newest
from schemas.topics import live, settings
from schemas.windows import Windows
from store.accounts import stream_accounts
from store.database import Connection

HOUR_MS = 3_600_000
START_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
CLOSING_MS = 72 * HOUR_MS
"""The tick at the end is so much later than the last reading: every window closes."""
ZONE = "Asia/Ho_Chi_Minh"
SEED = 1


@dataclass(frozen=True, slots=True)
class SourceStream:
    """What a topic is filled with.

    `interval_ms`: of a reading, 0 for moments. `step_ms`: between two readings of a source. `drift_ms`: most that a
    clock is off, to either side. `twice`: the share of readings that come twice. `largest`: values are whole numbers
    below it, times `unit`. `rows`: of a message, 500 as ingest writes them or 1.
    """

    metric: str
    sources: int
    steps: int
    interval_ms: int
    step_ms: int
    drift_ms: int
    twice: float
    largest: int
    unit: int
    areas: int = 24
    partitions: int = 32
    rows: int = 500
    city: str = "bench"
    start_ms: int = START_MS

    @property
    def topic(self) -> str:
        return live(self.city, self.dataset)

    @property
    def dataset(self) -> str:
        return catalogue()[self.metric].dataset


def energy(
    meters: int, steps: int, *, drift_ms: int = 60_000, partitions: int = 32, areas: int = 24, rows: int = 500
) -> SourceStream:
    """Quarter hours of `meters`, 1 % of them twice."""
    return SourceStream(
        "energy.import", meters, steps, 900_000, 900_000, drift_ms, 0.01, 2_000, 900_000, areas, partitions, rows
    )


def waste(bins: int, steps: int, *, partitions: int = 32, areas: int = 24) -> SourceStream:
    """Hourly fill levels of `bins`, each at a minute of its own, 1 % of them twice."""
    half = HOUR_MS // 2
    return SourceStream("waste.fill", bins, steps, 0, HOUR_MS, half - 1, 0.01, 10_001, 1, areas, partitions)


class CellKey(NamedTuple):
    """A cell; `window` is its beginning, milliseconds since 1970, UTC."""

    window: int
    area: int
    class_: str


class CellAmounts(NamedTuple):
    """What a cell must hold: the sum in the smallest unit, and the readings that count."""

    value: int
    readings: int


@dataclass(slots=True)
class Written:
    """What was written: readings (those that come twice count twice), messages, bytes; `twice` of the readings."""

    readings: int = 0
    messages: int = 0
    bytes: int = 0
    twice: int = 0
    cells: dict[CellKey, CellAmounts] = field(default_factory=dict)


class _Sources:
    """The sources of a stream, ordered by area, class and drift, as their readings are."""

    def __init__(self, stream: SourceStream, rng: np.random.Generator, metric: Metric) -> None:
        count = stream.sources
        area = rng.integers(1, stream.areas + 1, count).astype(np.int32)
        class_ = np.minimum(rng.geometric(0.87, count) - 1, len(metric.classes) - 1).astype(np.uint8)
        off = rng.integers(-stream.drift_ms, stream.drift_ms + 1, count)
        order = np.lexsort((off, class_, area))
        self.area, self.class_, self.off = area[order], class_[order], off[order]
        self.number, self.contributor = (rng.permutation(count).astype(np.uint32) for _ in range(2))
        self.cell = self.area.astype(np.int64) * len(metric.classes) + self.class_


def fill(log: Log, stream: SourceStream, written: Written | None = None) -> Iterator[Written]:
    """Make the topic and write the stream, a step at a time; yields what was written so far after each.

    The last step is followed by a tick in each partition that closes every window.
    """
    log.create(stream.topic, stream.partitions, settings(stream.dataset))
    writer = log.writer()
    written = written or Written()
    for readings in steps(stream, written):
        write(writer, stream, readings, written)
        yield written
    close(writer, stream, written)
    yield written


def filled(log: Log, stream: SourceStream) -> Written:
    """`fill` to its end."""
    written = Written()
    for _ in fill(log, stream, written):
        pass
    return written


def write(writer: Writer, stream: SourceStream, readings: ReadingColumns, written: Written) -> None:
    """Encode a step and send it, as ingest does; returns when the log has it."""
    for message in cut(readings, stream.rows):
        writer.send(stream.topic, message.key, message.value, message.readings)
        written.readings += message.readings
        written.messages += 1
        written.bytes += len(message.value)
    writer.flush()


def close(writer: Writer, stream: SourceStream, written: Written) -> None:
    """Send each partition a tick that closes every window, and close the writer."""
    end = stream.start_ms + stream.steps * stream.step_ms + CLOSING_MS
    for partition in range(stream.partitions):
        writer.send_to(stream.topic, partition, tick(stream.dataset, end))
    written.messages += stream.partitions
    writer.close()


def steps(stream: SourceStream, written: Written) -> Iterator[ReadingColumns]:
    """The readings of each step; adds what must come of them to `written`."""
    metric, rng = catalogue()[stream.metric], np.random.default_rng(SEED)
    sources, windows = _Sources(stream, rng, metric), Windows(ZONE, metric.window)
    for step in range(stream.steps):
        again = rng.choice(stream.sources, int(stream.sources * stream.twice), replace=False)
        which = np.sort(np.concatenate((np.arange(stream.sources), again)), kind="stable")
        start = stream.start_ms + step * stream.step_ms + sources.off[which]
        value = rng.integers(0, stream.largest, len(which)) * stream.unit
        written.twice += len(again)
        last = np.append(which[1:] != which[:-1], True)  # the later of two counts
        _expect(written, windows, metric, start[last], sources.cell[which[last]], value[last])
        yield ReadingColumns(
            metric=metric,
            interval=stream.interval_ms,
            area=sources.area[which],
            class_=sources.class_[which],
            source=sources.number[which],
            contributor=sources.contributor[which],
            start=start,
            value=value.astype(np.float64),
            quality=np.full(len(which), ACTUAL, np.uint8),
        )


def _expect(
    written: Written,
    windows: Windows,
    metric: Metric,
    start: NDArray[np.int64],
    cell: NDArray[np.int64],
    value: NDArray[np.int64],
) -> None:
    """Add a step's winners to the cells. Each sum of a step is exact: below 2^53."""
    numbers = windows.numbers(start)
    for window in range(int(numbers.min()), int(numbers.max()) + 1):
        here = numbers == window
        if not here.any():  # numbers are not gap-free
            continue
        begin = windows.bounds(window)[0]
        sums = np.bincount(cell[here], value[here])
        counts = np.bincount(cell[here])
        for number in np.flatnonzero(counts).tolist():
            area, class_ = divmod(number, len(metric.classes))
            key = CellKey(begin, area, metric.classes[class_])
            before = written.cells.get(key, CellAmounts(0, 0))
            written.cells[key] = CellAmounts(before.value + int(sums[number]), before.readings + int(counts[number]))


def cut(readings: ReadingColumns, rows: int) -> Iterator[Message]:
    """The messages of the readings: as ingest cuts them, or with a single reading each."""
    if rows > 1:
        yield from messages(readings)
        return
    metric, schema = readings.metric, newest(readings.metric.dataset).id
    single = np.zeros(len(readings), ROW)
    single["source"], single["contributor"] = readings.source, readings.contributor
    single["value"], single["quality"] = readings.value, readings.quality
    # Meters report in the order of their clocks, not area by area.
    for index in np.argsort(readings.start, kind="stable").tolist():
        area, start = int(readings.area[index]), int(readings.start[index])
        value = encode(
            schema,
            metric=metric.name,
            area=area,
            class_=metric.classes[int(readings.class_[index])],
            interval=readings.interval,
            start=start,
            rows=single[index : index + 1],
            feeder="",
        )
        yield Message(b"%d" % area, value, 1, start)


def expected(stream: SourceStream, written: Written) -> Mapping[CellKey, CellAmounts]:
    """The cells that must come of what was written: a mean of the last is rounded to a whole number, halves to even.

    Of such a metric a source must not report at two times in a window.
    """
    if catalogue()[stream.metric].kind != "mean-of-last":
        return written.cells
    return {
        key: CellAmounts(round(Fraction(amounts.value, amounts.readings)), amounts.readings)
        for key, amounts in written.cells.items()
    }


def check(connection: Connection, stream: SourceStream, written: Written) -> str:
    """What was verified, in words. Ends the program unless the account and every cell are as they must be."""
    [account] = [found.account for found in stream_accounts(connection) if found.topic == stream.topic]
    if not account.balanced() or account.open or account.readings != written.readings:
        sys.exit(f"the account is wrong: {account}; {written.readings} readings were written")
    if account.duplicate != written.twice or account.aggregated != written.readings - written.twice:
        sys.exit(f"the account is wrong: {account}; {written.twice} readings were written twice")
    found, wanted = dict(stored(connection, stream)), expected(stream, written)
    if found != wanted:
        wrong = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
        sys.exit(f"{len(wrong)} cells of {len(wanted)} are wrong, {wrong[0]} among them")
    cells = f"value and readings of {len(found):,} cells"
    return f"every reading accounted for, {written.twice:,} found to have come twice, {cells}"


def stored(connection: Connection, stream: SourceStream) -> Iterator[tuple[CellKey, CellAmounts]]:
    """The cells that processors made of the stream."""
    rows = connection.execute(
        "SELECT (extract(epoch FROM window_start) * 1000)::bigint, area, class, value, readings FROM cells"
        " WHERE metric = %s AND topic = %s",
        (stream.metric, stream.topic),
    )
    for start, area, class_, value, readings in rows:
        yield CellKey(start, area, class_), CellAmounts(value, readings)
