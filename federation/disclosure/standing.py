"""Which cells are open, decided a month ahead (P5), so that the pattern of suppression says next to nothing. Pure.

A cell is released if its metric is open at that time of the day, if the cell is open, and if it passes its rule. What
is open is decided for a calendar month of the city's zone from the windows of the month before:

- The opening times of a metric's class are the same in the whole city: hours of the day, or days of the week for
  windows of a day. Those are closed with which most is shown, and only if some cells don't pass then: solar at night,
  cars at 3 a.m. An hour passes only if the hours before and after it pass as well:
  sunset moves by less than an hour in a month.
- A cell is open if it passed in nearly all of the measured windows of these times. An open cell that fails closes for
  the rest of the month, so a cell that often fails would be shown for a few days and tell when it failed.

The first month of a city, or of new areas, has nothing to look back to. Residential cells with twice the minimum of
contributors in the register are open at once; everything else is decided after seven measured days. So a cell changes
its status at most twice in a month: at a decision, and when it fails.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from schemas.catalogue import Metric
from schemas.rules import minimum_contributors
from store.moments import milliseconds
from store.processing import Amounts, Cell
from store.publications import Window
from store.standing import DecidedCell, Decision, Place, Standing

PassesRule = Callable[[str, Amounts], bool]
"""Whether the amounts of a cell of a class pass the metric's rule."""

NEARLY_ALL_PERCENT = 99
"""Of the measured windows of the opening times, for a cell to be open. An outage of a few hours in a month is within;
a factory's shifts are not. In less than 100 windows none may fail."""

_HOUR_PASSES_PERCENT = 90
"""Of an hour's measured windows, for a cell to speak for opening that hour."""

ENOUGH_MS = 7 * 23 * 3_600_000
"""The windows of seven days, each of which may lack an hour when clocks are moved."""

_LEAST_TO_CLOSE = 3
"""Cells of a class that don't pass at a time, for it to be closed, or of the metric if none of it passes then. What the
whole city sees must not be the hours of one contributor."""

_REGISTERED = 2
"""How many times the minimum of contributors opens a residential cell that nobody has measured."""

_RESIDENTIAL = "residential"
_HOURS, _WEEKDAYS = 24, 7


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the windows of a span show: by time (see `time_of`) how many were measured, and how many of them each cell
    passed. `width_ms` is the sum of their widths."""

    windows: Mapping[int, int]
    passed: Mapping[Place, Mapping[int, int]]
    width_ms: int


@dataclass(frozen=True, slots=True)
class Judged:
    """The open cells of a window: those that are released, and those that failed their rule and close."""

    released: frozenset[Place]
    failed: frozenset[Place]


def month_of(at: int, zone: str) -> Window:
    """The calendar month of the zone in which a time lies."""
    first = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date().replace(day=1)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return Window(_midnight(first, zone), _midnight(following, zone))


def times_of(metric: Metric) -> frozenset[int]:
    """All times that the metric can be open: hours of the day, days of the week, or 0 for windows of a month."""
    if metric.window == "month":
        return frozenset((0,))
    return frozenset(range(_WEEKDAYS if metric.window == "day" else _HOURS))


def time_of(metric: Metric, start: int, zone: str) -> int:
    """Which of `times_of` the window that begins at `start` belongs to, on the city's clock."""
    if metric.window == "month":
        return 0
    local = datetime.fromtimestamp(start / 1000, ZoneInfo(zone))
    return local.weekday() if metric.window == "day" else local.hour


def measure(
    metric: Metric, windows: Iterable[tuple[Window, Sequence[Cell]]], passes: PassesRule, zone: str
) -> Measurement:
    """Count what each cell passed. A window with an incomplete cell says nothing; a cell without a row has failed."""
    counted: Counter[int] = Counter()
    passed: dict[Place, Counter[int]] = {}
    width = 0
    for window, cells in windows:
        if not cells or any(cell.incomplete for cell in cells):
            continue
        at = time_of(metric, window.start, zone)
        counted[at] += 1
        width += window.end - window.start
        for place in passing(cells, passes):
            passed.setdefault(place, Counter())[at] += 1
    return Measurement(counted, passed, width)


def passing(cells: Iterable[Cell], passes: PassesRule) -> Set[Place]:
    """The cells of one window that pass their rule."""
    outcomes: dict[Place, bool] = {}
    for cell in cells:
        place = (cell.area, cell.class_)
        outcomes[place] = outcomes.get(place, True) and passes(cell.class_, cell.amounts)
    return {place for place, passed in outcomes.items() if passed}


