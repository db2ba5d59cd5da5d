"""What an operator asks: how the streams' accounts stand, what was published and pulled, and the cells themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from store.database import Connection
from store.deliveries import Delivered, totals
from store.moments import milliseconds, moment
from store.processing import Account, Cell

_REASONS = "SELECT reason, count(*) FROM dead_letters WHERE topic = %s GROUP BY reason ORDER BY reason"
_NUMBERS = tuple(one.name for one in fields(Account))


@dataclass(frozen=True, slots=True)
class Stream:
    """One topic: the sum of its partitions' accounts, what Kafka acknowledged to ingest, and what came of it.

    `windows` counts closed windows per metric; `reasons` counts dead letters by reason.
    """

    topic: str
    account: Account
    acknowledged: Delivered
    windows: int
    publications: int
    cells_released: int
    cells_suppressed: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was pulled from one partner."""

    city: str
    url: str
    publications: int
    cells_released: int
    cells_suppressed: int


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera by its id in the register, and what became of its pictures so far."""

    source: str
    expected: int
    seen: int
    undecodable: int
    stale: int
    missing: int


def streams(connection: Connection) -> list[Stream]:
    """Every topic that was ever processed, by name."""
    numbers = ", ".join(f"sum({name})::bigint" for name in _NUMBERS)
    accounts = connection.execute(f"SELECT topic, {numbers} FROM stream_offsets GROUP BY topic ORDER BY topic")
    delivered = totals(connection)
    windows = dict(_pairs(connection, "SELECT topic, count(DISTINCT (metric, window_start)) FROM cells GROUP BY topic"))
    made = dict(_pairs(connection, "SELECT topic, count(*) FROM publications GROUP BY topic"))
    cells = _cells_by_status(connection)
    return [
        Stream(
            topic=topic,
            account=Account(*counts),
            acknowledged=delivered.get(topic, Delivered(0, 0)),
            windows=windows.get(topic, 0),
            publications=made.get(topic, 0),
            cells_released=cells.get((topic, "released"), 0),
            cells_suppressed=cells.get((topic, "suppressed"), 0),
            reasons=dict(
                connection.execute(
                    "SELECT reason, count(*) FROM dead_letters WHERE topic = %s GROUP BY reason ORDER BY reason",
                    (topic,),
                ).fetchall()
            ),
        )
        for topic, *counts in accounts.fetchall()
    ]


def pulled(connection: Connection) -> list[Pulled]:
    """Every partner that was ever pulled, by city."""
    rows = connection.execute(
        """
        SELECT city, url, (SELECT count(*) FROM partner_publications p WHERE p.city = partners.city),
               (SELECT count(*) FROM partner_cells c WHERE c.city = partners.city AND status = 'released'),
               (SELECT count(*) FROM partner_cells c WHERE c.city = partners.city AND status = 'suppressed')
        FROM partners ORDER BY city
        """
    )
    return [Pulled(*row) for row in rows]


def pulled_by_metric(connection: Connection) -> Mapping[tuple[str, str], int]:
    """(city, metric) -> how many publications were pulled."""
    rows = connection.execute("SELECT city, metric, count(*) FROM partner_publications GROUP BY city, metric")
    return {(city, metric): count for city, metric, count in rows}


def cameras(connection: Connection) -> list[Camera]:
    """Every camera whose pictures were looked at, by id."""
    rows = connection.execute(
        """
        SELECT source, sum(expected)::bigint, sum(seen)::bigint, sum(undecodable)::bigint, sum(stale)::bigint,
               sum(missing)::bigint
        FROM camera_pictures JOIN sources ON number = camera GROUP BY source ORDER BY source
        """
    )
    return [Camera(*row) for row in rows]


def refused(connection: Connection) -> Mapping[str, int]:
    """How many readings ingest refused before Kafka, by reason."""
    return dict(_pairs(connection, "SELECT reason, count(*) FROM source_dead_letters GROUP BY reason ORDER BY reason"))


def refused_by_origin(connection: Connection) -> Mapping[str, int]:
    """How many readings ingest refused before Kafka, by where they came from."""
    return dict(_pairs(connection, "SELECT origin, count(*) FROM source_dead_letters GROUP BY origin ORDER BY origin"))


def cells(connection: Connection, metric: str, start: int, end: int) -> Iterator[tuple[str, str, Cell]]:
    """Topic, area's name and cell of a metric's windows that begin in [start, end) milliseconds, in order of time."""
    rows = connection.execute(
        """
        SELECT topic, coalesce(areas.name, ''), metric, window_start, window_end, area, class, value, readings,
               contributors, largest, absolute, covered_ms, first_offset, last_offset, incomplete
        FROM cells LEFT JOIN areas ON areas.number = area
        WHERE metric = %s AND window_start >= %s AND window_start < %s
        ORDER BY window_start, area, class, topic
        """,
        (metric, moment(start), moment(end)),
    )
    for topic, name, of, begins, ends, *rest in rows:
        yield topic, name, Cell(of, milliseconds(begins), milliseconds(ends), *rest)


def _pairs(connection: Connection, query: str) -> list[tuple[str, int]]:
    return connection.execute(query).fetchall()


def _cells_by_status(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "SELECT topic, status, count(*) FROM published_cells JOIN publications USING (position) GROUP BY topic, status"
    )
    return {(topic, status): count for topic, status, count in rows}
