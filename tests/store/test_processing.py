"""The Protocol `store.processing.Store`, tested with the store in memory and with PostgreSQL."""

from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from eventlog.protocol import Acknowledged
from store.accounts import retention_alarms, stopped_partitions
from store.database import connect
from store.deliveries import DeliveryTotals, totals
from store.detectors import Detector, DetectorUse, detectors
from store.processing import (
    Account,
    Amounts,
    CameraCount,
    Cell,
    Claim,
    DeadLetter,
    FeederTime,
    Fenced,
    LateReadings,
    Partition,
    PartitionCommit,
    Position,
    Step,
    StoreUnavailable,
    TopicChanged,
)
from store.processing_memory import MemoryStore
from store.processing_postgres import PostgresStore

TOPIC = "isfahan.energy.readings.v1"
HERE, THERE = (TOPIC, 0), (TOPIC, 1)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.services)])
def store(request):
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = PostgresStore(request.getfixturevalue("database_url"))
    yield opened
    opened.close()


@pytest.fixture
def registered(store):
    store.register_topic(TOPIC, "cluster", "topic-id", 2)
    return store


def cell(start: int) -> Cell:
    amounts = Amounts(10, 2, 2, largest=6, absolute=10, covered_ms=1_800_000, first_offset=0, last_offset=4)
    return Cell("energy.import", start, start + 3_600_000, 7, "residential", amounts, incomplete=False)


def commit(partition: Partition, epoch: int, expected: int, next_offset: int, **content) -> PartitionCommit:
    some = Account(messages=next_offset, decoded=next_offset, readings=6, aggregated=4, open=2)
    time = content.pop("time", 1_790_000_000_000)
    position = Position(next_offset, max(0, next_offset - 2), time, None, 3, 5, content.pop("account", some))
    cut = content.pop("cut", None)
    position = replace(position, feeders=content.pop("feeders", ()))
    step = Step(position, **{"cells": (), "dead_letters": (), **content})
    return PartitionCommit(partition, epoch, expected, step, cut)


def test_a_new_partition_starts_at_offset_0_with_an_empty_account(registered):
    assert registered.claim([HERE]) == {HERE: Claim(1, Position())}


def test_what_was_committed_is_what_the_next_owner_gets(registered):
    registered.claim([HERE])
    done = commit(HERE, 1, 0, 5, cells=[cell(0)], dead_letters=[DeadLetter(3, -1, "cut", b"\x00\xff")])
    registered.commit([done])
    assert registered.claim([HERE]) == {HERE: Claim(2, done.step.position)}


def test_the_dead_letters_of_some_offsets_of_a_partition_are_found(registered):
    registered.claim([HERE, THERE])
    letters = [DeadLetter(offset, row, "cut", b"") for offset, row in ((1, -1), (2, 0), (2, 7), (4, -1))]
    registered.commit([
        commit(HERE, 1, 0, 5, dead_letters=letters),
        commit(THERE, 1, 0, 5, dead_letters=[DeadLetter(3, -1, "cut", b"")]),
    ])  # fmt: skip
    assert registered.settled(HERE, 2, 4) == {(2, 0), (2, 7)}
    assert registered.settled(HERE, 1, 3) == {(1, -1), (2, 0), (2, 7)}
    assert registered.settled(THERE, 0, 3) == set()


def test_the_stored_position_says_whether_a_commit_took_effect(registered):
    registered.claim([HERE])
    assert registered.stored([HERE, THERE]) == {HERE: (1, Position()), THERE: (0, Position())}
    done = commit(HERE, 1, 0, 5)
    registered.commit([done])
    assert registered.stored([HERE]) == {HERE: (1, done.step.position)}
    registered.claim([HERE])
    assert registered.stored([HERE]) == {HERE: (2, done.step.position)}


def test_a_store_that_answers_can_be_connected_to(store):
    store.connect()
    store.connect()


def test_an_older_epoch_commits_nothing(registered):
    registered.claim([HERE])
    registered.claim([HERE])
    with pytest.raises(Fenced) as fenced:
        registered.commit([commit(HERE, 1, 0, 5)])
    assert fenced.value.partitions == (HERE,)
    assert registered.claim([HERE])[HERE].position == Position()


def test_a_moved_offset_commits_nothing(registered):
    registered.claim([HERE])
    registered.commit([commit(HERE, 1, 0, 5)])
    with pytest.raises(Fenced):
        registered.commit([commit(HERE, 1, 0, 6)])


