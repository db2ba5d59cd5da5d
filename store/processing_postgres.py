"""`store.processing.Store` in PostgreSQL."""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import astuple, fields
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from store.database import Connection, DatabaseUrl, connect
from store.dead_letters import prune_dead_letters
from store.deliveries import Deliveries, prune_refused, record_deliveries
from store.detectors import Detector, record_detector
from store.generations import Generation, generations
from store.moments import moment
from store.processing import (
    Account,
    Amounts,
    CameraCount,
    Cell,
    Claim,
    FeederTime,
    Fenced,
    LateReadings,
    Partition,
    PartitionCommit,
    Position,
    StoreUnavailable,
    check_topic,
    no_partition,
)

logger = logging.getLogger(__name__)

_COUNTS = tuple(field.name for field in fields(Account))
_OWN = ("next_offset", "resume_offset", "event_time", "incomplete_before", "dead_in_block", "rejected_in_block")
_POSITION = (*_OWN, *_COUNTS, "feeders")
_MOVE = sql.SQL("""
WITH given AS (
    SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], {types}, %s::jsonb[])
        WITH ORDINALITY AS of_each (topic, partition, owner, expected, {position}, place)
), locked AS (
    SELECT given.* FROM stream_offsets known JOIN given USING (topic, partition)
    WHERE known.epoch = owner AND known.next_offset = expected ORDER BY place FOR UPDATE OF known
)
UPDATE stream_offsets known SET ({position}) = ROW({new}), stopped = NULL, cut_end = NULL
FROM locked WHERE known.topic = locked.topic AND known.partition = locked.partition
RETURNING known.topic, known.partition
""").format(
    types=sql.SQL(", ").join([sql.SQL("%s::bigint[]")] * (len(_POSITION) - 1)),
    position=sql.SQL(", ").join(map(sql.Identifier, _POSITION)),
    new=sql.SQL(", ").join([sql.Identifier("locked", name) for name in _POSITION]),
)
"""Rows are locked in the order in which they are given. One that another process has changed meanwhile is looked at
again as it is then, and left alone if it no longer fits."""
_SETTLED = """
SELECT "offset", row FROM dead_letters
WHERE topic = %s AND partition = %s AND log_cut = 0 AND "offset" >= %s AND "offset" < %s
"""
_CUT_LETTERS = """
UPDATE dead_letters SET log_cut = (
    SELECT coalesce(max(log_cut), 0) + 1 FROM dead_letters WHERE topic = %(topic)s AND partition = %(partition)s
) WHERE topic = %(topic)s AND partition = %(partition)s AND log_cut = 0 AND "offset" >= %(cut)s
"""
_CUT_LATE = """
WITH gone AS (
    DELETE FROM late_readings WHERE topic = %(topic)s AND partition = %(partition)s AND first_offset >= %(cut)s
)
UPDATE late_readings SET last_offset = %(cut)s - 1
WHERE topic = %(topic)s AND partition = %(partition)s AND first_offset < %(cut)s AND last_offset >= %(cut)s
"""
_AMOUNTS = tuple(field.name for field in fields(Amounts))
_CELL = ", ".join((
    *("metric", "window_start", "window_end", "area", "class", "topic", "partition"), *_AMOUNTS, "incomplete"
))  # fmt: skip
_END_COMMITS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN stream_offsets ON backend_xid = stream_offsets.xmax
JOIN unnest(%s::text[], %s::integer[]) AS claimed (topic, partition) USING (topic, partition)
WHERE pid <> pg_backend_pid()
"""
_LONGEST_COMMIT_MS = 5_000
"""How long a partition's row may be locked by its owner while another process takes it over. An owner that froze in the
middle of a COPY would keep it for ever: no timeout of PostgreSQL ends that. One that is merely slow is fenced (R3)."""

_ADD_CAMERA = """
INSERT INTO camera_pictures VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (camera, hour) DO UPDATE SET expected = camera_pictures.expected + excluded.expected,
    seen = camera_pictures.seen + excluded.seen, undecodable = camera_pictures.undecodable + excluded.undecodable,
    stale = camera_pictures.stale + excluded.stale, missing = camera_pictures.missing + excluded.missing
"""
_DROP_LATE = """
DELETE FROM late_readings late USING unnest(%s::text[], %s::integer[], %s::bigint[]) AS at (topic, partition, time)
WHERE late.topic = at.topic AND late.partition = at.partition AND late.until <= at.time
"""
_ADD_LATE = """
INSERT INTO late_readings VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (topic, partition, metric, window_start) DO UPDATE SET
    first_offset = least(late_readings.first_offset, excluded.first_offset),
    last_offset = greatest(late_readings.last_offset, excluded.last_offset),
    readings = late_readings.readings + excluded.readings
