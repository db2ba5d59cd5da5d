"""What an administrator's client reports about topics, groups and the cluster, as far as this client may know it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient, errors
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from eventlog.inspection import ClusterState, TopicState
from eventlog.protocol import TopicFacts


def is_missing(topic: Mapping[str, Any]) -> bool:
    """Whether this description of a topic reports that there is no such topic."""
    return bool(topic["error_code"] == errors.UnknownTopicOrPartitionError.errno)


def topic_facts(admin: KafkaAdminClient, topic: Mapping[str, Any]) -> TopicFacts:
    """The facts in a topic's description. Raises kafka-python's error if the description is one."""
    if topic["error_code"]:
        raise errors.for_code(topic["error_code"])(f"topic {topic['name']}")
    cluster = admin.describe_cluster()["cluster_id"]
    return TopicFacts(cluster, str(topic["topic_id"]), len(topic["partitions"]))


def retention_of(admin: KafkaAdminClient, topic: str) -> int | None:
    """How long a topic keeps messages, milliseconds; -1 for ever, None if this client may not know it."""
    try:
        found = _settings(admin, topic).get("retention.ms")
    except errors.AuthorizationError:
        return None
    return None if found is None else int(found)


def cluster_state(
    admin: KafkaAdminClient, topics: Sequence[str], groups: Sequence[str], old_share: float
) -> ClusterState:
    """The state of the cluster, of these topics and of these groups of readers. Raises kafka-python's errors."""
    # The controller still lists a broker that is gone, as fenced.
    brokers = sum(not broker.get("is_fenced") for broker in admin.describe_cluster()["brokers"])
    described = admin.describe_topics(list(topics))
    states = {topic["name"]: _state(admin, topic, old_share) for topic in described if not is_missing(topic)}
    members = {group: _members(admin, group) for group in groups}
    before_ms = _now_ms()
    clock_ms = _controllers_clock(admin)
    return ClusterState(brokers, states, members, clock_ms, before_ms, _now_ms())


def _state(admin: KafkaAdminClient, topic: Mapping[str, Any], old_share: float) -> TopicState | str:
    """The topic's state, or why this client can't read it."""
    try:
        return _readable_state(admin, topic, old_share)
    except errors.KafkaError as error:
        return str(error)


def _readable_state(admin: KafkaAdminClient, topic: Mapping[str, Any], old_share: float) -> TopicState:
    facts, name = topic_facts(admin, topic), topic["name"]
    partitions = [KafkaPartition(name, number) for number in range(facts.partitions)]
    settings = _settings(admin, name)
    replicas = min(len(partition["replica_nodes"]) for partition in topic["partitions"])
    begins, ends = (
        admin.list_partition_offsets(dict.fromkeys(partitions, which))
        for which in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    last = [ends[partition].offset for partition in partitions]
    return TopicState(
        facts,
        replicas,
        settings,
        [begins[partition].offset for partition in partitions],
        last,
        _newest(admin, partitions),
        _young(admin, partitions, last, round(int(settings.get("retention.ms", -1)) * old_share)),
        [len(partition["isr_nodes"]) for partition in topic["partitions"]],
    )


def _settings(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return {key: str(value["value"]) for key, value in described["topic"][topic].items()}


def _young(admin: KafkaAdminClient, partitions: Sequence[Any], ends: Sequence[int], age_ms: int) -> list[int] | None:
    """By partition, the first offset that was appended within the last `age_ms`, its end if there is none."""
    if age_ms <= 0:
        return None
    found = admin.list_partition_offsets(dict.fromkeys(partitions, max(_now_ms() - age_ms, 0)))
    offsets = [found[partition].offset for partition in partitions]
    return [end if offset < 0 else offset for offset, end in zip(offsets, ends, strict=True)]


def _newest(admin: KafkaAdminClient, partitions: Sequence[Any]) -> int | None:
    try:
        newest = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.MAX_TIMESTAMP))
    except errors.KafkaError:  # brokers before 3.0 don't support this request
        return None
    latest: int = max(found.timestamp for found in newest.values())
    return latest if latest > 0 else None


def holder_of(admin: KafkaAdminClient, group: str, instance: str) -> str | None:
    """The client id of the member that has this name in a group; None without one, or if Kafka does not report it."""
    try:
        members = admin.describe_groups([group])[group]["members"]
    except (errors.CoordinatorNotAvailableError, errors.GroupIdNotFoundError, errors.AuthorizationError):
        return None
    return next((member["client_id"] for member in members if member["group_instance_id"] == instance), None)


def _members(admin: KafkaAdminClient, group: str) -> int | None:
    try:
        description = admin.describe_groups([group])[group]
    except errors.KafkaError:
        return None
    if description["error"] is None or errors.GroupIdNotFoundError.__name__ in description["error"]:
        return len(description["members"])
    return None


def _controllers_clock(admin: KafkaAdminClient) -> int | None:
    """The clock of the cluster's controller: it reports when each voter last fetched, and for itself that is now."""
    try:
        [topic] = admin.describe_metadata_quorum()["topics"]
    except errors.KafkaError:
        return None
    [quorum] = topic["partitions"]
    leader = quorum["leader_id"]
    fetched = [voter["last_fetch_timestamp"] for voter in quorum["current_voters"] if voter["replica_id"] == leader]
    return fetched[0] if fetched and fetched[0] > 0 else None


def _now_ms() -> int:
    return round(time.time() * 1000)
