"""Kafka: whether it answers, and whether its topics are as planned."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from node.doctor.finding import WARN_S, Finding, Level, judge_clock
from schemas.catalogue import catalogue
from schemas.topics import FRAMES, REGIONS, dataset_of

if TYPE_CHECKING:
    from eventlog.inspection import ClusterState, TopicState
    from node.topic_plan import PlannedTopic

_SERIOUS = ("message.timestamp.type", "max.message.bytes", "cleanup.policy")
_SHORT = ("retention.ms", "segment.ms")
"""Settings that decide how long messages stay. Pictures may not stay longer than planned (P1)."""


def unused_topics(
    plan: "Sequence[PlannedTopic]", registered: Collection[str], processed: Collection[str]
) -> frozenset[str]:
    """The topics of datasets that no registered source sends to, and that nobody ever read; none without a register."""
    used = {catalogue()[metric].dataset for metric in registered if metric in catalogue()}
    if REGIONS in used:
        used.add(FRAMES)  # where regions are found
    unread = {planned.topic for planned in plan if registered} - set(processed)
    return frozenset(topic for topic in unread if dataset_of(topic) not in used)


def judge_cluster(
    state: "ClusterState", plan: "Sequence[PlannedTopic]", unused: Collection[str] = ()
) -> Iterator[Finding]:
    """Compare a cluster with the plan of its topics. Those that are `unused` need not be there."""
    yield Finding("ok", "kafka", "1 broker answers" if state.brokers == 1 else f"{state.brokers} brokers answer")
    for planned in plan:
        if planned.topic in unused and planned.topic not in state.topics:
            words = "is not there, and not used: no source in the register sends to it"
            yield Finding("ok", planned.topic, words)
        else:
            yield _judge_topic(planned, state)
    yield from _judge_copies(state)
    yield _judge_clock(state)


def _judge_topic(planned: "PlannedTopic", state: "ClusterState") -> Finding:
    found = state.topics.get(planned.topic)
    if found is None:
        return Finding("fail", planned.topic, "is not there: `sistercity topics create` makes it")
    if isinstance(found, str):
        return Finding(
            "warn", planned.topic, f"Kafka does not tell: {found}; `sistercity topics plan` lists the rights"
        )
    if not found.settings:
        return Finding("warn", planned.topic, "Kafka does not tell its settings: allow DescribeConfigs")
    wrong = list(_differences(planned, found))
    level: Level = "fail" if any(serious for serious, _ in wrong) else "warn" if wrong else "ok"
    as_planned = f"{found.facts.partitions} partitions, settings as planned"
    return Finding(level, planned.topic, "; ".join(words for _, words in wrong) or as_planned)


def _differences(planned: "PlannedTopic", found: "TopicState") -> Iterator[tuple[bool, str]]:
    """Each difference from the plan: whether it is serious, and what it is."""
    if found.facts.partitions != planned.partitions:
        actual = found.facts.partitions
        words = f"has {actual} partitions, planned are {planned.partitions}: no longer to be changed, so set"
        yield False, f"{words} SISTERCITY_PARTITIONS={actual}"
    for name, wanted in {**planned.settings, "cleanup.policy": "delete", "retention.bytes": "-1"}.items():
        setting = found.settings.get(name, wanted)
        if setting != wanted and not (name == "max.message.bytes" and int(setting) > int(wanted)):
            words = f"{name} is {setting}, planned is {wanted}: set it with kafka-configs.sh --alter"
            if _too_short_to_correct(planned.topic, name, setting, wanted):
                words += "; windows whose readings are deleted earlier can't be corrected"
            yield name in _SERIOUS or _keeps_pictures(planned.topic, name, setting, wanted), words


def _too_short_to_correct(topic: str, name: str, actual: str, wanted: str) -> bool:
    """Whether late readings may come when the log no longer holds the rest of their window (R13)."""
    return name == "retention.ms" and dataset_of(topic) not in (FRAMES, REGIONS) and 0 <= int(actual) < int(wanted)


def _keeps_pictures(topic: str, name: str, actual: str, wanted: str) -> bool:
    longer = int(actual) < 0 or int(actual) > int(wanted) if name in _SHORT else False
    return dataset_of(topic) == FRAMES and longer


def _judge_copies(state: "ClusterState") -> Iterator[Finding]:
    single = [topic for topic in state.topics.values() if not isinstance(topic, str) and topic.replicas == 1]
    if single:
        words = f"{len(single)} topics are on one broker each: if it is lost, so is what was not processed yet"
        yield Finding("warn", "kafka's copies", words)

    known = {name: topic for name, topic in state.topics.items() if not isinstance(topic, str)}
    short = {name: sum(count < topic.replicas for count in topic.in_sync) for name, topic in known.items()}
    if any(short.values()):
        closed = sum(sum(count < _wanted(topic) for count in topic.in_sync) for topic in known.values())
        words = f"{sum(short.values())} partitions lack a copy: a broker is gone, or lags. Bring it back"
        if closed:
            words += f"; {closed} of them take no message until then (min.insync.replicas)"
        where = ", ".join(name for name, partitions in short.items() if partitions)
        yield Finding("fail" if closed else "warn", "kafka's replicas", f"{words}: {where}")


def _wanted(topic: "TopicState") -> int:
    """How many copies a partition must have to take a message."""
    return int(topic.settings.get("min.insync.replicas", "1"))


def _judge_clock(state: "ClusterState") -> Finding:
    what = "kafka's clock"
    if state.clock_ms is not None:
        return judge_clock(what, "the controller's", state.clock_ms, state.asked_ms, state.answered_ms)
    known = [topic for topic in state.topics.values() if not isinstance(topic, str)]
    newest = [topic.newest_ms for topic in known if topic.newest_ms is not None]
    if newest and max(newest) > state.answered_ms + WARN_S * 1000:
        return judge_clock(what, "a broker's", max(newest), state.asked_ms, state.answered_ms)
    return Finding("ok", what, "Kafka does not tell it; no message is from the future")
