"""What a city's page tells of its streams and its partners.

The same account as `store.overview` has for the operator, without what costs a pass over every cell ever published:
whoever opens the page must not be able to keep the database busy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from store.database import Connection
from store.moments import milliseconds
from store.processing import Account

_NUMBERS = tuple(one.name for one in fields(Account))


@dataclass(frozen=True, slots=True)
class Standing:
    """One topic: the sum of its partitions' accounts, and its dead letters (messages and rows) by reason."""

    topic: str
    account: Account
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Followed:
    """What came from one partner. `received_at` is when the last of it did (ms since 1970, UTC), None before any."""

    city: str
    publications: int
    received_at: int | None


def standings(connection: Connection) -> list[Standing]:
    """Every topic that was ever processed, by name."""
    reasons: dict[str, dict[str, int]] = {}
    for topic, reason, count in connection.execute(
        "SELECT topic, reason, count(*) FROM dead_letters GROUP BY topic, reason ORDER BY topic, reason"
    ):
        reasons.setdefault(topic, {})[reason] = count
    numbers = ", ".join(f"sum({name})::bigint" for name in _NUMBERS)
    accounts = connection.execute(f"SELECT topic, {numbers} FROM stream_offsets GROUP BY topic ORDER BY topic")
    return [Standing(topic, Account(*counts), reasons.get(topic, {})) for topic, *counts in accounts]


def followed(connection: Connection) -> list[Followed]:
    """Every partner that was ever reached, by city."""
    rows = connection.execute(
        "SELECT partners.city, count(sequence), max(received_at) FROM partners"
        " LEFT JOIN partner_publications USING (city) GROUP BY partners.city ORDER BY partners.city"
    )
    return [Followed(city, count, None if at is None else milliseconds(at)) for city, count, at in rows]
