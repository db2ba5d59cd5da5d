"""Standing decisions (P5): which cells of a metric are open for a period, and what they were decided from.

Times are milliseconds since 1970, UTC. Connections are those of `store.database.connect`. What is decided, and why, is
in `federation.disclosure.standing`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from psycopg.types.json import Jsonb

from store.database import Connection
from store.moments import milliseconds, moment
from store.processing import Amounts, Cell
from store.publications import Window

Place = tuple[int, str]
"""Area and class: a cell of every window of a metric."""

Basis = Literal["register", "measurement"]

_DAY_MS = 86_400_000


class NoDecision(LookupError):
    """Nothing was decided for this window of the metric."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which cells of a metric may be released in the windows of `period`, if they pass their rule.

    `period` reaches from the first window that it was decided for to the end of a calendar month. `open` are the open
    cells without those that have closed since. `times` are the opening times of each class, the same in the whole city:
    local hours of the day (0 to 23), for windows of a day days of the week (Monday is 0), for those of a month 0.
    """

    period: Window
    open: frozenset[Place]
    times: Mapping[str, frozenset[int]]
    basis: Basis


@dataclass(frozen=True, slots=True)
class DecidedCell:
    """A cell as it was decided: in `measured` windows of the opening times, and `passed` of them, or by the number of
    `registered` contributors (None where that was not asked)."""

    area: int
    class_: str
    open: bool
    passed: int
    measured: int
    registered: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision for the windows from `period.start` on, in the calendar month that begins at `month_ms`.

    `measured` is the span whose windows were looked at, `windows` how many of them had been measured.
    """

    metric: str
    month_ms: int
    period: Window
    basis: Basis
    measured: Window
    windows: int
    times: Mapping[str, frozenset[int]]
    cells: tuple[DecidedCell, ...]


def standing(connection: Connection, metric: str, window: Window) -> Standing | None:
    """What was decided for a window of the metric; None if nothing was.

    A cell that closed in an earlier window, or in this one, is not open.
    """
    row = connection.execute(
        """
        SELECT decision, month_start, begins, ends, times, basis FROM standing_decisions
        WHERE metric = %(metric)s AND begins <= %(start)s AND ends > %(start)s ORDER BY begins DESC LIMIT 1
        """,
        {"metric": metric, "start": moment(window.start)},
    ).fetchone()
    if row is None:
        return None
    decision, month, begins, ends, times, basis = row
    cells = connection.execute(
        """
        SELECT area, class FROM standing_cells WHERE decision = %(decision)s AND open AND NOT EXISTS (
            SELECT FROM standing_closures AS closed
            WHERE closed.metric = %(metric)s AND month_start = %(month)s AND window_start <= %(start)s
            AND closed.area = standing_cells.area AND closed.class = standing_cells.class)
        """,
        {"decision": decision, "metric": metric, "month": month, "start": moment(window.start)},
    ).fetchall()
    period = Window(milliseconds(begins), milliseconds(ends))
    return Standing(period, frozenset((area, class_) for area, class_ in cells), _times(times), basis)


def close(connection: Connection, metric: str, area: int, class_: str, window: Window) -> None:
    """Close an open cell that failed its rule in `window`, from that window to the end of its calendar month.

    To be called before the window is published. A cell that is closed already stays so from the earlier window on.
    Raises `NoDecision`.
    """
    closed = connection.execute(
        """
        INSERT INTO standing_closures (metric, month_start, area, class, window_start, window_end)
        SELECT metric, month_start, %(area)s, %(class)s, %(start)s, %(end)s FROM standing_decisions
        WHERE metric = %(metric)s AND begins <= %(start)s AND ends > %(start)s ORDER BY begins DESC LIMIT 1
        ON CONFLICT (metric, month_start, area, class)
        DO UPDATE SET window_start = least(standing_closures.window_start, excluded.window_start)
        RETURNING 1
        """,
        {
            "metric": metric,
            "area": area,
            "class": class_,
            "start": moment(window.start),
            "end": moment(window.end),
        },
    ).fetchone()
    if closed is None:
        raise NoDecision(f"nothing was decided for the window of {metric} at {moment(window.start).isoformat()}")


def record(connection: Connection, decision: Decision) -> None:
    """Keep a decision, in one transaction. One that was kept for the same metric and first window stays as it is."""
    with connection.transaction():
        row = connection.execute(
            "INSERT INTO standing_decisions"
            " (metric, month_start, begins, ends, basis, measured_from, measured_until, windows, times)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (metric, begins) DO NOTHING RETURNING decision",
            (
                decision.metric,
                *map(moment, (decision.month_ms, decision.period.start, decision.period.end)),
                decision.basis,
                *map(moment, (decision.measured.start, decision.measured.end)),
                decision.windows,
                Jsonb({class_: sorted(times) for class_, times in decision.times.items()}),
            ),
        ).fetchone()
        if row is None:
            return
        with connection.cursor().copy(
            "COPY standing_cells (decision, area, class, open, passed, measured, registered) FROM STDIN"
        ) as copy:
            for cell in decision.cells:
                copy.write_row((row[0], cell.area, cell.class_, cell.open, cell.passed, cell.measured, cell.registered))


