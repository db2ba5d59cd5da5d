"""What simulated sources measured in the days before their streams begin: the basis of the first standing decisions.

It never passes through Kafka. Cells are reduced as a processor reduces them, and kept apart from those of the streams
(`store.standing.store_measurement`); nobody publishes them. Of sources that measure intervals, the first interval of
each window stands for all of it.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.batches import ReadingColumns
    from ingest.register import Register
    from ingest.simulated.sources import SimulatedSources, SimulatedStream
    from processors.rows import Rows
    from schemas.windows import Windows
    from store.database import Connection
    from store.processing import Cell

logger = logging.getLogger(__name__)

DAYS = 8
"""Seven days are enough for a decision; windows of a day need one more, in case the first is cut."""

_DAY_MS = 86_400_000


def measure_simulated(
    connection: "Connection", sources: "SimulatedSources", register: "Register", until_ms: int, days: int = DAYS
) -> None:
    """Keep the cells of the windows of `days` days before `until_ms` (milliseconds since 1970) as measured."""
    from schemas.windows import Windows
    from store.standing import store_measurement

    if not days:
        return
    for metric in sources.metrics:
        logger.info("measuring %s for %d days before the replay", metric.name, days)
        stream = sources.bind(metric, register.at(metric, until_ms))
        windows = Windows(sources.city.zone, metric.window)
        grain_ms = sources.grain_ms if metric.reading == "interval" else None
        store_measurement(connection, _cells(stream, windows, until_ms - days * _DAY_MS, until_ms, grain_ms))


def _cells(
    stream: "SimulatedStream", windows: "Windows", start_ms: int, end_ms: int, grain_ms: int | None
) -> Iterator["Cell"]:
    from processors.groups import group_name
    from processors.reduce import reduce_window
    from store.processing import Cell

    metric = stream.metric
    _, start = windows.bounds(windows.number(start_ms))  # the window that the span cuts is left out
    while True:
        begins, ends = windows.bounds(windows.number(start))
        if ends > end_ms:
            return
        readings = stream.read(begins, ends if grain_ms is None else begins + grain_ms).readings
        reduced = reduce_window(_rows(readings), metric, ends - begins)
        for number, amounts in reduced.groups.items():
            area, class_ = group_name(metric, number)
            yield Cell(metric.name, begins, ends, area, class_, amounts, incomplete=False)
        start = ends


def _rows(readings: "ReadingColumns") -> "Rows":
    """The readings as a processor has them; there is no message, so they have no offsets."""
    import numpy as np

    from processors.rows import Rows

    count = len(readings)
    return Rows.one_by_one(
        group=readings.area.astype(np.int64) * len(readings.metric.classes) + readings.class_,
        source=readings.source,
        contributor=readings.contributor,
        start=readings.start,
        value=readings.value,
        quality=readings.quality,
        interval=np.full(count, readings.interval),
        offset=np.zeros(count),
        row=np.arange(count),
    )