"""


class PostgresStore:
    """Implements `store.processing.Store`. Reconnects by itself; for one thread at a time."""

    def __init__(self, database_url: DatabaseUrl) -> None:
        self._url = database_url
        self._connection: Connection | None = None

    def connect(self) -> None:
        with _Unavailable(self):
            self._open().execute("SELECT")

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        with _Unavailable(self), self._open().transaction():
            self._open().execute(
                "INSERT INTO stream_topics VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (topic, cluster_id, topic_id, partitions),
            )
            known = self._open().execute(
                "SELECT cluster_id, topic_id, partitions FROM stream_topics WHERE topic = %s", (topic,)
            )
            check_topic(topic, known.fetchone(), (cluster_id, topic_id, partitions))
            self._open().execute(
                "INSERT INTO stream_offsets (topic, partition) SELECT %s, generate_series(0, %s - 1)"
                " ON CONFLICT DO NOTHING",
                (topic, partitions),
            )

    def claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        with _Unavailable(self):
            try:
                return self._claim(partitions)
            except psycopg.errors.LockNotAvailable as error:
                logger.warning("ending what keeps partitions from being taken over: %s", str(error).strip())
                self._open().execute(_END_COMMITS, [list(column) for column in zip(*partitions, strict=True)])
                return self._claim(partitions)

    def _claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        claimed: dict[Partition, Claim] = {}
        update = sql.SQL(
            "UPDATE stream_offsets SET epoch = epoch + 1 WHERE topic = %s AND partition = %s"
            " RETURNING cut_end, epoch, {}"
        ).format(sql.SQL(", ").join(map(sql.Identifier, _POSITION)))
        with self._open().transaction():
            self._open().execute(f"SET LOCAL lock_timeout = {_LONGEST_COMMIT_MS}")
            for partition in sorted(partitions):
                row = self._open().execute(update, partition).fetchone()
                if row is None:
                    raise no_partition(partition)
                claimed[partition] = Claim(*_epoch_and_position(row[1:]), row[0])
        return claimed

    def settled(self, partition: Partition, first: int, until: int) -> Set[tuple[int, int]]:
        with _Unavailable(self):
            return {(offset, row) for offset, row in self._open().execute(_SETTLED, (*partition, first, until))}

    def stored(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, Position]]:
        query = sql.SQL("SELECT epoch, {} FROM stream_offsets WHERE topic = %s AND partition = %s").format(
            sql.SQL(", ").join(map(sql.Identifier, _POSITION))
        )
        found: dict[Partition, tuple[int, Position]] = {}
        with _Unavailable(self), self._open().transaction():
            for partition in partitions:
                row = self._open().execute(query, partition).fetchone()
                if row is None:
                    raise no_partition(partition)
                found[partition] = _epoch_and_position(row)
        return found

    def next_offsets(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        with _Unavailable(self):
            rows = self._open().execute(
                "SELECT topic, partition, next_offset FROM stream_offsets WHERE topic = ANY(%s) AND stopped IS NULL",
                (list(topics),),
            )
            return {(topic, partition): offset for topic, partition, offset in rows}

    def common_event_time(self, topic: str) -> int | None:
        with _Unavailable(self):
            row = self._open().execute(
                "SELECT min(event_time) FROM stream_offsets WHERE topic = %s HAVING count(event_time) = count(*)",
                (topic,),
            )
            found = row.fetchone()
        return None if found is None else found[0]

    def generations(self) -> Mapping[str, Sequence[Generation]]:
        """Dataset -> its later topics, in order. Raises `StoreUnavailable`."""
        with _Unavailable(self):
            return generations(self._open())

    def record_deliveries(self, run: UUID, deliveries: Deliveries) -> None:
        with _Unavailable(self):
            record_deliveries(self._open(), run, deliveries)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        with _Unavailable(self):
            record_detector(self._open(), dataset, detector, since_ms)

    def record_stop(self, partition: Partition, epoch: int, reason: str, cut_end: int | None = None) -> None:
        with _Unavailable(self):
            self._open().execute(
                "UPDATE stream_offsets SET stopped = %s, cut_end = least(cut_end, %s)"
                " WHERE topic = %s AND partition = %s AND epoch = %s",
                (reason, cut_end, *partition, epoch),
            )

    def record_alarms(self, alarms: Iterable[tuple[Partition, str | None]]) -> None:
        rows = [(*partition, alarm) for partition, alarm in sorted(alarms)]
        columns = [list(column) for column in zip(*rows, strict=True)]
        with _Unavailable(self):
            self._open().execute(
                "UPDATE stream_offsets known SET retention_alarm = alarm"
                " FROM unnest(%s::text[], %s::integer[], %s::text[]) AS given (topic, partition, alarm)"
                " WHERE known.topic = given.topic AND known.partition = given.partition"
                " AND retention_alarm IS DISTINCT FROM alarm",
                columns,
            )

    def commit(self, commits: Sequence[PartitionCommit]) -> None:
        # One order for all processes, or two of them may wait for each other.
        ordered = sorted(commits, key=lambda commit: commit.partition)
        with _Unavailable(self), self._open().transaction():
            if fenced := self._move(ordered):
                raise Fenced(fenced)
            self._cut(ordered)
            self._copy_cells(ordered)
            self._copy_dead_letters(ordered)
            self._add_cameras(ordered)
            self._add_late(ordered)

    def prune_dead_letters(self, days: int, most: int) -> int:
        """`store.dead_letters.prune_dead_letters` and `store.deliveries.prune_refused` on this store's connection.

        Up to `most` of each; returns how many together.
        """
        with _Unavailable(self):
            return prune_dead_letters(self._open(), days, most) + prune_refused(self._open(), days, most)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, name="sistercity process")
        return self._connection

    def _move(self, commits: Sequence[PartitionCommit]) -> list[Partition]:
        """Store the new positions, in one statement; returns the partitions whose epoch or offset are no longer those
        that the commit expects."""
        columns = [list(column) for column in zip(*map(_moved_row, commits), strict=True)]
        moved = set(self._open().execute(_MOVE, columns).fetchall())
        return [commit.partition for commit in commits if tuple(commit.partition) not in moved]

    def _cut(self, commits: Sequence[PartitionCommit]) -> None:
        """Set dead letters aside that the log has lost, and forget where late readings lay that it has lost."""
        for commit in commits:
            if commit.cut is not None:
                topic, number = commit.partition
                terms = {"topic": topic, "partition": number, "cut": commit.cut}
                self._open().execute(_CUT_LETTERS, terms)
                self._open().execute(_CUT_LATE, terms)

    def _copy_cells(self, commits: Sequence[PartitionCommit]) -> None:
        if not any(commit.step.cells for commit in commits):
            return
        with self._open().cursor().copy(f"COPY cells ({_CELL}) FROM STDIN") as copy:
            for commit in commits:
                for cell in commit.step.cells:
                    copy.write_row(_cell_row(commit.partition, cell))

    def _copy_dead_letters(self, commits: Sequence[PartitionCommit]) -> None:
        if not any(commit.step.dead_letters for commit in commits):
            return
        into = 'COPY dead_letters (topic, partition, "offset", row, reason, original) FROM STDIN'
        with self._open().cursor().copy(into) as copy:
            for commit in commits:
                for letter in commit.step.dead_letters:
                    copy.write_row((*commit.partition, letter.offset, letter.row, letter.reason, letter.original))

    def _add_cameras(self, commits: Sequence[PartitionCommit]) -> None:
        # One order for all processes, as above: an hour of a camera may be counted from two partitions.
        counts = [count for commit in commits for count in commit.step.cameras]
        if counts:
            counts.sort(key=lambda count: (count.camera, count.hour))
            with self._open().cursor() as cursor:
                cursor.executemany(_ADD_CAMERA, [_camera_row(count) for count in counts])

    def _add_late(self, commits: Sequence[PartitionCommit]) -> None:
        with_late = [commit for commit in commits if commit.step.late]
        if not with_late:
            return
        with self._open().cursor() as cursor:
            rows = [_late_row(commit.partition, late) for commit in with_late for late in commit.step.late]
            cursor.executemany(_ADD_LATE, rows)
        times = [(*commit.partition, commit.step.position.event_time) for commit in with_late]
        self._open().execute(_DROP_LATE, [list(column) for column in zip(*times, strict=True)])


_TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
"""Internal errors come from the server: a transaction that was idle for too long, a fail-over to a read-only one."""


class _Unavailable:
    """Turns a broken connection into `StoreUnavailable`, and drops it so that the next call opens another."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _TRANSIENT):
            self._store.close()
            raise StoreUnavailable(f"PostgreSQL: {error}") from error


