"""What release 0.1.0 left in a city's database and topics goes on with this version, and means the same.

The recording is in `release_0_1_0/`; `tests.upgrade.record` says how it was made. The database is the real one. The
messages are replayed from the log in memory, which keeps the append times that the release's Kafka gave them: a message
appended again would have another one, and rows ahead of that clock are rejected (R4).
"""

import base64
from collections.abc import Mapping
from itertools import pairwise

import psycopg
import pytest

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from federation.disclosure.precision import rounded
from federation.publications.publisher import publish_due
from federation.publications.schedule import Stream
from federation.publications.slots import slot
from ingest.batches import tick
from node.backup.archive import opened
from node.backup.restoring import check_backup, restore_backup
from node.backup.taking import take_backup
from schemas.catalogue import catalogue, metrics_of
from schemas.topics import REGIONS, dataset_of
from store.accounts import stream_accounts
from store.database import connect
from store.inspection import newest_version
from store.migrations import migrate
from store.moments import milliseconds
from store.publications import Window
from tests.publishing import appender
from tests.system.streams import process_undisturbed, table
from tests.upgrade.recording import MESSAGES, PUBLICATIONS, TOPICS, restore, rows

pytestmark = pytest.mark.services

UNCHANGED = [topic for topic in TOPICS if dataset_of(topic) != REGIONS]
"""Of the still cameras' quarters of an hour became hours, under another name."""

NOT_SHOWN_ANY_MORE = ("traffic.regions", "traffic.density")

PARTITIONS = 4
DAY = 86_400_000
CONTRIBUTORS = 9
"""The column of `cells` that an upgrade changes: the release counted everyone who reported, this version whose amount
is not zero. What the release stored is replaced by what its other numbers prove, which may be fewer."""

ACCOUNTS = (
    "SELECT topic, partition, next_offset, event_time, messages, decoded, dead, converted, lost_messages, readings,"
    " aggregated, duplicate, late, rejected, open, lost FROM stream_offsets WHERE topic = ANY(%s) ORDER BY 1, 2"
)
CONTRIBUTORS_OF_CELLS = (
    "SELECT contributors FROM cells WHERE topic = ANY(%s) ORDER BY metric, window_start, area, class, topic"
)
PUBLISHED_CELLS = (
    "SELECT metric, sequence, area, class, status, value, coverage, rule"
    " FROM published_cells JOIN publications USING (position) ORDER BY metric, sequence, area, class"
)


class AppendTime:
    """The log's clock, set to each message's append time before the message is appended."""

    now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def recorded_log() -> tuple[MemoryLog, AppendTime]:
    """The topics of the release, offset by offset."""
    clock = AppendTime()
    log = MemoryLog(clock)
    for topic in TOPICS:
        log.create(topic, PARTITIONS, {})
    for message in MESSAGES:
        clock.now_ms = message["timestamp"]
        partition = TopicPartition(message["topic"], message["partition"])
        assert log.append(partition, _bytes(message["key"]), _bytes(message["value"])) == message["offset"]
    return log, clock


def test_the_same_messages_give_the_cells_dead_letters_and_account_of_the_release(
    recorded_log, restored_url, database_url
):
    log, _ = recorded_log
    process_undisturbed(log, TOPICS, database_url, "again")
    assert _cells_and_dead_letters(database_url) == _cells_and_dead_letters(restored_url)
    assert rows(database_url, ACCOUNTS, UNCHANGED) == rows(restored_url, ACCOUNTS, UNCHANGED)
    assert sum(account[-2] for account in rows(database_url, ACCOUNTS, UNCHANGED)) > 0  # some windows were left open
    upgraded, anew = (rows(url, CONTRIBUTORS_OF_CELLS, UNCHANGED) for url in (restored_url, database_url))
    assert all(kept <= counted for kept, counted in zip(upgraded, anew, strict=True))
    assert upgraded != anew


def test_what_the_release_published_stays_and_publishing_goes_on_where_it_ended(restored_url):
    released = rows(restored_url, PUBLICATIONS), rows(restored_url, PUBLISHED_CELLS)
    assert {row[4] for row in released[1]} == {"released", "suppressed"}
    assert {row[6] for row in released[1]} <= {"high", "medium", "low", None}
    # What showed single cars is gone.
    assert not {row[0] for row in released[0]} & {"traffic.regions", "traffic.density", "traffic.occupancy"}
    with connect(restored_url) as connection:
        streams = [Stream(topic, metrics_of(dataset_of(topic))) for topic in TOPICS]
        energy = [row for row in released[0] if row[0] == "energy.import"]
        last = Window(milliseconds(energy[-1][2]), milliseconds(energy[-1][3]))
        now = slot(catalogue()["energy.import"], last) + 3 * 3_600_000
        assert publish_due(appender(connection), streams, "Asia/Tehran", now)
    again = rows(restored_url, PUBLICATIONS), rows(restored_url, PUBLISHED_CELLS)
    assert set(released[0]) < set(again[0])
    assert set(released[1]) < set(again[1])
    windows = [row[2:4] for row in again[0] if row[0] == "energy.import"]
    assert all(before[1] == after[0] for before, after in pairwise(windows))


