"""Dead letters and refused readings are counted once each, and no view or claim reads all of them."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from api.own.page.content import gather
from schemas.catalogue import catalogue
from store.accounts import dead_letter_reasons, refusals_by_origin, refusals_by_reason, stream_accounts
from store.database import Connection, connect
from store.dead_letters import record_relayed, relay_partitions, unrelayed, waiting_letters
from store.deliveries import Refused, refusals, refuse
from store.processing_postgres import PostgresStore
from tests.federation.city import ISFAHAN
from tests.soak import amount, soak

pytestmark = pytest.mark.services

TOPIC = "isfahan.energy.readings.v1"
LETTERS = amount(20_000, soak=200_000)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


@pytest.fixture
def crowded_url(database_url: str) -> str:
    """A database with `LETTERS` letters of each kind; the open windows of partition 0 begin before the last 100."""
    with closing(PostgresStore(database_url)) as store:
        store.register_topic(TOPIC, "cluster", "topic-id", 2)
    with connect(database_url) as opened:
        opened.execute(
            """
            INSERT INTO dead_letters (topic, partition, "offset", row, reason, original)
            SELECT %s, 0, n, n %% 3 - 1, CASE WHEN n %% 3 = 0 THEN 'cut' ELSE 'future' END, '\\x00'
            FROM generate_series(0, %s - 1) AS n
            """,
            (TOPIC, LETTERS),
        )
        opened.execute(
            "INSERT INTO source_dead_letters SELECT 'file', n, 'missing', '' FROM generate_series(1, %s) AS n",
            (LETTERS,),
        )
        opened.execute(
            "UPDATE stream_offsets SET next_offset = %s, resume_offset = %s WHERE partition = 0",
            (LETTERS, LETTERS - 100),
        )
        opened.execute("ANALYZE")
    return database_url


def letters_read(connection: Connection) -> int:
    """How many rows and index entries of both tables were read so far, by this session and all that have ended."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        """
        SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = ANY(%(tables)s))
             + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY(%(tables)s))
        """,
        {"tables": ["dead_letters", "source_dead_letters"]},
    ).fetchone()
    assert row is not None
    return int(row[0])


@soak
def test_a_view_of_the_account_reads_no_letter(crowded_url: str) -> None:
    with connect(crowded_url) as connection:
        before = letters_read(connection)
        gather(connection, ISFAHAN, catalogue(), 0)
        account, *_ = stream_accounts(connection)
        assert refusals(connection, "file") == {"missing": LETTERS}
        assert refusals_by_origin(connection) == {"file": LETTERS}
        assert letters_read(connection) == before
    assert account.reasons == {"cut": LETTERS // 3 + 1, "future": LETTERS - LETTERS // 3 - 1}


@soak
def test_a_replay_reads_the_letters_that_it_meets_and_a_claim_none(crowded_url: str) -> None:
    with closing(PostgresStore(crowded_url)) as store:
        before = letters_read(store._open())
        store.claim([(TOPIC, 0), (TOPIC, 1)])
        assert letters_read(store._open()) == before
        met = store.settled((TOPIC, 0), LETTERS - 100, LETTERS - 40)
        assert met == {(offset, offset % 3 - 1) for offset in range(LETTERS - 100, LETTERS - 40)}
        assert letters_read(store._open()) - before <= 2 * len(met)


def age(connection: Connection, days: int, where: str = "true") -> None:
    connection.execute(f"UPDATE dead_letters SET at = now() - make_interval(days => {days}) WHERE {where}")


def test_old_letters_are_removed_except_those_that_a_replay_may_meet(connection: Connection, database_url: str) -> None:
    with closing(PostgresStore(database_url)) as store:
        store.register_topic(TOPIC, "cluster", "topic-id", 2)
        connection.execute("UPDATE stream_offsets SET next_offset = 100, resume_offset = 50 WHERE partition = 0")
        for partition, offset, cut in ((0, 49, 0), (0, 50, 0), (0, 48, 0), (1, 0, 0), (0, 70, 1)):
            insert = "INSERT INTO dead_letters VALUES (%s, %s, %s, -1, 'cut', '', now(), %s)"
            connection.execute(insert, (TOPIC, partition, offset, cut))
        age(connection, 31)
        age(connection, 29, '"offset" = 48')
        assert store.prune_dead_letters(30, 10) == 2
        left = connection.execute('SELECT partition, "offset" FROM dead_letters ORDER BY 1, 2').fetchall()
        assert left == [(0, 48), (0, 50), (1, 0)]
        assert dead_letter_reasons(connection) == {TOPIC: {"cut": 5}}


def test_letters_that_wait_for_the_relay_are_kept_for_twice_as_long(connection: Connection, database_url: str) -> None:
    with closing(PostgresStore(database_url)) as store:
        store.register_topic(TOPIC, "cluster", "topic-id", 2)
        connection.execute("UPDATE stream_offsets SET next_offset = 100, resume_offset = 100")
        columns = 'topic, partition, "offset", row, reason, original'
        insert = f"INSERT INTO dead_letters ({columns}) VALUES (%s, %s, %s, -1, %s, '')"
        for partition, offset in ((0, 0), (0, 1), (0, 2), (1, 0)):
            connection.execute(insert, (TOPIC, partition, offset, "cut"))
        assert waiting_letters(connection) is None  # the relay was never used
        first = unrelayed(connection, (TOPIC, 0), 1)[0].number
        record_relayed(connection, (TOPIC, 0), first)
        age(connection, 31)
        waiting = waiting_letters(connection)
        assert waiting is not None
        assert waiting.letters == 2
        assert store.prune_dead_letters(30, 10) == 2
        left = connection.execute('SELECT partition, "offset" FROM dead_letters ORDER BY 1, 2').fetchall()
        assert left == [(0, 1), (0, 2)]
        age(connection, 61, '"offset" = 1')
        assert store.prune_dead_letters(30, 10) == 1


def test_what_ingest_refused_is_removed_when_it_is_old_and_its_count_stays(
    connection: Connection, database_url: str
) -> None:
    with closing(PostgresStore(database_url)) as store:
        refuse(connection, "meters", [Refused(position, "unknown-source", b"?") for position in range(3)])
        connection.execute("UPDATE source_dead_letters SET at = now() - make_interval(days => 31) WHERE position < 2")
        assert [store.prune_dead_letters(30, 1) for _ in range(3)] == [1, 1, 0]
        assert connection.execute("SELECT position FROM source_dead_letters").fetchall() == [(2,)]
        assert refusals(connection, "meters") == {"unknown-source": 3}


@soak
def test_what_was_not_relayed_is_found_without_reading_the_rest(crowded_url: str) -> None:
    partition = (TOPIC, 0)
    with connect(crowded_url) as connection:
        assert relay_partitions(connection) == [(TOPIC, 0), (TOPIC, 1)]
        record_relayed(connection, partition, LETTERS - 30)
        record_relayed(connection, partition, 5)  # an older copy ends later
        before = letters_read(connection)
        some = unrelayed(connection, partition, 20)
        assert [numbered.number for numbered in some] == list(range(LETTERS - 29, LETTERS - 9))
        assert letters_read(connection) - before <= 100


@soak
def test_removing_old_letters_reads_only_these(crowded_url: str) -> None:
    with closing(PostgresStore(crowded_url)) as store:
        connection = store._open()
        age(connection, 31, '"offset" < 50')
        connection.execute("VACUUM ANALYZE dead_letters")
        before = letters_read(connection)
        assert [store.prune_dead_letters(30, 40) for _ in range(3)] == [40, 10, 0]
        assert letters_read(connection) - before <= 200


def test_a_letter_is_counted_by_its_reason_in_its_own_transaction(connection: Connection) -> None:
    columns = 'topic, partition, "offset", row, reason, original'
    insert = f"INSERT INTO dead_letters ({columns}) VALUES (%s, %s, %s, 0, %s, '')"
    for partition, offset, reason in ((0, 1, "cut"), (0, 2, "cut"), (1, 1, "cut"), (1, 2, "future")):
        connection.execute(insert, (TOPIC, partition, offset, reason))
    with connection.transaction(force_rollback=True):
        connection.execute(insert, (TOPIC, 0, 3, "cut"))
    assert dead_letter_reasons(connection) == {TOPIC: {"cut": 3, "future": 1}}


def test_a_reading_that_is_refused_again_is_not_counted_again(connection: Connection) -> None:
    refuse(connection, "file", [Refused(n, "missing", b"") for n in range(5)])
    refuse(connection, "file", [Refused(n, "missing", b"") for n in range(3, 7)])
    refuse(connection, "other", [Refused(1, "odd", b"")])
    refuse(connection, "other", [])
    assert refusals_by_origin(connection) == {"file": 7, "other": 1}
    assert refusals_by_reason(connection) == {"missing": 7, "odd": 1}