def decide(
    metric: Metric,
    places: Iterable[Place],
    period: Window,
    zone: str,
    span: Window,
    measurement: Measurement,
    registered: Mapping[Place, int],
) -> Decision:
    """Which of the cells are open in `period`, from what was measured in `span`, or from the register.

    `registered` are the contributors of each cell, which decide if less than seven days were measured.
    """
    cells = sorted(places)
    month = month_of(period.start, zone)
    windows = sum(measurement.windows.values())
    if measurement.width_ms < ENOUGH_MS:
        decided = _by_register(metric, cells, registered)
        always = dict.fromkeys(metric.classes, times_of(metric))
        return Decision(metric.name, month.start, period, "register", span, windows, always, decided)
    speaking = {
        at: {cell for cell in cells if _speaks_for(metric, measurement, cell, at)} for at in measurement.windows
    }
    by_class = {class_: _by_measurement(metric, class_, cells, measurement, speaking) for class_ in metric.classes}
    times = {class_: of_class for class_, (of_class, _) in by_class.items()}
    decided = tuple(cell for _, of_class in by_class.values() for cell in of_class)
    return Decision(metric.name, month.start, period, "measurement", span, windows, times, decided)


def is_open(metric: Metric, standing: Standing | None, window: Window, zone: str) -> frozenset[Place]:
    """The cells that may be released in a window if they pass their rule; none without a decision."""
    if standing is None:
        return frozenset()
    at = time_of(metric, window.start, zone)
    return frozenset(place for place in standing.open if at in standing.times.get(place[1], ()))


def judge(opened: Set[Place], cells: Sequence[Cell], passes: PassesRule) -> Judged:
    """What becomes of the open cells of a whole window, from all of its reduced cells.

    If nothing at all was measured in the city, nothing is released and nothing has failed.
    """
    if not cells:
        return Judged(frozenset(), frozenset())
    released = frozenset(opened & passing(cells, passes))
    return Judged(released, frozenset(opened - released))


def _by_register(metric: Metric, cells: Sequence[Place], registered: Mapping[Place, int]) -> tuple[DecidedCell, ...]:
    # Amounts that may be negative pass through zero: which hours they do that in is not known before it was measured.
    known = metric.minimum >= 0
    return tuple(
        DecidedCell(
            area,
            class_,
            known
            and class_ == _RESIDENTIAL
            and registered.get((area, class_), 0) >= _REGISTERED * minimum_contributors(metric.rule, class_),
            passed=0,
            measured=0,
            registered=registered.get((area, class_), 0),
        )
        for area, class_ in cells
    )


def _by_measurement(
    metric: Metric,
    class_: str,
    cells: Sequence[Place],
    measurement: Measurement,
    speaking: Mapping[int, Set[Place]],
) -> tuple[frozenset[int], tuple[DecidedCell, ...]]:
    """The opening times of a class with which most of its cells and times are open, the more times the better; and what
    is decided of these cells then. `speaking` are the cells of all classes that pass at a time."""
    of_class = [cell for cell in cells if cell[1] == class_]
    votes = {at: sum(cell in of_time for cell in of_class) for at, of_time in speaking.items()}
    may_close = {
        at
        for at, of_time in speaking.items()
        if len(of_class) - votes[at] >= _LEAST_TO_CLOSE or (not of_time and len(cells) >= _LEAST_TO_CLOSE)
    }
    kept = [at for at in votes if at not in may_close]
    order = [*kept, *sorted(may_close, key=lambda at: (-votes[at], at))]
    best = frozenset(order), _decided(metric, of_class, frozenset(order), measurement)
    most = 0
    for count in range(max(1, len(kept)), len(order) + 1):
        times = frozenset(order[:count])
        decided = _decided(metric, of_class, times, measurement)
        shown = count * sum(cell.open for cell in decided)
        if shown and shown >= most:
            best, most = (times, decided), shown
    return best


def _decided(
    metric: Metric, cells: Sequence[Place], times: frozenset[int], measurement: Measurement
) -> tuple[DecidedCell, ...]:
    asked = _with_edges(metric, times)
    measured = sum(measurement.windows.get(at, 0) for at in asked)
    found = []
    for area, class_ in cells:
        of_cell = measurement.passed.get((area, class_), {})
        passed = sum(of_cell.get(at, 0) for at in asked)
        opens = measured > 0 and passed * 100 >= NEARLY_ALL_PERCENT * measured
        found.append(DecidedCell(area, class_, opens, passed, measured, registered=None))
    return tuple(found)


def _speaks_for(metric: Metric, measurement: Measurement, cell: Place, at: int) -> bool:
    passed = measurement.passed.get(cell, {})
    return all(
        (windows := measurement.windows.get(near, 0)) > 0
        and passed.get(near, 0) * 100 >= _HOUR_PASSES_PERCENT * windows
        for near in _with_edges(metric, frozenset((at,)))
    )


def _with_edges(metric: Metric, times: frozenset[int]) -> frozenset[int]:
    """These times; hours of the day with the hour before and the hour after each."""
    if metric.window in ("day", "month"):
        return times
    return frozenset((at + near) % _HOURS for at in times for near in (-1, 0, 1))


def _midnight(day: date, zone: str) -> int:
    return milliseconds(datetime.combine(day, time(), ZoneInfo(zone)))