def _epoch_and_position(row: TupleRow) -> tuple[int, Position]:
    """From the columns epoch and `_POSITION`."""
    epoch, *values = row
    account, feeders = Account(*values[len(_OWN) : -1]), tuple(FeederTime(*of) for of in values[-1])
    return epoch, Position(**dict(zip(_OWN, values, strict=False)), account=account, feeders=feeders)


def _moved_row(commit: PartitionCommit) -> tuple[object, ...]:
    """The parameters of `_MOVE` for one partition."""
    position = commit.step.position
    own = [getattr(position, name) for name in _OWN]
    counts = [getattr(position.account, name) for name in _COUNTS]
    feeders = Jsonb([astuple(feeder) for feeder in position.feeders])
    return (*commit.partition, commit.epoch, commit.expected_offset, *own, *counts, feeders)


def _cell_row(partition: Partition, cell: Cell) -> tuple[object, ...]:
    return (
        cell.metric,
        moment(cell.window_start),
        moment(cell.window_end),
        cell.area,
        cell.class_,
        *partition,
        *(getattr(cell.amounts, name) for name in _AMOUNTS),
        cell.incomplete,
    )


def _camera_row(count: CameraCount) -> tuple[object, ...]:
    hour = moment(count.hour)
    return (count.camera, hour, count.expected, count.seen, count.undecodable, count.stale, count.missing)


def _late_row(partition: Partition, late: LateReadings) -> tuple[object, ...]:
    return (
        *partition,
        late.metric,
        moment(late.window_start),
        moment(late.window_end),
        late.until,
        late.first_offset,
        late.last_offset,
        late.readings,
    )
