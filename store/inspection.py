"""Queries of `sistercity doctor`. Nothing is written.

Times are milliseconds since 1970, UTC.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from alembic.script import ScriptDirectory

from store.accounts import stopped_partitions
from store.areas import version_at
from store.database import Connection, DatabaseUrl, connect
from store.migrations import migrations
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class RegisteredSources:
    """A metric's register at a time: the number of valid sources, and of areas in the version that is valid."""

    sources: int
    areas: int


@dataclass(frozen=True, slots=True)
class ProcessedTopic:
    """A topic as it was when its processing began.

    By partition: `next_offsets`, below which everything is accounted for, and `resume_offsets`, the first offset that
    an open window needs. `stopped`: the reasons of partitions that were stopped.
    """

    cluster_id: str
    topic_id: str
    partitions: int
    next_offsets: Mapping[int, int]
    resume_offsets: Mapping[int, int]
    stopped: Mapping[int, str]


@contextmanager
def read_only_connection(database_url: DatabaseUrl, limit_s: int) -> Iterator[Connection]:
    """A connection that can't write, and on which no statement or lock takes longer than `limit_s` seconds."""
    with connect(database_url, name="sistercity doctor", wait_s=limit_s) as connection:
        connection.execute(
            "SELECT set_config('default_transaction_read_only', 'on', false),"
            " set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)",
            (f"{limit_s}s", f"{limit_s}s"),
        )
        yield connection


def clock(connection: Connection) -> int:
    """The time of the database's clock."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return milliseconds(row[0])


def version(connection: Connection) -> str | None:
    """The version of the tables; None if the database has none of ours."""
    found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def newest_version() -> str | None:
    """The version of the tables that this program needs."""
    with migrations() as config:
        head: str | None = ScriptDirectory.from_config(config).get_current_head()
    return head


def known_versions() -> frozenset[str]:
    """Every version that this program can migrate to the newest."""
    with migrations() as config:
        return frozenset(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())


def registered(connection: Connection, at_ms: int) -> Mapping[str, RegisteredSources]:
    """Metric -> its register at `at_ms`; metrics without a valid source are left out."""
    rows = connection.execute(
        "SELECT metric, count(*) FROM sources WHERE valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)"
        " GROUP BY metric",
        {"at": moment(at_ms)},
    ).fetchall()
    return {metric: RegisteredSources(sources, _areas(connection, metric, at_ms)) for metric, sources in rows}


def _areas(connection: Connection, metric: str, at_ms: int) -> int:
    valid = version_at(connection, metric, at_ms)
    row = connection.execute("SELECT count(*) FROM areas WHERE version = %s", (valid,)).fetchone()
    return 0 if row is None else int(row[0])


def unusual_contributors(connection: Connection) -> int:
    """How many contributors, at most 1,000, are spelled otherwise than loads spell them: such an id may count twice.

    They are from a release that took every spelling for an id of its own, and not one with another.
    """
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM contributors WHERE same_as IS NULL AND (contributor ~ '^\\s|\\s$'"
        " OR (octet_length(contributor) <> char_length(contributor) AND (contributor IS NOT NFC NORMALIZED"
        " OR contributor ~ '[\u0643\u0649\u064a\u0660-\u0669\u06f0-\u06f9]'))) LIMIT 1000) unusual"
    ).fetchone()
    return 0 if row is None else int(row[0])


def processed(connection: Connection) -> Mapping[str, ProcessedTopic]:
    """Topic -> its state, for every topic that was ever processed."""
    following: dict[str, dict[int, int]] = defaultdict(dict)
    resume: dict[str, dict[int, int]] = defaultdict(dict)
    positions = connection.execute("SELECT topic, partition, next_offset, resume_offset FROM stream_offsets")
    for topic, partition, next_offset, resume_offset in positions:
        following[topic][partition], resume[topic][partition] = next_offset, resume_offset
    stopped = stopped_partitions(connection)
    rows = connection.execute("SELECT topic, cluster_id, topic_id, partitions FROM stream_topics")
    return {
        topic: ProcessedTopic(cluster_id, topic_id, partitions, following[topic], resume[topic], stopped.get(topic, {}))
        for topic, cluster_id, topic_id, partitions in rows
    }
