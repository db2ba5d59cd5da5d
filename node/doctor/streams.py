"""The streams: how far processing is behind Kafka, and whether it can go on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.doctor.finding import Finding
from schemas.topics import FRAMES, RETENTION_ALARM, dataset_of

if TYPE_CHECKING:
    from eventlog.inspection import ClusterState, TopicState
    from store.inspection import ProcessedTopic


def judge_streams(state: "ClusterState", processed: "Mapping[str, ProcessedTopic]", city: str) -> Iterator[Finding]:
    """Compare every topic in Kafka with what the database has recorded of it."""
    for topic, found in sorted(state.topics.items()):
        if not isinstance(found, str):
            command = command_of(topic)
            yield _judge(topic, found, processed.get(topic), command, state.members.get(group_of(city, topic)))


def command_of(topic: str) -> str:
    """The command that reads a topic."""
    return "detect" if dataset_of(topic) == FRAMES else "process"


def group_of(city: str, topic: str) -> str:
    """The group whose members share a running stream's topic."""
    return f"{city}.{command_of(topic)}"


def _judge(
    topic: str, found: "TopicState", known: "ProcessedTopic | None", command: str, members: int | None
) -> Finding:
    what, facts = f"stream {topic}", found.facts
    if known is not None and (known.cluster_id, known.topic_id, known.partitions) != (
        facts.cluster_id,
        facts.topic_id,
        facts.partitions,
    ):
        words = (
            f"is another topic than the one that was processed, and `sistercity {command}` will not go on with it:"
            " bring the old one back, or see `sistercity topics made-anew`"
        )
        return Finding("fail", what, words)
    lag = _lag(found, known)
    trouble = _trouble(what, lag, command)
    if known is not None and known.stopped:
        reasons = [f"partition {number} is stopped: {reason}" for number, reason in known.stopped.items()]
        return Finding("fail", what, "; ".join(reasons if trouble is None else [*reasons, trouble.words]))
    return trouble or _judge_lag(what, lag, command, members)


def _trouble(what: str, lag: "_Lag", command: str) -> Finding | None:
    """What was lost, or will be."""
    if lag.beyond:
        words = f"in {lag.beyond} partitions Kafka has lost messages that were processed already"
        return Finding("fail", what, words + (": `process --accept-cut` goes on" if command == "process" else ""))
    if command != "process":
        return None  # pictures that were not looked at in time are lost, as planned (P1)
    if lag.taken:
        words = f"retention took {lag.taken:,} messages before they were processed: `process --accept-gap` goes on"
        return Finding("fail", what, words)
    if lag.old:
        words = f"{lag.old:,} messages that wait have used up more than {RETENTION_ALARM:.0%} of their retention"
        return Finding("fail", what, f"{words}: they are deleted unread, if `sistercity process` does not catch up")
    if lag.needed:
        words = f"retention took {lag.needed:,} messages of windows that are still open: `process` can't start again"
        return Finding("warn", what, words + " without --accept-gap")
    return None


@dataclass(frozen=True, slots=True)
class _Lag:
    """Messages that wait; those of them that are past `RETENTION_ALARM` of their retention; messages that it took
    before they were accounted for, or while open windows need them; partitions accounted for beyond their end."""

    waiting: int
    old: int
    taken: int
    needed: int
    beyond: int


def _lag(found: "TopicState", known: "ProcessedTopic | None") -> _Lag:
    waiting = old = taken = needed = beyond = 0
    for number, (begin, end) in enumerate(zip(found.begins, found.ends, strict=True)):
        following = begin if known is None else known.next_offsets.get(number, begin)
        resume = following if known is None else known.resume_offsets.get(number, following)
        waiting += max(end - max(following, begin), 0)
        old += 0 if found.young is None else max(min(found.young[number], end) - max(following, begin), 0)
        taken += max(begin - following, 0)
        needed += max(begin - resume, 0)
        beyond += following > end
    return _Lag(waiting, old, taken, needed, beyond)


def _judge_lag(what: str, lag: _Lag, command: str, members: int | None) -> Finding:
    words = f"{lag.waiting:,} messages wait" if lag.waiting else "nothing waits"
    if lag.taken:
        words += f", {lag.taken:,} were gone before they were processed"
    if members == 0:
        return Finding("warn" if lag.waiting else "ok", what, f"{words}, and no `sistercity {command}` runs")
    return Finding("ok", what, words if members is None else f"{words}, {members} at work")
