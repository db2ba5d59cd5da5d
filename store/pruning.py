"""Removing by age what the publisher no longer needs, and noting how large the database is.

Times are milliseconds since 1970, UTC. Connections are those of `store.database.connect`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment
from store.publishing import begins, published_until

_SAMPLES = 30
"""Days of which the size is kept."""

# A cell whose publication left long ago: for corrections, and for what is open in the month after, it is not needed any
# more. Its own age would not do: an import of an earlier year is decided from cells that are old when they come. A
# replay begins at resume_offset.
_PRUNE_CELLS = """
DELETE FROM cells WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM cells AS old JOIN stream_offsets USING (topic, partition)
    WHERE old.metric = %(metric)s AND old.window_start < %(before)s
      AND old.last_offset < resume_offset
      AND %(before)s > (SELECT max(left_at) FROM publications AS made
                        WHERE made.metric = old.metric AND made.window_start = old.window_start)
      AND NOT EXISTS (SELECT FROM corrections AS made WHERE made.topic = old.topic AND made.metric = old.metric
                      AND made.window_start = old.window_start AND outcome = 'corrected' AND NOT decided)
    ORDER BY old.window_start LIMIT %(most)s))
"""
# A cell of a running stream whose window the publisher has passed, or never comes to. Nothing is decided on its
# corrections either.
_PRUNE_UNPUBLISHED = """
DELETE FROM cells WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM cells AS old JOIN stream_offsets USING (topic, partition)
    WHERE old.metric = %(metric)s AND old.window_start < %(until)s AND old.window_end <= %(until)s
      AND old.topic = ANY(%(topics)s) AND old.last_offset < resume_offset
      AND NOT EXISTS (SELECT FROM publications AS made
                      WHERE made.metric = old.metric AND made.window_start = old.window_start)
    ORDER BY old.window_start LIMIT %(most)s))
"""
_FOLD = """
WITH old AS (
    DELETE FROM deliveries WHERE updated_at < %(before)s AND run <> %(all)s
    RETURNING topic, partition, messages, readings, first_offset, last_offset)
INSERT INTO deliveries AS known (run, topic, partition, messages, readings, first_offset, last_offset)
    SELECT %(all)s, topic, partition, sum(messages), sum(readings), min(first_offset), max(last_offset)
    FROM old GROUP BY topic, partition
ON CONFLICT (run, topic, partition) DO UPDATE SET
    messages = known.messages + excluded.messages, readings = known.readings + excluded.readings,
    first_offset = least(known.first_offset, excluded.first_offset),
    last_offset = greatest(known.last_offset, excluded.last_offset), updated_at = now()
"""
_ALL_RUNS = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """How many bytes the database takes, and what it took at the last sample that is a day old or older, up to a week:
    its time and bytes, None before there is one."""

    bytes: int
    earlier_at: int | None
    earlier_bytes: int | None


def prune_cells(connection: Connection, before: int, most: int) -> int:
    """Remove up to `most` cells of each metric whose windows' publications all left before this; how many.

    Those stay that were never published, that a replay may need, and whose corrections are not decided.
    """
    metrics = connection.execute("SELECT metric FROM publication_sequences ORDER BY metric").fetchall()
    return sum(
        connection.execute(_PRUNE_CELLS, {"metric": metric, "before": moment(before), "most": most}).rowcount
        for (metric,) in metrics
    )


def prune_unpublished_cells(
    connection: Connection, topics: Sequence[str], never: Collection[str], before: int, most: int
) -> int:
    """Remove up to `most` cells of each metric whose windows ended before this and will not be published; how many.

    `topics` are those of running streams: what came by another, an import, may be published at any time. A window of
    them is passed when a later one was published or skipped, or when it began before the metric's publishing did. Of
    the metrics `never`, no window is published. Those cells stay that a replay may need.
    """
    until = dict.fromkeys(never, before)
    for metric, since in begins(connection).items():
        until[metric] = min(before, published_until(connection, metric, since))
    return sum(
        connection.execute(
            _PRUNE_UNPUBLISHED, {"metric": metric, "topics": topics, "until": moment(end), "most": most}
        ).rowcount
        for metric, end in sorted(until.items())
    )


def fold_deliveries(connection: Connection, before: int) -> None:
    """Keep of the runs that wrote nothing since this only their sum, by partition."""
    with connection.transaction():
        connection.execute(_FOLD, {"before": moment(before), "all": _ALL_RUNS})


def note_size(connection: Connection, now: int) -> None:
    """Keep the size of the database today, and of the last month."""
    with connection.transaction():
        connection.execute(
            "INSERT INTO database_sizes (day, at, bytes)"
            " SELECT (%(now)s::timestamptz AT TIME ZONE 'UTC')::date, %(now)s, pg_database_size(current_database())"
            " ON CONFLICT (day) DO NOTHING",
            {"now": moment(now)},
        )
        connection.execute(
            "DELETE FROM database_sizes WHERE day < (%s::timestamptz AT TIME ZONE 'UTC')::date - %s::integer",
            (moment(now), _SAMPLES),
        )


def database_size(connection: Connection, now: int) -> DatabaseSize:
    """The size now, and the oldest of the last week that is a day old at least."""
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    earlier = connection.execute(
        "SELECT at, bytes FROM database_sizes WHERE at <= %(now)s - interval '1 day'"
        " AND at > %(now)s - interval '8 days' ORDER BY at LIMIT 1",
        {"now": moment(now)},
    ).fetchone()
    size = 0 if row is None else int(row[0])
    return DatabaseSize(size, *((None, None) if earlier is None else (milliseconds(earlier[0]), int(earlier[1]))))
