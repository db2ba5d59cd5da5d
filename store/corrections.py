"""Corrections (R13): what windows become with the readings that came late, and how far that is from what was before.

A *content* of a window is what its rows below an offset, the *bound*, are reduced to. Content 0 is that of the cells,
which the processor reduced when the window closed: the first late reading lies at its bound. Content 1 and later ones
are those of the steps of the schedule. Bounds belong to one partition, and so does every cell of its window (R5).

Times are milliseconds since 1970, UTC; amounts are in the metric's smallest unit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal

from store.database import Connection
from store.moments import milliseconds, moment
from store.processing import Amounts, Partition
from store.publications import Window

_CORRECTOR_LOCK = 0x5157E2CC1

Place = tuple[int, str]
"""(number of the area, class)."""

Outcome = Literal["corrected", "unchanged", "gone", "differs"]
"""What became of reading a window again. `gone`: the log no longer holds all of it; `differs`: it does not give what it
gave before, as after a cut."""


@dataclass(frozen=True, slots=True)
class Content:
    """The cells of a window in one partition below `bound`, as they were stored at `step`."""

    step: int
    bound: int
    cells: Mapping[Place, Amounts]


@dataclass(frozen=True, slots=True)
class LateWindow:
    """A window of a partition to which readings came after its last content was made.

    `first_late` is the offset of the first late reading, `bound` the one after the last, or where processing has come
    if that is less. `step` is the last that was made of it, 0 for none.
    """

    partition: Partition
    metric: str
    window: Window
    first_late: int
    bound: int
    step: int


@dataclass(frozen=True, slots=True)
class KnownContents:
    """The contents of a window in one partition, in order; the first is that of the cells.

    `first_offset` is the first offset that any of them needs, below that of the late readings. `incomplete`: the window
    may lack readings (R5).
    """

    contents: Sequence[Content]
    first_offset: int
    incomplete: bool


@dataclass(frozen=True, slots=True)
class CorrectedCell:
    """A cell that has changed since the content before.

    `changes`: the amounts of the change since each earlier content, by its step: `value` is the net change, and
    `contributors` counts those whose own amount has changed. Of a mean of states: those whose last state has changed.
    """

    area: int
    class_: str
    amounts: Amounts
    incomplete: bool
    changes: Mapping[int, Amounts]


@dataclass(frozen=True, slots=True)
class Correction:
    """A content of a window in one partition, made at a step of the schedule (1, 2, ...). Only changed cells."""

    partition: Partition
    metric: str
    window: Window
    step: int
    bound: int
    outcome: Outcome
    cells: Sequence[CorrectedCell] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What late readings have made of a window of a topic, and no decision was made on.

    `steps` are (partition, step) of the contents in it. `cells` are those that have changed, each with the step of its
    newest content. `released`: the steps whose contents of a cell were released, without that one: a crash may come
    between noting and releasing it. A cell that is not there was released as the processor first reduced it, at step 0,
    if at all.
    """

    steps: Sequence[tuple[int, int]]
    cells: Sequence[tuple[int, CorrectedCell]]
    released: Mapping[Place, Set[int]]