def reduced_windows(
    connection: Connection, metric: str, topics: Sequence[str], start: int, end: int
) -> Iterator[tuple[Window, list[Cell]]]:
    """The windows of a metric that begin at start <= time < end and have any cell, in order, with all their cells.

    The cells are those of these topics and those of the metric's own measurement (`store_measurement`). A day at a time
    is read, through the index.
    """
    columns = "window_start, window_end, area, class, value, readings, contributors, largest, absolute, covered_ms"
    for day in range(start, end, _DAY_MS):
        rows = connection.execute(
            f"""
            SELECT {columns}, first_offset, last_offset, incomplete FROM cells
            WHERE metric = %(metric)s AND window_start >= %(start)s AND window_start < %(end)s
            AND topic = ANY(%(topics)s)
            UNION ALL
            SELECT {columns}, 0, 0, false FROM measured_cells
            WHERE metric = %(metric)s AND window_start >= %(start)s AND window_start < %(end)s
            ORDER BY window_start, window_end, area, class
            """,
            {
                "metric": metric,
                "topics": list(topics),
                "start": moment(day),
                "end": moment(min(day + _DAY_MS, end)),
            },
        ).fetchall()
        for (begins, ends), of_window in groupby(rows, lambda row: (row[0], row[1])):
            window = Window(milliseconds(begins), milliseconds(ends))
            yield (
                window,
                [
                    Cell(metric, window.start, window.end, area, class_, Amounts(*amounts), incomplete)
                    for _, _, area, class_, *amounts, incomplete in of_window
                ],
            )


def lost_windows(connection: Connection, metric: str, start: int, end: int) -> set[Window]:
    """The metric's windows that begin at start <= time < end and have a publication whose contents are lost."""
    rows = connection.execute(
        "SELECT window_start, window_end FROM publications"
        " WHERE metric = %s AND window_start >= %s AND window_start < %s AND kind = 'lost'",
        (metric, moment(start), moment(end)),
    )
    return {Window(milliseconds(begins), milliseconds(ends)) for begins, ends in rows}


def registered_contributors(connection: Connection, metric: str, at: int) -> Mapping[Place, int]:
    """(area, class) -> the contributors with a source of the metric that is valid at `at`, in the areas then."""
    rows = connection.execute(
        """
        WITH version AS (
            SELECT version FROM area_versions WHERE metric = %(metric)s
            ORDER BY valid_from > %(at)s, abs(extract(epoch FROM valid_from - %(at)s)) LIMIT 1
        )
        SELECT areas.number, class, count(DISTINCT contributor)
        FROM areas JOIN version USING (version) JOIN area_districts ON area = areas.number
        JOIN sources ON sources.district = area_districts.district
        WHERE metric = %(metric)s AND sources.valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)
        GROUP BY areas.number, class
        """,
        {"metric": metric, "at": moment(at)},
    )
    return {(area, class_): count for area, class_, count in rows}


def store_measurement(connection: Connection, cells: Iterable[Cell]) -> None:
    """Keep cells that are never published: what a city has measured before its streams began. Offsets are not kept.

    What was kept of the same window, area and class stays.
    """
    with connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE measuring (LIKE measured_cells) ON COMMIT DROP")
        with connection.cursor().copy("COPY measuring FROM STDIN") as copy:
            for cell in cells:
                of = cell.amounts
                amounts = (of.value, of.readings, of.contributors, of.largest, of.absolute, of.covered_ms)
                bounds = (moment(cell.window_start), moment(cell.window_end))
                copy.write_row((cell.metric, *bounds, cell.area, cell.class_, *amounts))
        connection.execute("INSERT INTO measured_cells SELECT * FROM measuring ON CONFLICT DO NOTHING")


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """A decision as it was kept, with the cells that have closed since: the start of the window in which each failed.

    `decided_by` is the database's user.
    """

    decision: Decision
    decided_at: int
    decided_by: str
    closed: Mapping[Place, int]

    @property
    def open(self) -> frozenset[Place]:
        """The cells that are open still."""
        return frozenset((cell.area, cell.class_) for cell in self.decision.cells if cell.open) - set(self.closed)


def kept_decisions(connection: Connection, at: int) -> list[KeptDecision]:
    """The decision of each metric that holds at `at`, by metric."""
    rows = connection.execute(
        """
        SELECT DISTINCT ON (metric) decision, metric, month_start, begins, ends, basis, measured_from, measured_until,
               windows, times, decided_at, decided_by
        FROM standing_decisions WHERE begins <= %(at)s AND ends > %(at)s ORDER BY metric, begins DESC
        """,
        {"at": moment(at)},
    ).fetchall()
    return [_kept(connection, *row) for row in rows]


def _kept(
    connection: Connection,
    number: int,
    metric: str,
    month: datetime,
    begins: datetime,
    ends: datetime,
    basis: Basis,
    measured_from: datetime,
    measured_until: datetime,
    windows: int,
    times: Mapping[str, Sequence[int]],
    decided_at: datetime,
    decided_by: str,
) -> KeptDecision:
    cells = connection.execute(
        "SELECT area, class, open, passed, measured, registered FROM standing_cells WHERE decision = %s"
        " ORDER BY area, class",
        (number,),
    ).fetchall()
    closures = connection.execute(
        "SELECT area, class, window_start FROM standing_closures WHERE metric = %s AND month_start = %s",
        (metric, month),
    ).fetchall()
    decision = Decision(
        metric=metric,
        month_ms=milliseconds(month),
        period=Window(milliseconds(begins), milliseconds(ends)),
        basis=basis,
        measured=Window(milliseconds(measured_from), milliseconds(measured_until)),
        windows=windows,
        times=_times(times),
        cells=tuple(DecidedCell(*row) for row in cells),
    )
    closed = {(area, class_): milliseconds(start) for area, class_, start in closures}
    return KeptDecision(decision, milliseconds(decided_at), decided_by, closed)


def _times(stored: Mapping[str, Sequence[int]]) -> Mapping[str, frozenset[int]]:
    return {class_: frozenset(times) for class_, times in stored.items()}
