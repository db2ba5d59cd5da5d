"""What the publisher goes by: since when it publishes a metric, how far it has come, and how far processing has.

Times are milliseconds since 1970, UTC. Connections are those of `store.database.connect`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment
from store.publications import Window


@dataclass(frozen=True, slots=True)
class Processed:
    """How far a topic is processed: the event time that all partitions have reached, None unless each has one.

    Windows that begin before `incomplete_before` may lack readings in some partition (R5).
    """

    event_time: int | None
    incomplete_before: int | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A window whose newest revision is incomplete: when the first one left, and when it was last looked at again."""

    metric: str
    window: Window
    revision: int
    left_at: int
    checked_at: int | None


def begins(connection: Connection) -> Mapping[str, int]:
    """Metric -> since when its windows are published, for every metric whose publishing has begun."""
    rows = connection.execute("SELECT metric, begins FROM publishing ORDER BY metric")
    return {metric: milliseconds(since) for metric, since in rows}


def begin(connection: Connection, metric: str, since: int) -> None:
    """Publish the metric's windows that begin at or after `since`. Nothing changes if its publishing has begun."""
    connection.execute("INSERT INTO publishing VALUES (%s, %s) ON CONFLICT DO NOTHING", (metric, moment(since)))


def published_until(connection: Connection, metric: str, since: int) -> int:
    """The end of the last window that was published or skipped of those from `since` on; `since` before the first."""
    row = connection.execute(
        "SELECT window_end FROM publications WHERE metric = %s AND window_start >= %s"
        " ORDER BY window_start DESC, window_end DESC LIMIT 1",
        (metric, moment(since)),
    ).fetchone()
    return since if row is None else milliseconds(row[0])


def published_windows(connection: Connection, metric: str, span: Window) -> frozenset[int]:
    """The starts of the metric's windows in a span that were published or skipped."""
    rows = connection.execute(
        "SELECT DISTINCT window_start FROM publications WHERE metric = %s AND window_start >= %s AND window_start < %s",
        (metric, moment(span.start), moment(span.end)),
    )
    return frozenset(milliseconds(start) for (start,) in rows)


def skipped_until(connection: Connection, metric: str) -> int:
    """The end of the windows of a metric that may have left before a ledger was lost; 0 if none was."""
    row = connection.execute(
        "SELECT max(window_end) FROM publications WHERE metric = %s AND kind = 'skip'", (metric,)
    ).fetchone()
    return 0 if row is None or row[0] is None else milliseconds(row[0])


def topic_state(connection: Connection, topic: str) -> Processed:
    """How far a topic is processed. One that never was has no event time."""
    row = connection.execute(
        "SELECT count(event_time) = (SELECT partitions FROM stream_topics WHERE topic = %(topic)s),"
        " min(event_time), max(incomplete_before) FROM stream_offsets WHERE topic = %(topic)s",
        {"topic": topic},
    ).fetchone()
    everywhere, least, incomplete_before = row or (False, None, None)
    return Processed(least if everywhere else None, incomplete_before)


def areas_exist(connection: Connection, metric: str) -> bool:
    """Whether the register has areas of the metric. A metric without any is not measured in this city."""
    query = "SELECT EXISTS (SELECT FROM area_versions JOIN areas USING (version) WHERE metric = %s)"
    return bool(_only(connection, query, metric))


def cells_exist(connection: Connection, metric: str) -> bool:
    """Whether anything of the metric was ever reduced."""
    return bool(_only(connection, "SELECT EXISTS (SELECT FROM cells WHERE metric = %s)", metric))


def cells_since(connection: Connection) -> Mapping[str, int]:
    """Metric -> the start of its first window with a cell. Reads every cell: for small cities."""
    rows = connection.execute("SELECT metric, min(window_start) FROM cells GROUP BY metric ORDER BY metric")
    return {metric: milliseconds(start) for metric, start in rows}


def unfinished(connection: Connection, metric: str, since: int) -> list[Unfinished]:
    """The metric's windows from `since` on whose newest revision is incomplete and that can still become whole."""
    rows = connection.execute(
        """
        SELECT metric, window_start, window_end, revision, checked_at, (
            SELECT min(left_at) FROM publications AS known
            WHERE known.metric = newest.metric AND known.window_start = newest.window_start)
        FROM publications AS newest
        WHERE NOT whole AND metric = %(metric)s AND window_start >= %(since)s
          AND checked_at IS DISTINCT FROM 'infinity' AND NOT EXISTS (
            SELECT FROM publications AS other WHERE other.metric = newest.metric AND (
                (other.window_start = newest.window_start AND other.sequence > newest.sequence)
                OR (other.kind = 'skip' AND other.window_end > newest.window_start)))
        ORDER BY window_start
        """,
        {"metric": metric, "since": moment(since)},
    ).fetchall()
    return [
        Unfinished(
            *(name, Window(milliseconds(start), milliseconds(end)), revision, milliseconds(left)),
            None if checked is None else milliseconds(checked),
        )
        for name, start, end, revision, checked, left in rows
    ]


def check_again(connection: Connection, found: Unfinished, at: int | None) -> None:
    """Store that a window was looked at for the fixed time `at`, in vain; None: that was the last time."""
    connection.execute(
        "UPDATE publications SET checked_at = coalesce(%s, 'infinity'::timestamptz)"
        " WHERE metric = %s AND window_start = %s AND revision = %s AND NOT whole",
        (None if at is None else moment(at), found.metric, moment(found.window.start), found.revision),
    )


def _only(connection: Connection, query: str, *terms: object) -> object:
    row = connection.execute(query, terms).fetchone()
    return None if row is None else row[0]