@contextmanager
def corrector_lock(connection: Connection) -> Iterator[bool]:
    """Try to take the lock of the one process that corrects; yields whether this connection holds it.

    The lock ends with the context, or with the connection.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_CORRECTOR_LOCK,)).fetchone()
    held = row is not None and bool(row[0])
    try:
        yield held
    finally:
        if held and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_CORRECTOR_LOCK,))


def late_windows(connection: Connection, topic: str, metrics: Sequence[str]) -> list[LateWindow]:
    """The windows of a topic's metrics to which readings came after their last content was made, ordered by partition.

    Those that could not be read again before are left out.
    """
    rows = connection.execute(_LATE, {"topic": topic, "metrics": list(metrics)})
    return [
        LateWindow((topic, number), metric, Window(milliseconds(start), milliseconds(end)), first, bound, step)
        for number, metric, start, end, first, bound, step in rows
    ]


def known_contents(connection: Connection, late: LateWindow) -> KnownContents:
    """The contents of a window that were stored so far."""
    key = (*late.partition, late.metric, moment(late.window.start))
    cells: dict[Place, Amounts] = {}
    incomplete = False
    for area, class_, lacks, *amounts in connection.execute(_CELLS, key):
        cells[area, class_] = Amounts(*amounts)
        incomplete = incomplete or lacks
    first = min([late.first_late, *(amounts.first_offset for amounts in cells.values())])
    contents = [Content(0, late.first_late, cells)]
    for step, bound in connection.execute(_MADE, key).fetchall():
        changed = connection.execute(_CORRECTED, (*key, step))
        cells = cells | {(area, class_): Amounts(*amounts) for area, class_, *amounts in changed}
        contents.append(Content(step, bound, cells))
    return KnownContents(contents, first, incomplete)


def record_corrections(connection: Connection, corrections: Iterable[Correction]) -> None:
    """Store contents, in one transaction. Raises `psycopg.errors.UniqueViolation` if a step was stored before."""
    with connection.transaction(), connection.cursor() as cursor:
        for made in corrections:
            topic, number = made.partition
            key = (topic, made.metric, moment(made.window.start), made.step)
            cursor.execute(
                "INSERT INTO corrections (topic, metric, window_start, step, partition, window_end, bound, outcome)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (*key, number, moment(made.window.end), made.bound, made.outcome),
            )
            for cell in made.cells:
                place = (*key, number, cell.area, cell.class_)
                cursor.execute(_INSERT_CELL, (*place, cell.incomplete, *_columns(cell.amounts)))
                changes = [(*place, since, *_columns(change)) for since, change in cell.changes.items()]
                cursor.executemany(_INSERT_CHANGE, changes)


def undecided(connection: Connection, topic: str, metric: str) -> list[Window]:
    """The published windows of a topic's metric with contents that the publisher has not decided on, in order."""
    rows = connection.execute(_UNDECIDED_WINDOWS, (topic, metric))
    return [Window(milliseconds(start), milliseconds(end)) for start, end in rows]


def proposal(connection: Connection, topic: str, metric: str, window: Window) -> Proposal:
    """What late readings have made of a window since the publisher last decided on it."""
    key = (topic, metric, moment(window.start))
    steps = connection.execute(_UNDECIDED, key).fetchall()
    changes: dict[tuple[int, Place], dict[int, Amounts]] = {}
    for area, class_, step, since, *amounts in connection.execute(_CHANGES, key):
        changes.setdefault((step, (area, class_)), {})[since] = Amounts(*amounts)
    cells: dict[Place, tuple[int, CorrectedCell]] = {}
    for number, step, area, class_, incomplete, *amounts in connection.execute(_PROPOSED, key):
        if (number, step) in steps:
            since_each = changes.get((step, (area, class_)), {})
            cells[area, class_] = step, CorrectedCell(area, class_, Amounts(*amounts), incomplete, since_each)
    released: dict[Place, set[int]] = {}
    for area, class_, step in connection.execute(_RELEASED, key[1:]):
        place = (area, class_)
        if place not in cells or cells[place][0] != step:
            released.setdefault(place, {0}).add(step)
    return Proposal(tuple(steps), tuple(cells.values()), {place: frozenset(found) for place, found in released.items()})


def note_release(connection: Connection, metric: str, window: Window, cells: Iterable[tuple[Place, int]]) -> None:
    """Store that the contents of these steps of some cells are released; to be called before they leave."""
    start, end = moment(window.start), moment(window.end)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO released_steps (metric, window_start, window_end, area, class, step)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(metric, start, end, *place, step) for place, step in cells],
        )


