"""The generations of a dataset's topic: a later one has more partitions, and takes the readings from a time on (R5).

The first generation is not stored: it has no beginning. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errors import OperatorError
from store.database import Connection
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class Generation:
    """A later topic of a dataset: its number (2 is the first), the first time that it takes, and its partitions."""

    dataset: str
    number: int
    begins_ms: int
    partitions: int


class TooSoon(OperatorError):
    """A generation may not begin so soon: a process that ingests might not know of it by then."""


def generations(connection: Connection) -> Mapping[str, Sequence[Generation]]:
    """Dataset -> its later generations, in order; datasets with one topic are left out."""
    found: dict[str, list[Generation]] = {}
    for dataset, number, begins, partitions in connection.execute(
        "SELECT dataset, generation, begins_at, partitions FROM stream_generations ORDER BY dataset, generation"
    ):
        found.setdefault(dataset, []).append(Generation(dataset, number, milliseconds(begins), partitions))
    return found


def add_generation(connection: Connection, generation: Generation, *, lead_ms: int) -> None:
    """Store the next generation of a dataset. It begins `lead_ms` or more after now, by the database's clock.

    Raises `TooSoon`, also if the generation before begins later, and `psycopg.errors.UniqueViolation` if the number is
    taken.
    """
    with connection.transaction():
        connection.execute("LOCK TABLE stream_generations IN SHARE ROW EXCLUSIVE MODE")
        row = connection.execute(
            "SELECT clock_timestamp(), (SELECT max(begins_at) FROM stream_generations WHERE dataset = %s)",
            (generation.dataset,),
        ).fetchone()
        assert row is not None
        now, latest = milliseconds(row[0]), None if row[1] is None else milliseconds(row[1])
        if generation.begins_ms < now + lead_ms:
            raise TooSoon(f"{generation.dataset} can't change in less than {lead_ms // 60_000} minutes from now")
        if latest is not None and generation.begins_ms <= latest:
            raise TooSoon(f"{generation.dataset} changes at a later time already")
        connection.execute(
            "INSERT INTO stream_generations (dataset, generation, begins_at, partitions) VALUES (%s, %s, %s, %s)",
            (generation.dataset, generation.number, moment(generation.begins_ms), generation.partitions),
        )