def test_one_fenced_partition_holds_back_the_whole_commit(registered):
    registered.claim([HERE, THERE])
    registered.claim([THERE])
    with pytest.raises(Fenced) as fenced:
        registered.commit([commit(HERE, 1, 0, 5, cells=[cell(0)]), commit(THERE, 1, 0, 5)])
    assert fenced.value.partitions == (THERE,)
    registered.commit([commit(HERE, 1, 0, 5, cells=[cell(0)])])


def test_another_topic_under_the_same_name_is_refused(registered):
    registered.register_topic(TOPIC, "cluster", "topic-id", 2)
    for changed in (("other", "topic-id", 2), ("cluster", "other", 2), ("cluster", "topic-id", 3)):
        with pytest.raises(TopicChanged):
            registered.register_topic(TOPIC, *changed)


def test_a_partition_that_the_topic_did_not_have_is_refused(registered):
    with pytest.raises(TopicChanged):
        registered.claim([(TOPIC, 2)])


def test_an_account_that_does_not_add_up_is_refused_by_the_store(registered):
    registered.claim([HERE])
    with pytest.raises((ValueError, psycopg.errors.CheckViolation)):
        registered.commit([commit(HERE, 1, 0, 5, account=Account(messages=5, decoded=5, readings=9, open=8))])


def test_a_cell_can_not_be_written_twice(registered):
    registered.claim([HERE])
    registered.commit([commit(HERE, 1, 0, 5, cells=[cell(0)])])
    with pytest.raises((ValueError, psycopg.errors.UniqueViolation)):
        registered.commit([commit(HERE, 1, 5, 6, cells=[cell(0)])])
    registered.commit([commit(HERE, 1, 5, 6, cells=[cell(3_600_000)])])


@pytest.mark.services
def test_a_cut_connection_is_reported_and_the_next_call_connects_again(database_url):
    store = PostgresStore(database_url)
    store.register_topic(TOPIC, "cluster", "topic-id", 2)
    store.claim([HERE])
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '%process'"
        )
    with pytest.raises(StoreUnavailable):
        store.commit([commit(HERE, 1, 0, 5)])
    store.commit([commit(HERE, 1, 0, 5)])
    store.close()


def test_the_feeders_of_a_partition_are_claimed_with_its_position(registered):
    feeders = FeederTime("", 1_790_000_000_000, 1_790_000_900_000), FeederTime("cafés", 0, 1_790_000_900_001)
    registered.claim([HERE])
    moved = commit(HERE, 1, 0, 5)
    position = replace(moved.step.position, feeders=feeders)
    registered.commit([replace(moved, step=replace(moved.step, position=position))])
    assert registered.claim([HERE])[HERE].position == position
    assert registered.claim([THERE])[THERE].position.feeders == ()


HOUR = 3_600_000


def late(start: int, first: int, last: int, readings: int, until: int = 1_800_000_000_000) -> LateReadings:
    return LateReadings("energy.import", start * HOUR, (start + 1) * HOUR, until, first, last, readings)


def test_late_readings_of_a_window_add_up_over_commits(registered):
    registered.claim([HERE, THERE])
    registered.commit([commit(HERE, 1, 0, 5, late=[late(7, 1, 3, 2)]), commit(THERE, 1, 0, 5, late=[late(7, 0, 0, 1)])])
    registered.commit([commit(HERE, 1, 5, 9, late=[late(7, 2, 8, 4), late(8, 6, 6, 1)])])
    assert kept(registered) == {
        (HERE, 7 * HOUR): late(7, 1, 8, 6),
        (HERE, 8 * HOUR): late(8, 6, 6, 1),
        (THERE, 7 * HOUR): late(7, 0, 0, 1),
    }


def test_late_readings_are_dropped_when_their_time_has_passed(registered):
    registered.claim([HERE, THERE])
    passing = [late(7, 1, 3, 2, until=1_790_000_000_000), late(8, 1, 3, 2, until=1_790_000_000_001)]
    earlier = 1_700_000_000_000
    registered.commit(
        [commit(HERE, 1, 0, 5, late=passing, time=earlier), commit(THERE, 1, 0, 5, late=passing[:1], time=earlier)]
    )
    assert len(kept(registered)) == 3
    registered.commit([commit(HERE, 1, 5, 9, late=[late(9, 6, 6, 1)], time=1_790_000_000_000)])
    assert set(kept(registered)) == {(HERE, 8 * HOUR), (HERE, 9 * HOUR), (THERE, 7 * HOUR)}


