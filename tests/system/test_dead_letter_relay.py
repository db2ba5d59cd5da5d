"""Dead letters as messages in the real Kafka, from the table in PostgreSQL."""

from contextlib import closing

import pytest
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from node.dead_letter_relay import ensure_dlq, relay
from store.database import connect
from store.processing_postgres import PostgresStore
from tests.system.command import Command
from tests.system.streams import city_file

pytestmark = pytest.mark.services


def add(database_url: str, topic: str, *letters: tuple[int, int, int, str, bytes]) -> None:
    with connect(database_url) as connection, connection.cursor() as cursor:
        columns = 'topic, partition, "offset", row, reason, original'
        insert = f"INSERT INTO dead_letters ({columns}) VALUES (%s, %s, %s, %s, %s, %s)"
        cursor.executemany(insert, [(topic, *letter) for letter in letters])


def messages_in(kafka: str, topic: str) -> list[tuple[bytes, dict[str, str]]]:
    """Value and headers of each message of the topic's only partition."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partition = KafkaPartition(topic, 0)
        consumer.assign([partition])
        end, found = consumer.end_offsets([partition])[partition], []
        consumer.seek_to_beginning(partition)
        while consumer.position(partition) < end:
            found += consumer.poll(1000).get(partition, [])
    finally:
        consumer.close()
    return [(record.value, {name: value.decode() for name, value in record.headers}) for record in found]


def test_dead_letters_are_copied_with_the_headers_of_kafka_connect_from_where_the_last_copy_ended(
    kafka, city, database_url, tmp_path
):
    topic, dlq = f"{city}.energy.readings.v1", f"{city}.dlq"
    with closing(PostgresStore(database_url)) as store:
        store.register_topic(topic, "cluster", "topic-id", 2)
    command = Command(city_file(tmp_path, city), kafka, database_url, tmp_path)
    add(database_url, topic, (0, 7, -1, "cut", b"\x00broken"), (1, 3, 2, "not-whole", b"a row"))
    assert command("relay-dead-letters") == f"2 dead letters copied to {dlq}\n"
    assert command("relay-dead-letters") == f"0 dead letters copied to {dlq}\n"
    add(database_url, topic, (0, 5, 0, "sum-overflow", b"of a window that closed later"))
    assert command("relay-dead-letters") == f"1 dead letters copied to {dlq}\n"
    (first, its), *others = messages_in(kafka, dlq)
    assert first == b"\x00broken"
    assert its == {
        "__connect.errors.topic": topic,
        "__connect.errors.partition": "0",
        "__connect.errors.offset": "7",
        "__connect.errors.connector.name": "sistercity",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.exception.class.name": "sistercity.DeadMessage",
        "__connect.errors.exception.message": "cut",
        "sistercity.row": "-1",
    }
    assert [(value, headers["sistercity.row"]) for value, headers in others] == [
        (b"a row", "2"),
        (b"of a window that closed later", "0"),
    ]


def test_a_copy_that_was_not_recorded_is_made_again(kafka, kafka_log, city, database_url):
    topic = f"{city}.energy.readings.v1"
    with closing(PostgresStore(database_url)) as store:
        store.register_topic(topic, "cluster", "topic-id", 1)
    add(database_url, topic, (0, 7, -1, "cut", b"broken"))
    dlq = ensure_dlq(kafka_log, city)
    with connect(database_url) as connection, closing(kafka_log.writer()) as writer:
        with connection.transaction(force_rollback=True):  # the connection is lost before the position is stored
            assert relay(connection, writer, dlq) == 1
        assert relay(connection, writer, dlq) == 1
        assert relay(connection, writer, dlq) == 0
    assert [value for value, _ in messages_in(kafka, dlq)] == [b"broken", b"broken"]
