"""Copies dead letters from the database to a topic, with the headers that Kafka Connect gives its dead letters.

At least once: the position is stored after Kafka has acknowledged, so letters may come again after a crash in between.
A letter of a picture holds its length and hash, as in the database (P1).
"""

from typing import TYPE_CHECKING

from prometheus_client import Counter

from store.dead_letters import record_relayed, relay_partitions, unrelayed

if TYPE_CHECKING:
    from eventlog.protocol import Log, Writer
    from store.database import Connection
    from store.processing import DeadLetter, Partition

RELAYED = Counter("sistercity_relayed_dead_letters", "Dead letters copied to the topic of dead letters")

_PREFIX = "__connect.errors."
_AT_ONCE = 1_000
_SETTINGS = {"retention.ms": str(30 * 24 * 3600 * 1000), "message.timestamp.type": "LogAppendTime"}


def dlq(city: str) -> str:
    """The topic that a city's dead letters are copied to: `isfahan.dlq`."""
    return f"{city}.dlq"


def ensure_dlq(log: "Log", city: str) -> str:
    """Create the topic with one partition, unless it exists; returns its name."""
    topic = dlq(city)
    log.create(topic, 1, _SETTINGS)
    return topic


def relay(connection: "Connection", writer: "Writer", topic: str) -> int:
    """Copy what was not copied yet; returns how many letters. Raises `DeliveryFailed` and psycopg's errors."""
    copied = 0
    for partition in relay_partitions(connection):
        while letters := unrelayed(connection, partition, _AT_ONCE):
            for numbered in letters:
                headers = headers_of(partition, numbered.letter)
                writer.send_to(topic, 0, numbered.letter.original, headers)
            writer.flush()
            record_relayed(connection, partition, letters[-1].number)
            copied += len(letters)
            RELAYED.inc(len(letters))
    return copied


def headers_of(partition: "Partition", letter: "DeadLetter") -> list[tuple[str, bytes]]:
    """Where a letter is from and why it is dead, as text; `sistercity.row` is -1 for a whole message."""
    topic, number = partition
    facts = {
        "topic": topic,
        "partition": str(number),
        "offset": str(letter.offset),
        "connector.name": "sistercity",
        "stage": "VALUE_CONVERTER",
        "exception.class.name": "sistercity.DeadMessage" if letter.row < 0 else "sistercity.RejectedRow",
        "exception.message": letter.reason,
    }
    return [*((_PREFIX + name, text.encode()) for name, text in facts.items()), ("sistercity.row", b"%d" % letter.row)]