def test_a_refused_commit_keeps_no_late_readings(registered):
    registered.claim([HERE])
    registered.claim([HERE])
    with pytest.raises(Fenced):
        registered.commit([commit(HERE, 1, 0, 5, late=[late(7, 1, 3, 2)])])
    assert kept(registered) == {}


def test_late_readings_that_a_log_lost_are_forgotten(registered):
    registered.claim([HERE, THERE])
    noted = [late(7, 1, 3, 2), late(8, 2, 6, 4), late(9, 5, 6, 1)]
    registered.commit([commit(HERE, 1, 0, 8, late=noted), commit(THERE, 1, 0, 8, late=noted[2:])])
    registered.commit([commit(HERE, 1, 8, 6, cut=5, late=[late(10, 5, 5, 1)])])
    assert kept(registered) == {
        (HERE, 7 * HOUR): late(7, 1, 3, 2),
        (HERE, 8 * HOUR): late(8, 2, 4, 4),
        (HERE, 10 * HOUR): late(10, 5, 5, 1),
        (THERE, 9 * HOUR): late(9, 5, 6, 1),
    }


def kept(store) -> dict[tuple[Partition, int], LateReadings]:
    if isinstance(store, MemoryStore):
        return {(partition, start): of_window for (partition, _, start), of_window in store.late.items()}
    with psycopg.connect(store._url) as connection:
        rows = connection.execute(
            "SELECT topic, partition, metric, (extract(epoch FROM window_start) * 1000)::bigint,"
            " (extract(epoch FROM window_end) * 1000)::bigint, until, first_offset, last_offset, readings"
            " FROM late_readings"
        )
        return {((topic, partition), row[1]): LateReadings(*row) for topic, partition, *row in rows.fetchall()}


def test_pictures_of_a_camera_add_up_over_commits_and_partitions(registered):
    one, other = CameraCount(7, 0, 4, 1, 1, 1, 1), CameraCount(7, 0, 2, 2, 0, 0, 0)
    registered.claim([HERE, THERE])
    registered.commit([
        commit(HERE, 1, 0, 5, cameras=[one, CameraCount(8, 0, 1, 1, 0, 0, 0)]),
        commit(THERE, 1, 0, 5, cameras=[other]),
    ])  # fmt: skip
    registered.commit([commit(HERE, 1, 5, 6, cameras=[one, CameraCount(7, 3_600_000, 1, 0, 0, 0, 1)])])
    assert pictures(registered) == [
        CameraCount(7, 0, 10, 4, 2, 2, 2),
        CameraCount(7, 3_600_000, 1, 0, 0, 0, 1),
        CameraCount(8, 0, 1, 1, 0, 0, 0),
    ]


def test_a_refused_commit_counts_no_pictures(registered):
    registered.claim([HERE])
    registered.claim([HERE])
    with pytest.raises(Fenced):
        registered.commit([commit(HERE, 1, 0, 5, cameras=[CameraCount(7, 0, 1, 1, 0, 0, 0)])])
    assert pictures(registered) == []


def pictures(store) -> list[CameraCount]:
    if isinstance(store, MemoryStore):
        return [store.cameras[key] for key in sorted(store.cameras)]
    with psycopg.connect(store._url) as connection:
        rows = connection.execute(
            "SELECT camera, (extract(epoch FROM hour) * 1000)::bigint, expected, seen, undecodable, stale, missing"
            " FROM camera_pictures ORDER BY camera, hour"
        )
        return [CameraCount(*row) for row in rows.fetchall()]


def test_the_deliveries_of_a_run_replace_those_recorded_before(registered):
    run = uuid4()
    registered.record_deliveries(run, [(HERE, Acknowledged(1, 1, 0, 0)), (THERE, Acknowledged(2, 2, 0, 1))])
    registered.record_deliveries(run, [(HERE, Acknowledged(5, 4, 0, 4))])
    if isinstance(registered, MemoryStore):
        assert registered.deliveries == {
            (run, HERE): Acknowledged(5, 4, 0, 4),
            (run, THERE): Acknowledged(2, 2, 0, 1),
        }
    else:
        with psycopg.connect(registered._url) as connection:
            assert totals(connection) == {TOPIC: DeliveryTotals(7, 6)}


