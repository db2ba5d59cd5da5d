"""Where the processing of streams keeps its results: one transaction moves cells, dead letters, account and offset.

`Store` is what a processor asks for; `PostgresStore` keeps it, and `MemoryStore` keeps the same promises for tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol

import psycopg
from psycopg import sql

from store.database import Connection, connect
from store.moments import moment


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Account:
    """What became of all messages and readings below `Position.next_offset` (R8).

    messages = decoded + dead + lost_messages; readings = aggregated + duplicate + late + rejected + open + lost.
    `converted` counts the decoded messages that no view could read.
    """

    messages: int = 0
    decoded: int = 0
    dead: int = 0
    converted: int = 0
    lost_messages: int = 0
    readings: int = 0
    aggregated: int = 0
    duplicate: int = 0
    late: int = 0
    rejected: int = 0
    open: int = 0
    lost: int = 0

    def __add__(self, other: "Account") -> "Account":
        return Account(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def balanced(self) -> bool:
        """Whether every message and reading that came in is accounted for."""
        kept = self.aggregated + self.duplicate + self.late + self.rejected + self.open + self.lost
        return self.messages == self.decoded + self.dead + self.lost_messages and self.readings == kept


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is processed (R2). Times are milliseconds since 1970, UTC.

    All below `next_offset` is accounted for; `resume_offset` is the first offset that an open window needs;
    `max_event_time` is the latest event time below `next_offset`; windows that begin before `incomplete_before` may
    lack readings that retention took.
    """

    next_offset: int = 0
    resume_offset: int = 0
    max_event_time: int | None = None
    incomplete_before: int | None = None
    account: Account = Account()


@dataclass(frozen=True, slots=True)
class Cell:
    """One (metric, area, class, window), reduced. Amounts are in the metric's smallest unit, times in milliseconds.

    `largest` is the largest absolute net amount of one contributor, `absolute` the sum of all of these; `covered_ms` is
    the sum of the intervals that were counted.
    """

    metric: str
    window_start: int
    window_end: int
    area: int
    class_: str
    value: int
    readings: int
    contributors: int
    largest: int
    absolute: int
    covered_ms: int
    first_offset: int
    last_offset: int
    incomplete: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be used: a message (`row` is -1) or one of its rows, with the original bytes."""

    offset: int
    row: int
    reason: str
    original: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """What a commit moves: from the position at `expected_offset` to `position`."""

    place: Place
    epoch: int
    expected_offset: int
    position: Position
    cells: Sequence[Cell]
    dead_letters: Sequence[DeadLetter]


class Fenced(Exception):
    """Another process has taken these partitions over (R3): nothing was committed."""

    def __init__(self, places: Sequence[Place]) -> None:
        super().__init__(", ".join(f"{place.topic} partition {place.partition}" for place in places))
        self.places = tuple(places)


class TopicChanged(Exception):
    """The topic is not the one that the stored offsets belong to (R5)."""


class StoreUnavailable(Exception):
    """The store did not answer; whether a commit under way took effect is unknown."""


class Store(Protocol):
    """What a processor asks of the store. Every method may raise `StoreUnavailable`."""

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        """Note what the topic is, the first time; raises `TopicChanged` if it is another one now."""

    def claim(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, Position]]:
        """Take partitions over: their new epochs and positions. From now on older epochs can't commit."""

    def commit(self, progress: Sequence[Progress]) -> None:
        """All or nothing. Raises `Fenced` if an epoch or a next offset is no longer what it was."""


_NUMBERS = tuple(one.name for one in fields(Account))
_POSITION = ("next_offset", "resume_offset", "max_event_time", "incomplete_before", *_NUMBERS)
_CELL = (
    "metric, window_start, window_end, area, class, topic, partition, value, readings, contributors, largest, absolute,"
    " covered_ms, first_offset, last_offset, incomplete"
)


