"""Joins of a group that a poll gave up waiting for, which kafka-python 3.0.12 may never finish.

The join goes on after the poll. If new partitions of the topic were its reason, it makes that reason go away, so that
the next poll sees no need to join: the partitions are never assigned, no heartbeat is sent, and the group goes on
without the member, which is not told.
"""

from kafka import KafkaConsumer

_WAIT_MS = 500


def finish_the_join(consumer: KafkaConsumer) -> None:
    """Wait for a join that is under way, for a moment; one that is done, and was not looked at, is made again.

    Raises what a poll does that joins.
    """
    coordinator = consumer._coordinator
    # The first join has no such reason, and goes on by itself: made again, it would have all members join again.
    if coordinator._join_task is not None and coordinator._generation.generation_id > 0:
        coordinator.request_rejoin()
        coordinator.ensure_active_group(timeout_ms=_WAIT_MS)
