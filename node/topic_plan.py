"""What a city needs in Kafka: its topics, and what each of its roles must be allowed to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from node.dead_letter_relay import dlq
from node.stream_topics import stream_topics
from schemas.catalogue import datasets
from schemas.topics import FRAMES, REGIONS, live
from schemas.topics import settings as topic_settings

if TYPE_CHECKING:
    from store.generations import Generation

Resource = Literal["topic", "group", "cluster"]

WITHOUT_KAFKA = ("publish", "serve", "pull")
"""Roles that never speak to Kafka."""


@dataclass(frozen=True, slots=True)
class PlannedTopic:
    """A topic as it is to be."""

    topic: str
    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Right:
    """Something that a role must be allowed: operations, by Kafka's names, on a resource.

    `prefix` makes it every resource whose name begins with `name`. `why` is for people.
    """

    role: str
    resource: Resource
    name: str
    prefix: bool
    operations: tuple[str, ...]
    why: str


def planned_topics(
    city: str, partitions: int, later: "Mapping[str, Sequence[Generation]] | None" = None
) -> Sequence[PlannedTopic]:
    """The topics of a city's running streams. Imports of the past make their own, beside these.

    `later` are those into which streams have grown, as in `store.generations.generations`.
    """
    streams = stream_topics(city, later or {})
    topics = [PlannedTopic(s.name, s.partitions or partitions, topic_settings(s.dataset)) for s in streams]
    topics.append(PlannedTopic(live(city, FRAMES), partitions, topic_settings(FRAMES)))
    return sorted(topics, key=lambda planned: planned.topic)


def planned_rights(city: str) -> Sequence[Right]:
    """What each role needs once the topics are there.

    A dataset's topics, running and history, begin with `<city>.<dataset>.`; so pictures stay out of the processor's
    sight (P1). Brokers since 2.8 let whoever may write to a topic do so without duplicates; older ones ask for
    IdempotentWrite on the cluster too.
    """
    return [
        *(_ingest(city, dataset) for dataset in sorted((*datasets(), FRAMES))),
        *(_process(city, dataset) for dataset in datasets()),
        Right("process", "group", f"{city}.process", False, ("Read",), "shares the running streams"),
        Right("process", "group", f"{city}.process.", True, ("Read",), "shares one import of the past"),
        *(_correct(city, dataset) for dataset in datasets() if dataset != REGIONS),
        Right("detect", "topic", live(city, FRAMES), False, ("Describe", "Read"), "looks at pictures"),
        Right("detect", "topic", live(city, REGIONS), False, ("Describe", "Write"), "sends what it found in them"),
        Right("detect", "group", f"{city}.detect", False, ("Read",), "shares the pictures"),
        Right("relay", "topic", dlq(city), False, ("Create", "Describe", "Write"), "copies dead letters"),
        Right("picture", "topic", live(city, FRAMES), False, ("Describe", "Read"), "has a debug picture made"),
        Right(
            "operator", "topic", f"{city}.", True, ("Create", "Describe", "DescribeConfigs"), "makes and checks topics"
        ),
        Right("operator", "group", f"{city}.", True, ("Describe",), "sees who is at work"),
        Right("operator", "cluster", "kafka-cluster", False, ("Describe",), "compares clocks"),
    ]


def _ingest(city: str, dataset: str) -> Right:
    operations = ("Create", "Describe", "Write")
    return Right("ingest", "topic", f"{city}.{dataset}.", True, operations, "sends; makes the topic of an import")


def _correct(city: str, dataset: str) -> Right:
    return Right("correct", "topic", f"{city}.{dataset}.", True, ("Describe", "Read"), "reads late windows again")


def _process(city: str, dataset: str) -> Right:
    return Right(
        "process", "topic", f"{city}.{dataset}.", True, ("Describe", "DescribeConfigs", "Read"), "reduces to cells"
    )