class PostgresStore:
    """Keeps `Store` in PostgreSQL. Reconnects by itself; used by one thread at a time."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: Connection | None = None

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        with _Unavailable(self), self._open().transaction():
            self._open().execute(
                "INSERT INTO stream_topics VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (topic, cluster_id, topic_id, partitions),
            )
            known = self._open().execute(
                "SELECT cluster_id, topic_id, partitions FROM stream_topics WHERE topic = %s", (topic,)
            )
            _check_topic(topic, known.fetchone(), (cluster_id, topic_id, partitions))
            self._open().execute(
                "INSERT INTO stream_offsets (topic, partition) SELECT %s, generate_series(0, %s - 1)"
                " ON CONFLICT DO NOTHING",
                (topic, partitions),
            )

    def claim(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, Position]]:
        claimed: dict[Place, tuple[int, Position]] = {}
        update = sql.SQL(
            "UPDATE stream_offsets SET epoch = epoch + 1 WHERE topic = %s AND partition = %s RETURNING epoch, {}"
        ).format(sql.SQL(", ").join(map(sql.Identifier, _POSITION)))
        with _Unavailable(self), self._open().transaction():
            for place in sorted(places):
                row = self._open().execute(update, place).fetchone()
                if row is None:
                    raise TopicChanged(f"{place.topic} had no partition {place.partition} when its processing began")
                epoch, next_offset, resume_offset, latest, incomplete, *counts = row
                position = Position(next_offset, resume_offset, latest, incomplete, Account(*counts))
                claimed[place] = (epoch, position)
        return claimed

    def commit(self, progress: Sequence[Progress]) -> None:
        ordered = sorted(progress, key=lambda one: one.place)  # one order for all processes, or two may wait in a ring
        with _Unavailable(self), self._open().transaction():
            fenced = [one.place for one in ordered if not self._move(one)]
            if fenced:
                raise Fenced(fenced)
            self._copy_cells(ordered)
            self._copy_dead_letters(ordered)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, name="sistercity process")
        return self._connection

    def _move(self, one: Progress) -> bool:
        position = one.position
        values = [getattr(position, name) for name in _POSITION[:4]]
        values += [getattr(position.account, name) for name in _NUMBERS]
        moved = self._open().execute(
            sql.SQL(
                "UPDATE stream_offsets SET ({}) = ROW({}) WHERE topic = %s AND partition = %s AND epoch = %s"
                " AND next_offset = %s"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, _POSITION)),
                sql.SQL(", ").join([sql.Placeholder()] * len(_POSITION)),
            ),
            [*values, *one.place, one.epoch, one.expected_offset],
        )
        return moved.rowcount == 1

    def _copy_cells(self, progress: Sequence[Progress]) -> None:
        if not any(one.cells for one in progress):
            return
        with self._open().cursor().copy(f"COPY cells ({_CELL}) FROM STDIN") as copy:
            for one in progress:
                for cell in one.cells:
                    copy.write_row(_cell_row(one.place, cell))

    def _copy_dead_letters(self, progress: Sequence[Progress]) -> None:
        if not any(one.dead_letters for one in progress):
            return
        into = 'COPY dead_letters (topic, partition, "offset", row, reason, original) FROM STDIN'
        with self._open().cursor().copy(into) as copy:
            for one in progress:
                for letter in one.dead_letters:
                    copy.write_row((*one.place, letter.offset, letter.row, letter.reason, letter.original))


class _Unavailable:
    """Turns a broken connection into `StoreUnavailable`, and drops it so that the next call opens another."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            self._store.close()
            raise StoreUnavailable(f"PostgreSQL: {error}") from error


def _cell_row(place: Place, cell: Cell) -> tuple[object, ...]:
    return (
        cell.metric,
        moment(cell.window_start),
        moment(cell.window_end),
        cell.area,
        cell.class_,
        *place,
        cell.value,
        cell.readings,
        cell.contributors,
        cell.largest,
        cell.absolute,
        cell.covered_ms,
        cell.first_offset,
        cell.last_offset,
        cell.incomplete,
    )


def _check_topic(topic: str, known: object, found: tuple[str, str, int]) -> None:
    if known != found:
        raise TopicChanged(
            f"{topic} is not the topic that was processed before: cluster, topic id and partitions were {known} and are"
            f" {found}. The stored offsets do not fit it. Give the new topic another name, or bring the old one back."
        )


class MemoryStore:
    """Keeps the promises of `Store` in memory, and shows what it holds."""

    def __init__(self) -> None:
        self.cells: dict[tuple[object, ...], tuple[Place, Cell]] = {}
        self.dead_letters: dict[tuple[Place, int, int], DeadLetter] = {}
        self._topics: dict[str, tuple[str, str, int]] = {}
        self._positions: dict[Place, tuple[int, Position]] = {}

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        found = (cluster_id, topic_id, partitions)
        _check_topic(topic, self._topics.setdefault(topic, found), found)
        for number in range(partitions):
            self._positions.setdefault(Place(topic, number), (0, Position()))

    def claim(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, Position]]:
        for place in places:
            if place not in self._positions:
                raise TopicChanged(f"{place.topic} had no partition {place.partition} when its processing began")
            epoch, position = self._positions[place]
            self._positions[place] = (epoch + 1, position)
        return {place: self._positions[place] for place in places}

    def commit(self, progress: Sequence[Progress]) -> None:
        fenced = [one.place for one in progress if self._stands(one.place) != (one.epoch, one.expected_offset)]
        if fenced:
            raise Fenced(fenced)
        for one in progress:
            if not one.position.account.balanced() or one.position.resume_offset > one.position.next_offset:
                raise ValueError(f"a constraint is violated: {one.position}")
            _insert(self.cells, {_key(one.place, cell): (one.place, cell) for cell in one.cells})
            _insert(self.dead_letters, {(one.place, dead.offset, dead.row): dead for dead in one.dead_letters})
            self._positions[one.place] = (one.epoch, replace(one.position))

    def position(self, place: Place) -> Position:
        """Where a partition stands."""
        return self._positions[place][1]

    def _stands(self, place: Place) -> tuple[int, int]:
        epoch, position = self._positions[place]
        return epoch, position.next_offset


def _insert(table: dict[Any, Any], rows: Mapping[Any, Any]) -> None:
    twice = table.keys() & rows.keys()
    if twice:
        raise ValueError(f"a primary key is violated: {twice}")
    table.update(rows)


def _key(place: Place, cell: Cell) -> tuple[object, ...]:
    return (cell.metric, cell.window_start, cell.area, cell.class_, place.topic)