def test_what_the_release_published_exactly_is_rounded_by_the_upgrade(second_database_url):
    restore(second_database_url)
    query = "SELECT metric, value FROM published_cells JOIN publications USING (position) WHERE value IS NOT NULL"
    places = "SELECT position, area, class FROM published_cells JOIN publications USING (position)"
    places += " WHERE metric = 'energy.import' AND value IS NOT NULL ORDER BY 1, 2, 3 OFFSET %s LIMIT 1"
    edges = (5, -179_999_999, 180_000_000, 540_000_000, -540_000_000, 3_600_001_234_567, 2**62)
    with psycopg.connect(second_database_url) as connection:
        for place, value in enumerate(edges):
            update = f"UPDATE published_cells SET value = %s WHERE (position, area, class) = ({places})"
            connection.execute(update, (value, place))
    exact = [row for row in rows(second_database_url, query) if row[0] not in NOT_SHOWN_ANY_MORE]
    migrate(second_database_url)
    expected = sorted((metric, rounded(value, catalogue()[metric].base)) for metric, value in exact)
    assert sorted(rows(second_database_url, query)) == expected
    assert expected != sorted(exact)


def test_processing_goes_on_from_the_positions_of_the_release(recorded_log, restored_url, database_url):
    log, clock = recorded_log
    _are_the_topics_of(restored_url, log)
    latest = max(message["timestamp"] for message in MESSAGES)
    clock.now_ms = latest + 70 * DAY  # past the end of the month that the statements of the collection rounds open
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            log.append(TopicPartition(topic, partition), None, tick(dataset_of(topic), clock.now_ms))
    process_undisturbed(log, TOPICS, restored_url, "upgraded")
    process_undisturbed(log, TOPICS, database_url, "from-the-beginning")
    assert _cells_and_dead_letters(restored_url) == _cells_and_dead_letters(database_url)
    accounts = rows(restored_url, ACCOUNTS, UNCHANGED)
    assert accounts == rows(database_url, ACCOUNTS, UNCHANGED)
    assert sum(account[-2] for account in accounts) == 0
    of_regions = [topic for topic in TOPICS if topic not in UNCHANGED]
    for account, anew in zip(*(rows(url, ACCOUNTS, of_regions) for url in (restored_url, database_url)), strict=True):
        assert account[:10] == anew[:10]  # what came in
        assert account[-2] == anew[-2] == 0
        assert account[-1] >= anew[-1] == 0  # what was open at the upgrade is lost, and counted


def test_a_backup_taken_before_the_upgrade_is_restored_into_newer_tables_and_means_the_same(
    second_database_url, database_url, tmp_path
):
    restore(second_database_url)
    file = tmp_path / "a.zip"
    made = take_backup(second_database_url, "isfahan", tmp_path / "none", file, taken_at="", software="", not_taken=())
    assert made.tables_version != newest_version()
    with opened(file) as backup:
        check_backup(backup, "isfahan")
        assert restore_backup(backup, database_url) == []
    migrate(second_database_url)
    assert rows(database_url, PUBLISHED_CELLS) == rows(second_database_url, PUBLISHED_CELLS) != []
    assert rows(database_url, PUBLICATIONS) == rows(second_database_url, PUBLICATIONS)
    assert _cells_and_dead_letters(database_url) == _cells_and_dead_letters(second_database_url)
    assert rows(database_url, ACCOUNTS, TOPICS) == rows(second_database_url, ACCOUNTS, TOPICS)


def test_the_account_of_the_release_is_shown_and_balanced(restored_url):
    with connect(restored_url) as connection:
        accounts = stream_accounts(connection)
    assert {account.topic for account in accounts} >= set(TOPICS)
    assert all(account.account.balanced() for account in accounts)
    counted = {account.topic: dict(account.reasons) for account in accounts if account.reasons}
    letters = rows(restored_url, "SELECT topic, reason, count(*) FROM dead_letters GROUP BY topic, reason")
    assert sorted((topic, *count) for topic, reasons in counted.items() for count in reasons.items()) == sorted(letters)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _cells_and_dead_letters(database_url: str) -> Mapping[str, list]:
    """Those of the recorded topics; pictures were not recorded."""
    everything = table(database_url)
    return {
        "cells": [row[:CONTRIBUTORS] + row[CONTRIBUTORS + 1 :] for row in everything["cells"] if row[5] in UNCHANGED],
        "dead": [letter for letter in everything["dead"] if letter[0] in TOPICS],
    }


def _are_the_topics_of(database_url: str, log: MemoryLog) -> None:
    """The log in memory has ids of its own: enter them as those that the release processed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for topic in TOPICS:
            facts = log.describe(topic)
            connection.execute(
                "UPDATE stream_topics SET cluster_id = %s, topic_id = %s WHERE topic = %s",
                (facts.cluster_id, facts.topic_id, topic),
            )
