"""A partition whose log in Kafka ends below what was processed of it, as after a loss of its newest messages."""

import psycopg
import pytest
from kafka import KafkaAdminClient

from processors.stopping import Stopped
from store.accounts import stopped_partitions, topic_accounts
from store.database import connect
from tests.processors.test_edges import reading
from tests.system.streams import Topic, process_undisturbed, table
from tests.waiting import until

pytestmark = pytest.mark.services


def test_processing_goes_on_at_the_end_of_a_log_that_was_cut_short(kafka, kafka_log, city, database_url):
    name = f"{city}.energy.readings.v1"
    topic = Topic(kafka_log, kafka, name)
    topic.send([(b"2", 0, reading(hour, source=hour)) for hour in range(8)])
    topic.send([(b"2", 0, b"broken"), (b"2", 1, b"broken")])
    process_undisturbed(kafka_log, name, database_url, "before")
    delete_topic(kafka_log, kafka, name)
    again = Topic(kafka_log, kafka, name)
    again.send([(b"2", 0, reading(hour, source=hour)) for hour in range(7)])
    again.send([(b"2", 1, b"broken"), (b"2", 1, b"broken too")])
    _store_id(kafka_log, name, database_url)

    with pytest.raises(Stopped, match=r"ended at offset 7, but messages up to 9 .* --accept-cut"):
        process_undisturbed(kafka_log, name, database_url, "stopped")
    with connect(database_url) as connection:
        assert list(stopped_partitions(connection)[name]) == [0]
    again.send([(b"2", 0, b"broken there") for _ in range(5)])  # new messages pass the stored offset
    process_undisturbed(kafka_log, name, database_url, "accepted", accept_cut=True)
    process_undisturbed(kafka_log, name, database_url, "again")

    with connect(database_url) as connection:
        account = topic_accounts(connection)[name]
        assert account.balanced()
        assert (account.messages, account.dead, account.readings) == (16, 8, 8)
        assert stopped_partitions(connection) == {}
    dead = [(offset, original) for _, partition, offset, *_, original in table(database_url)["dead"] if partition == 0]
    assert sorted(dead) == sorted([(8, b"broken"), *((offset, b"broken there") for offset in range(7, 12))])


def delete_topic(log, kafka, name: str) -> None:
    """Delete the topic: another with the same name begins at offset 0."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        admin.delete_topics([name])
        until(lambda: name not in log.topics(), "the topic is gone")
    finally:
        admin.close()


def _store_id(log, name: str, database_url: str) -> None:
    """Let the new topic pass for the one that was processed, because a log that was cut keeps its id."""
    with psycopg.connect(database_url) as connection:
        facts = log.describe(name)
        connection.execute("UPDATE stream_topics SET topic_id = %s WHERE topic = %s", (facts.topic_id, name))