def note_decided(connection: Connection, topic: str, metric: str, window: Window, decided: Proposal) -> None:
    """Store that the publisher has decided on these contents, and published what it released of them."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE corrections SET decided = true"
            " WHERE topic = %s AND metric = %s AND window_start = %s AND partition = %s AND step = %s",
            [(topic, metric, moment(window.start), number, step) for number, step in decided.steps],
        )


def prune_corrections(connection: Connection, metric: str, until: int) -> int:
    """Drop the contents of a metric's windows that ended at `until` or before; returns how many steps."""
    terms = (metric, moment(until))
    with connection.transaction():
        connection.execute("DELETE FROM released_steps WHERE metric = %s AND window_end <= %s", terms)
        return connection.execute("DELETE FROM corrections WHERE metric = %s AND window_end <= %s", terms).rowcount


_AMOUNTS = tuple(field.name for field in fields(Amounts))
_NAMES = ", ".join(_AMOUNTS)
_MARKS = ", ".join(["%s"] * len(_AMOUNTS))
_LATE = """
SELECT partition, metric, window_start, window_end, first_offset, least(last_offset + 1, next_offset),
       coalesce(last_step, 0)
FROM late_readings late JOIN stream_offsets USING (topic, partition), LATERAL (
    SELECT max(step), max(bound), bool_or(outcome IN ('gone', 'differs')) FROM corrections made
    WHERE made.topic = late.topic AND made.partition = late.partition AND made.metric = late.metric
    AND made.window_start = late.window_start) AS before (last_step, last_bound, failed)
WHERE topic = %(topic)s AND metric = ANY(%(metrics)s) AND failed IS NOT TRUE
AND (last_bound IS NULL OR last_offset >= last_bound)
ORDER BY partition, window_start, metric
"""
_CELLS = f"""
SELECT area, class, incomplete, {_NAMES} FROM cells
WHERE topic = %s AND partition = %s AND metric = %s AND window_start = %s
"""
_MADE = """
SELECT step, bound FROM corrections
WHERE topic = %s AND partition = %s AND metric = %s AND window_start = %s AND outcome = 'corrected' ORDER BY step
"""
_CORRECTED = f"""
SELECT area, class, {_NAMES} FROM corrected_cells
WHERE topic = %s AND partition = %s AND metric = %s AND window_start = %s AND step = %s
"""
_UNDECIDED_WINDOWS = """
SELECT DISTINCT window_start, window_end FROM corrections
WHERE outcome = 'corrected' AND NOT decided AND topic = %s AND metric = %s AND EXISTS (
    SELECT FROM publications WHERE publications.metric = corrections.metric
    AND publications.window_start = corrections.window_start AND kind <> 'skip')
AND NOT EXISTS (  -- what left of such a window may have been forgotten
    SELECT FROM publications WHERE publications.metric = corrections.metric
    AND publications.window_end > corrections.window_start AND kind = 'skip')
ORDER BY window_start
"""
_UNDECIDED = """
SELECT partition, step FROM corrections
WHERE topic = %s AND metric = %s AND window_start = %s AND outcome = 'corrected' AND NOT decided
ORDER BY partition, step
"""
_PROPOSED = f"""
SELECT partition, step, area, class, incomplete, {_NAMES} FROM corrected_cells
WHERE topic = %s AND metric = %s AND window_start = %s ORDER BY area, class, step
"""
_CHANGES = f"""
SELECT area, class, step, since, {_NAMES} FROM corrected_changes
WHERE topic = %s AND metric = %s AND window_start = %s
"""
_RELEASED = "SELECT area, class, step FROM released_steps WHERE metric = %s AND window_start = %s"
_INSERT_CELL = f"""
INSERT INTO corrected_cells (topic, metric, window_start, step, partition, area, class, incomplete, {_NAMES})
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, {_MARKS})
"""
_INSERT_CHANGE = f"""
INSERT INTO corrected_changes (topic, metric, window_start, step, partition, area, class, since, {_NAMES})
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, {_MARKS})
"""


def _columns(amounts: Amounts) -> tuple[Any, ...]:
    return tuple(getattr(amounts, name) for name in _AMOUNTS)
