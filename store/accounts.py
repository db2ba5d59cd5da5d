"""The streams' accounts as operators and the city's page show them: per topic, per camera, per partner.

`stream_accounts` and `partner_totals` pass over every cell that was ever published or received: they are for the
operator. A page that anyone may request uses the other functions, which read a row per partition, reason or
publication.
Times are milliseconds since 1970, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from store.database import Connection
from store.deliveries import DeliveryTotals, totals
from store.moments import milliseconds
from store.processing import Account

_NUMBERS = ", ".join(f"sum({field.name})::bigint" for field in fields(Account))


@dataclass(frozen=True, slots=True)
class StreamAccount:
    """One topic: the sum of its partitions' accounts, what ingest has recorded as acknowledged, and what was published.

    The log is the truth of what was sent, and `acknowledged` a record that a sender writes after the fact: one that
    crashes in between leaves it short for good.

    `windows` counts the (metric, window) pairs that have cells; `reasons` counts dead letters (messages and rows);
    `stopped` holds, by partition, why it was stopped; `alarms` that its unread messages near their deletion;
    `withdrawn` counts the windows that were taken back.
    """

    topic: str
    account: Account
    acknowledged: DeliveryTotals
    windows: int
    publications: int
    cells_released: int
    cells_suppressed: int
    reasons: Mapping[str, int]
    stopped: Mapping[int, str]
    alarms: Mapping[int, str]
    withdrawn: int = 0

    @property
    def unrecorded(self) -> DeliveryTotals:
        """At least so much is in the log beyond what was recorded: of senders that crashed, or of other producers."""
        return DeliveryTotals(
            max(0, self.account.messages - self.acknowledged.messages),
            max(0, self.account.readings - self.acknowledged.readings),
        )


@dataclass(frozen=True, slots=True)
class PartnerTotals:
    """What was pulled from one partner; `withdrawn` are the windows that it has taken back."""

    city: str
    publications: int
    cells_released: int
    cells_suppressed: int
    withdrawn: int


class Reception(NamedTuple):
    """Publications received from a partner; `last_received` is None before the first."""

    publications: int
    last_received: int | None


@dataclass(frozen=True, slots=True)
class CameraUptime:
    """A camera by its id in the register: `expected` = `seen` + `undecodable` + `stale` + `missing` pictures."""

    source: str
    expected: int
    seen: int
    undecodable: int
    stale: int
    missing: int


def topic_accounts(connection: Connection) -> Mapping[str, Account]:
    """Topic -> the sum of its partitions' accounts, for every topic that was ever processed, by name."""
    rows = connection.execute(f"SELECT topic, {_NUMBERS} FROM stream_offsets GROUP BY topic ORDER BY topic")
    return {topic: Account(*counts) for topic, *counts in rows}


def dead_letter_reasons(connection: Connection) -> Mapping[str, Mapping[str, int]]:
    """Topic -> reason -> dead letters (messages and rows) ever stored, by name; topics without any are left out."""
    reasons: dict[str, dict[str, int]] = {}
    for topic, reason, count in connection.execute(
        "SELECT topic, reason, sum(letters)::bigint FROM dead_letter_counts GROUP BY 1, 2 ORDER BY 1, 2"
    ):
        reasons.setdefault(topic, {})[reason] = count
    return reasons


def stopped_partitions(connection: Connection) -> Mapping[str, Mapping[int, str]]:
    """Topic -> partition -> why it was stopped, in numerical order; topics without any are left out."""
    return _by_partition(
        connection,
        "SELECT topic, partition, stopped FROM stream_offsets WHERE stopped IS NOT NULL ORDER BY topic, partition",
    )


def retention_alarms(connection: Connection) -> Mapping[str, Mapping[int, str]]:
    """Topic -> partition -> how near its unread messages are to their deletion, where they are."""
    return _by_partition(
        connection,
        "SELECT topic, partition, retention_alarm FROM stream_offsets WHERE retention_alarm IS NOT NULL"
        " ORDER BY topic, partition",
    )


def _by_partition(connection: Connection, query: str) -> dict[str, dict[int, str]]:
    texts: dict[str, dict[int, str]] = {}
    for topic, partition, text in connection.execute(query):
        texts.setdefault(topic, {})[partition] = text
    return texts


