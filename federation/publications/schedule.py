"""Which windows are due: every window of every published metric, and what left incomplete, at fixed times (R12).

Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from errors import OperatorError
from federation.publications.slots import due_windows, local_midnight, revision_times, slot
from schemas.catalogue import Metric
from store.database import Connection
from store.moments import moment
from store.publication_log import newest_window
from store.publications import Window
from store.publishing import Unfinished, areas_exist, begin, begins, cells_exist, published_until, unfinished


class NoAreas(OperatorError):
    """A metric has cells but no areas: the register is missing, and an empty publication could never be corrected."""


class HasBegun(OperatorError):
    """A metric is published since another time than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic of a running stream, its metrics, and which windows are its own: those that begin in [begins, ends).

    None in place of a bound is no bound.
    """

    topic: str
    metrics: Sequence[Metric]
    begins_ms: int | None = None
    ends_ms: int | None = None

    def has(self, metric: Metric, window: Window) -> bool:
        """Whether the readings of this window are in this topic."""
        after = self.begins_ms is None or window.start >= self.begins_ms
        return metric in self.metrics and after and (self.ends_ms is None or window.start < self.ends_ms)


@dataclass(frozen=True, slots=True)
class Since:
    """Since when metrics are published: each from its own time, the others from `others`, or from the local midnight
    before they are first looked at. Only the first look at a metric decides."""

    others: int | None = None
    of: Mapping[str, int] = field(default_factory=dict)

    def begin(self, metric: str, zone: str, now_ms: int) -> int:
        """Since when the metric is published, if it is looked at first now."""
        chosen = self.of.get(metric, self.others)
        return local_midnight(zone, now_ms) if chosen is None else chosen


@dataclass(frozen=True, slots=True)
class Due:
    """A window that is due at a fixed time. `before` is its newest revision, if that left incomplete."""

    at: int
    metric: Metric
    window: Window
    before: Unfinished | None = None
    last: bool = False


def begin_all(connection: Connection, metrics: Sequence[Metric], zone: str, since: Since, now_ms: int) -> None:
    """Begin to publish the metrics that have areas. Raises `NoAreas`, and `HasBegun` if one began at another time."""
    known = begins(connection)
    for metric in metrics:
        begun = known.get(metric.name)
        if begun is not None and since.of.get(metric.name, begun) != begun:
            raise HasBegun(f"{metric.name} is published since {moment(begun).isoformat()}, and that can't be changed")
        if begun is not None:
            continue
        if areas_exist(connection, metric.registered_as):
            _begin(connection, metric.name, since.begin(metric.name, zone, now_ms))
        elif cells_exist(connection, metric.name):
            raise NoAreas(f"{metric.name} has cells but no areas; load the register")


def _begin(connection: Connection, metric: str, since: int) -> None:
    newest = newest_window(connection, metric)
    if newest is not None and newest.end > since:
        raise HasBegun(
            f"an import of {metric} was published until {moment(newest.end).isoformat()}:"
            " begin to publish then, or later"
        )
    begin(connection, metric, since)


def due(connection: Connection, metrics: Sequence[Metric], zone: str, now_ms: int, most: int) -> list[Due]:
    """What is due at `now_ms`, at most `most`, the oldest slots first. Metrics that have not begun are left out."""
    known = begins(connection)
    found = [
        entry
        for metric in metrics
        if metric.name in known
        for entry in (
            *islice(_first(connection, metric, zone, known[metric.name], now_ms), most),
            *_again(connection, metric, known[metric.name], now_ms),
        )
    ]
    return sorted(found, key=lambda entry: (entry.at, entry.window.start, entry.metric.name))[:most]


def _first(connection: Connection, metric: Metric, zone: str, since: int, now_ms: int) -> Iterator[Due]:
    for window in due_windows(metric, zone, published_until(connection, metric.name, since), now_ms):
        yield Due(slot(metric, window), metric, window)


def _again(connection: Connection, metric: Metric, since: int, now_ms: int) -> Iterator[Due]:
    for found in unfinished(connection, metric.name, since):
        times = revision_times(slot(metric, found.window), found.left_at)
        passed = [at for at in times if at <= now_ms and (found.checked_at is None or at > found.checked_at)]
        if passed:
            yield Due(passed[-1], metric, found.window, found, last=passed[-1] == times[-1])
