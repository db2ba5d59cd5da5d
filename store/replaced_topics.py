"""Going on with topics that were made anew, after Kafka was lost (R5).

To the processor, a topic that was made anew is a log that was cut short at its beginning: what was open and is not
there any more is counted as lost, and the windows that may lack readings are marked incomplete.
"""

from dataclasses import dataclass

from store.database import Connection

_STOPPED = "the topic was made anew, since Kafka was lost: `process --accept-cut` goes on at its beginning"


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """A topic that was processed: its identity, the messages that are accounted for, and readings in open windows."""

    topic: str
    cluster_id: str
    topic_id: str
    partitions: int
    messages: int
    open: int


def known_topics(connection: Connection) -> list[KnownTopic]:
    """Every topic that was ever processed, by name."""
    rows = connection.execute(
        "SELECT topic, cluster_id, topic_id, partitions, sum(messages)::bigint, sum(open)::bigint"
        " FROM stream_topics JOIN stream_offsets USING (topic) GROUP BY topic ORDER BY topic"
    )
    return [KnownTopic(*row) for row in rows]


def accept_new_topic(connection: Connection, known: KnownTopic, cluster_id: str, topic_id: str) -> bool:
    """Let the topic of this identity be the one that is processed, from its beginning; to be accepted once more.

    Its number of partitions is that of before. Processors of the former topic can't commit any more. Returns False if
    the topic's identity is not `known`'s any more: nothing was changed.
    """
    with connection.transaction():
        moved = connection.execute(
            "UPDATE stream_topics SET cluster_id = %s, topic_id = %s"
            " WHERE (topic, cluster_id, topic_id, partitions) = (%s, %s, %s, %s)",
            (cluster_id, topic_id, known.topic, known.cluster_id, known.topic_id, known.partitions),
        )
        if moved.rowcount:
            connection.execute(
                "UPDATE stream_offsets SET epoch = epoch + 1, stopped = %s, cut_end = 0"
                " WHERE topic = %s AND next_offset > 0",
                (_STOPPED, known.topic),
            )
    return moved.rowcount == 1