def test_the_common_event_time_is_the_least_of_all_partitions(registered):
    assert registered.common_event_time(TOPIC) is None
    registered.claim([HERE, THERE])
    registered.commit([commit(HERE, 1, 0, 5)])
    assert registered.common_event_time(TOPIC) is None
    registered.commit([commit(THERE, 1, 0, 5, time=1_800_000_000_000)])
    assert registered.common_event_time(TOPIC) == 1_790_000_000_000
    assert registered.common_event_time("another") is None


def test_a_detector_is_recorded_once_with_its_earliest_picture(registered):
    first, other = Detector("network", "a1", 0.9, 0.8), Detector("network", "b2", 0.95, 0.9)
    for detector, since in ((first, 5_000), (first, 3_000), (first, 9_000), (other, 4_000)):
        registered.record_detector("traffic.plate-regions", detector, since)
    if isinstance(registered, MemoryStore):
        noted = [DetectorUse(detector, since) for (_, detector), since in registered.detectors.items()]
    else:
        with psycopg.connect(registered._url) as connection:
            noted = detectors(connection)["traffic.plate-regions"]
    assert noted == [DetectorUse(first, 3_000), DetectorUse(other, 4_000)]


def test_the_reason_of_a_stop_is_kept_until_the_next_commit_of_its_partition(registered):
    registered.claim([HERE, THERE])
    for partition in (HERE, THERE):
        registered.record_stop(partition, 1, f"broken in {partition[1]}")
    assert reasons_of_stops(registered) == {0: "broken in 0", 1: "broken in 1"}
    registered.claim([HERE])
    registered.record_stop(HERE, 1, "what a fenced owner says")
    assert reasons_of_stops(registered) == {0: "broken in 0", 1: "broken in 1"}
    registered.commit([commit(HERE, 2, 0, 5)])
    assert reasons_of_stops(registered) == {1: "broken in 1"}


def test_the_next_offsets_are_those_of_partitions_that_are_not_stopped(registered):
    assert registered.next_offsets([TOPIC]) == {HERE: 0, THERE: 0}
    registered.claim([HERE, THERE])
    registered.commit([commit(HERE, 1, 0, 5)])
    registered.record_stop(THERE, 1, "broken")
    assert registered.next_offsets([TOPIC, "another"]) == {HERE: 5}
    assert registered.next_offsets(["another"]) == {}


def test_an_alarm_is_kept_until_it_is_withdrawn(registered):
    registered.record_alarms([(THERE, "that"), (HERE, "this")])
    assert alarms(registered) == {0: "this", 1: "that"}
    registered.record_alarms([(HERE, None), (THERE, "more of that")])
    assert alarms(registered) == {1: "more of that"}


def alarms(store) -> dict[int, str]:
    if isinstance(store, MemoryStore):
        return {number: alarm for (_, number), alarm in store.alarms.items()}
    with connect(store._url) as connection:
        return dict(retention_alarms(connection).get(TOPIC, {}))


def reasons_of_stops(store) -> dict[int, str]:
    if isinstance(store, MemoryStore):
        return {number: reason for (_, number), reason in store.stopped.items()}
    with connect(store._url) as connection:
        return dict(stopped_partitions(connection).get(TOPIC, {}))


def test_the_least_end_of_a_log_that_was_cut_short_is_kept_until_a_commit_accepts_it(registered):
    registered.claim([HERE])
    registered.commit([commit(HERE, 1, 0, 8)])
    for epoch, end in ((1, 5), (1, 6), (1, None), (7, 2)):
        registered.record_stop(HERE, epoch, "cut short", end)
    assert registered.claim([HERE])[HERE].cut_end == 5
    back = commit(HERE, 2, 8, 5, cut=5)
    registered.commit([back])
    assert registered.claim([HERE])[HERE] == Claim(3, back.step.position)


def test_the_dead_letters_of_messages_that_a_log_lost_make_room_for_others(registered):
    registered.claim([HERE])
    letters = [DeadLetter(offset, -1, "cut", b"old") for offset in (3, 5, 6)]
    registered.commit([commit(HERE, 1, 0, 8, dead_letters=letters)])
    for expected in (8, 7):
        new = [DeadLetter(5, -1, "cut", b"new")]
        registered.commit([commit(HERE, 1, expected, 7, cut=5, dead_letters=new)])
        assert registered.settled(HERE, 0, 8) == {(3, -1), (5, -1)}