def stream_accounts(connection: Connection) -> list[StreamAccount]:
    """Every topic that was ever processed, by name. Counts every published cell.

    Outside a transaction the accounts are read first: an account that has reached `acknowledged` is complete.
    """
    accounts = topic_accounts(connection)
    delivered, reasons = totals(connection), dead_letter_reasons(connection)
    windows = _counts(connection, "SELECT topic, count(DISTINCT (metric, window_start)) FROM cells GROUP BY topic")
    publications = _counts(connection, "SELECT topic, count(*) FROM publications GROUP BY topic")
    cells, stopped = _cells_by_status(connection), stopped_partitions(connection)
    alarms, withdrawn = retention_alarms(connection), _withdrawn(connection)
    return [
        StreamAccount(
            topic=topic,
            account=account,
            acknowledged=delivered.get(topic, DeliveryTotals(0, 0)),
            windows=windows.get(topic, 0),
            publications=publications.get(topic, 0),
            cells_released=cells.get((topic, "released"), 0),
            cells_suppressed=cells.get((topic, "suppressed"), 0),
            reasons=reasons.get(topic, {}),
            stopped=stopped.get(topic, {}),
            alarms=alarms.get(topic, {}),
            withdrawn=withdrawn.get(topic, 0),
        )
        for topic, account in accounts.items()
    ]


def receptions(connection: Connection) -> Mapping[str, Reception]:
    """City -> what was received from it, for every partner that was ever reached, by city."""
    rows = connection.execute(
        "SELECT partners.city, count(sequence), max(received_at) FROM partners"
        " LEFT JOIN partner_publications USING (city) GROUP BY partners.city ORDER BY partners.city"
    )
    return {city: Reception(count, None if at is None else milliseconds(at)) for city, count, at in rows}


def partner_totals(connection: Connection) -> list[PartnerTotals]:
    """Every partner that was ever reached, by city. Counts every cell that was received."""
    rows = connection.execute(
        """
        SELECT city, (SELECT count(*) FROM partner_publications p WHERE p.city = partners.city),
               (SELECT count(*) FROM partner_cells c WHERE c.city = partners.city AND status = 'released'),
               (SELECT count(*) FROM partner_cells c WHERE c.city = partners.city AND status = 'suppressed'),
               (SELECT count(DISTINCT (metric, window_start)) FROM partner_publications p
                WHERE p.city = partners.city AND kind = 'withdrawal')
        FROM partners ORDER BY city
        """
    )
    return [PartnerTotals(*row) for row in rows]


def receptions_by_metric(connection: Connection) -> Mapping[tuple[str, str], int]:
    """(city, metric) -> number of publications that were received."""
    rows = connection.execute("SELECT city, metric, count(*) FROM partner_publications GROUP BY city, metric")
    return {(city, metric): count for city, metric, count in rows}


def camera_uptimes(connection: Connection) -> list[CameraUptime]:
    """Every camera of which pictures were processed, by id."""
    rows = connection.execute(
        """
        SELECT source, sum(expected)::bigint, sum(seen)::bigint, sum(undecodable)::bigint, sum(stale)::bigint,
               sum(missing)::bigint
        FROM camera_pictures JOIN sources ON number = camera GROUP BY source ORDER BY source
        """
    )
    return [CameraUptime(*row) for row in rows]


def refusals_by_reason(connection: Connection) -> Mapping[str, int]:
    """Reason -> number of readings that ingest refused before Kafka."""
    query = "SELECT reason, sum(letters)::bigint FROM source_dead_letter_counts GROUP BY 1 ORDER BY 1"
    return _counts(connection, query)


def refusals_by_origin(connection: Connection) -> Mapping[str, int]:
    """Origin (file, simulator) -> number of readings that ingest refused before Kafka."""
    query = "SELECT origin, sum(letters)::bigint FROM source_dead_letter_counts GROUP BY 1 ORDER BY 1"
    return _counts(connection, query)


def _counts(connection: Connection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())


def _withdrawn(connection: Connection) -> dict[str, int]:
    """Topic -> how many windows of it were taken back."""
    return _counts(
        connection,
        "SELECT topic, count(DISTINCT (metric, window_start)) FROM publications WHERE kind = 'withdrawal'"
        " GROUP BY topic",
    )


def _cells_by_status(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "SELECT topic, status, count(*) FROM published_cells JOIN publications USING (position) GROUP BY topic, status"
    )
    return {(topic, status): count for topic, status, count in rows}
