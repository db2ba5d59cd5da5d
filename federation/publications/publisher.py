"""Publishing (R12): every window that all partitions have passed is published once, whole, by one publisher.

A publication holds every cell of its window's lattice. A released cell carries value, coverage and rule. A suppressed
cell carries status and rule alone, so that a cell that failed its rule looks like a cell without readings.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from prometheus_client import Counter

from errors import OperatorError
from federation.disclosure.rules import released, rule_of
from schemas.catalogue import Metric
from store.cells import cells_of_window
from store.database import Connection, connect
from store.processing import Cell
from store.publications import (
    Header,
    Lattice,
    LatticeCell,
    PublishedCell,
    Window,
    lattice,
    publish,
    publisher_lock,
    ready_windows,
)

log = logging.getLogger(__name__)

PUBLICATIONS = Counter("sistercity_publications", "Publications appended to the log.", ["dataset"])
CELLS = Counter(
    "sistercity_published_cells",
    "Cells decided: released, suppressed, or outside (reduced for an area or class that the window does not have).",
    ["dataset", "outcome"],
)

_WINDOWS_AT_ONCE = 100

Topics = Callable[[Connection], Mapping[str, Sequence[Metric]]]
"""Reads which topics are published: the metrics of each."""


class NoAreas(OperatorError):
    """A metric has cells but no areas: the register is missing, and an empty publication could never be corrected."""


@dataclass(frozen=True, slots=True)
class Published:
    """A publication that was made, and how many of its cells were released and suppressed."""

    header: Header
    released: int
    suppressed: int


def decide(metric: Metric, window: Window, cells: Lattice, reduced: Sequence[Cell]) -> tuple[PublishedCell, ...]:
    """Every cell of the lattice, released or suppressed under the metric's rule. Pure. Raises `UnknownRule`."""
    by_place = {(cell.area, cell.class_): cell for cell in reduced}
    return tuple(_cell(metric, window, cell, by_place.get((cell.area, cell.class_))) for cell in cells.cells)


def coverage(covered_ms: int, sources: int, window: Window) -> int:
    """The share of the window that a cell's sources reported, in whole percent, rounded down and at most 100.

    0 where no source is registered: the complete amount of time is then unknown.
    """
    whole = sources * (window.end - window.start)
    return max(0, min(100, 100 * covered_ms // whole)) if whole else 0


def publish_ready(
    connection: Connection, metrics: Sequence[Metric], topic: str, *, most: int = _WINDOWS_AT_ONCE
) -> list[Published]:
    """Publish the topic's oldest ready windows, at most `most`, in order of their starts; each in its own transaction.

    `connection` is one of `store.database.connect`, and `metrics` are those of the topic's dataset. Returns nothing if
    another publisher holds the lock. A crash leaves whole publications and no gap; the next call goes on. Raises
    `UnknownRule` before anything is published, `NoAreas`, and psycopg's errors.
    """
    for metric in metrics:
        rule_of(metric.rule)
    with publisher_lock(connection) as held:
        if not held:
            return []
        ready = sorted(
            ((window, metric) for metric in metrics for window in _ready(connection, topic, metric, most)),
            key=lambda pair: (pair[0].start, pair[1].name),
        )
        lattices: dict[str, Lattice] = {}  # kept for this call alone: a register may be loaded before the next
        return [_publish(connection, topic, metric, window, lattices) for window, metric in ready[:most]]


class Publisher:
    """Publishes the windows of some topics as they become ready, until `stop` is set.

    `topics` gives the metrics of each topic, of which there may be more as time goes on. Several publishers may run
    against one database: one of them publishes, the others stand by.
    """

    def __init__(self, database_url: str, topics: Topics, *, poll_s: float, stop: threading.Event) -> None:
        self._url = database_url
        self._topics = topics
        self._poll_s = poll_s
        self._stop = stop

    def run(self) -> None:
        """Run until `stop` is set. A database that is away is logged and tried again at the next poll.

        Raises `UnknownRule` and `NoAreas`, which would be raised again at every poll.
        """
        while not self._stop.is_set():
            try:
                with connect(self._url, name="sistercity publish") as connection:
                    self._poll(connection)
            except psycopg.OperationalError as error:
                log.warning("the database did not answer; trying again in %s s: %s", self._poll_s, error)
                self._stop.wait(self._poll_s)

    def _poll(self, connection: Connection) -> None:
        while not self._stop.is_set():
            topics = self._topics(connection)
            counts = [len(publish_ready(connection, metrics, topic)) for topic, metrics in topics.items()]
            if not any(counts):
                self._stop.wait(self._poll_s)


def _ready(connection: Connection, topic: str, metric: Metric, most: int) -> list[Window]:
    return ready_windows(connection, topic, metric.name, metric.lateness_ms, most)


def _publish(
    connection: Connection, topic: str, metric: Metric, window: Window, lattices: dict[str, Lattice]
) -> Published:
    cells = lattices.get(metric.name)
    if cells is None or not cells.holds(window):
        cells = lattices[metric.name] = lattice(
            connection, metric.registered_as, metric.classes, window, of_any_class=metric.derived_from is not None
        )
    if not cells.cells:
        raise NoAreas(f"{metric.name} has cells in {topic} but no areas; load the register")
    reduced = cells_of_window(connection, topic, metric.name, window.start)
    decided = decide(metric, window, cells, reduced)
    header = publish(connection, metric.name, window, topic, decided)
    count = sum(cell.value is not None for cell in decided)
    _account(metric, header, released=count, suppressed=len(decided) - count, outside=_outside(cells, reduced))
    return Published(header, count, len(decided) - count)


def _outside(cells: Lattice, reduced: Sequence[Cell]) -> int:
    places = {(cell.area, cell.class_) for cell in cells.cells}
    return sum((cell.area, cell.class_) not in places for cell in reduced)


def _account(metric: Metric, header: Header, *, released: int, suppressed: int, outside: int) -> None:
    PUBLICATIONS.labels(metric.dataset).inc()
    for outcome, count in (("released", released), ("suppressed", suppressed), ("outside", outside)):
        CELLS.labels(metric.dataset, outcome).inc(count)
    if outside:
        log.warning(
            "publication %s of %s leaves out %s cells: their areas or classes are not those of its window",
            *(header.position, metric.name, outside),
        )


def _cell(metric: Metric, window: Window, cell: LatticeCell, reduced: Cell | None) -> PublishedCell:
    if reduced is None:
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    amounts = reduced.amounts
    if not released(metric.rule, cell.class_, amounts, metric.smallest_per_unit):
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    covered = coverage(amounts.covered_ms, cell.sources, window)
    return PublishedCell(cell.area, cell.class_, amounts.value, covered, metric.rule)
