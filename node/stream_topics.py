"""The topics of the running streams: the first of each dataset, and the later ones that it has grown into (R5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.catalogue import datasets
from schemas.topics import live

if TYPE_CHECKING:
    from store.generations import Generation


@dataclass(frozen=True, slots=True)
class StreamTopic:
    """A topic of a running stream: which times it takes, in milliseconds since 1970, UTC, and its partitions.

    None in place of a bound is no bound; None in place of the partitions is the setting.
    """

    name: str
    dataset: str
    begins_ms: int | None
    ends_ms: int | None
    partitions: int | None


def stream_topics(city: str, later: "Mapping[str, Sequence[Generation]]") -> list[StreamTopic]:
    """All topics of the city's running streams of readings. `later` as in `store.generations.generations`."""
    found = []
    for dataset in datasets():
        grown = later.get(dataset, ())
        ends = [*(generation.begins_ms for generation in grown), None]
        found.append(StreamTopic(live(city, dataset), dataset, None, ends[0], None))
        for generation, end in zip(grown, ends[1:], strict=True):
            name = live(city, dataset, generation.number)
            found.append(StreamTopic(name, dataset, generation.begins_ms, end, generation.partitions))
    return found
