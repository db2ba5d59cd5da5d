"""Which feeder each stream waits for (R16), for the operator. Times are milliseconds since 1970, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass

from store.database import Connection


@dataclass(frozen=True, slots=True)
class SlowestFeeder:
    """The feeder that has come least far of all that are waited for in a topic, and how far it and the furthest are.

    The feeder of messages that name none is the empty text.
    """

    partition: int
    feeder: str
    time_ms: int
    furthest_ms: int


def slowest_feeders(connection: Connection) -> Mapping[str, SlowestFeeder]:
    """Topic -> its slowest feeder, by name; topics of which all feeders are idle are left out."""
    rows = connection.execute(
        """
        SELECT DISTINCT ON (topic) topic, partition, feeder->>0, (feeder->>1)::bigint,
               max((feeder->>1)::bigint) OVER (PARTITION BY topic)
        FROM stream_offsets, jsonb_array_elements(feeders) AS feeder
        ORDER BY topic, (feeder->>1)::bigint, partition
        """
    )
    return {topic: SlowestFeeder(*found) for topic, *found in rows}
