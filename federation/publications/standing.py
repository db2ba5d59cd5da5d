"""The standing decision of a window (P5): read if it was made, else made and kept before the window is published."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from federation.disclosure.standing import ENOUGH_MS, PassesRule, decide, is_open, judge, measure, month_of
from schemas.catalogue import Metric
from store import standing as store
from store.database import Connection
from store.publications import Lattice, Window
from store.standing import Standing


def standing_for(
    connection: Connection,
    metric: Metric,
    window: Window,
    cells: Lattice,
    *,
    topics: Sequence[str],
    passes: PassesRule,
    zone: str,
) -> Standing:
    """What is open in a window whose slot has come; to be called for a metric's windows in order, by one publisher.

    If nothing was decided, or only by the register and seven days have been measured since, it is decided from the
    cells of `topics` and of the metric's measurement, and kept: after a crash it is read, never decided anew. `cells`
    is the lattice of the window.
    """
    known = store.standing(connection, metric.name, window)
    if known is not None and (known.basis == "measurement" or not _may_be_measured(known, window, zone)):
        return known
    month = month_of(window.start, zone)
    span = Window(month_of(month.start - 1, zone).start, window.start)
    reduced = store.reduced_windows(connection, metric.name, topics, span.start, span.end)
    measurement = measure(metric, reduced, passes, zone)
    if known is not None and measurement.width_ms < ENOUGH_MS:
        return known
    registered = store.registered_contributors(connection, metric.registered_as, window.start)
    places = [(cell.area, cell.class_) for cell in cells.cells]
    period = Window(window.start, month.end)
    store.record(connection, decide(metric, places, period, zone, span, measurement, registered))
    decided = store.standing(connection, metric.name, window)
    assert decided is not None  # it was recorded just now, or by whoever was faster
    return decided


def close_what_failed_in_lost_windows(
    connection: Connection, metric: Metric, window: Window, *, topics: Sequence[str], passes: PassesRule, zone: str
) -> None:
    """Close again what failed in windows before `window` whose publications a restore has lost, and the closing too.

    To be called when every partition has passed `window`: then those windows are reduced again.
    """
    known = store.standing(connection, metric.name, window)
    lost = set() if known is None else store.lost_windows(connection, metric.name, known.period.start, window.start)
    if not lost:
        return
    first, last = min(found.start for found in lost), max(found.start for found in lost)
    for found, cells in store.reduced_windows(connection, metric.name, topics, first, last + 1):
        if found in lost and not any(cell.incomplete for cell in cells):
            opened = is_open(metric, store.standing(connection, metric.name, found), found, zone)
            for area, class_ in sorted(judge(opened, cells, passes).failed):
                store.close(connection, metric.name, area, class_, found)


def _may_be_measured(known: Standing, window: Window, zone: str) -> bool:
    """Whether a window is the first of a local day after those that the register decided."""
    place = ZoneInfo(zone)
    before, begins = (datetime.fromtimestamp(at / 1000, place).date() for at in (window.start - 1, window.start))
    return before != begins and window.start > known.period.start
