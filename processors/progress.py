"""How far a process is, and how far the others of its group are."""

from collections.abc import Iterable, Mapping, Sequence, Set

from eventlog.protocol import Reader, TopicPartition
from processors import telemetry
from processors.owned import Owned
from schemas.topics import dataset_of
from store.processing import Store


def show(topics: Sequence[str], owned: Mapping[TopicPartition, Owned], ends: Mapping[TopicPartition, int]) -> None:
    """Set the gauges of the partitions; `ends` are the ends of all of them."""
    for dataset in set(map(dataset_of, topics)):
        folds = [of.fold for partition, of in owned.items() if dataset_of(partition.topic) == dataset]
        telemetry.OPEN.labels(dataset).set(sum(fold.buffered for fold in folds))
        telemetry.OPEN_MEMORY.labels(dataset).set(sum(fold.held[0] for fold in folds))
        telemetry.OPEN_DISK.labels(dataset).set(sum(fold.held[1] for fold in folds))
    for partition, of in owned.items():
        position, end = of.committed, ends[partition]
        labels = telemetry.place(*partition)
        telemetry.LAG.labels(*labels).set(max(end - position.next_offset, 0))
        if position.event_time is not None:
            telemetry.WATERMARK.labels(*labels).set(position.event_time / 1000)


def show_stopped(topics: Sequence[str], stopped: Iterable[TopicPartition]) -> None:
    """Set the gauges of the partitions that are stopped."""
    datasets = [dataset_of(partition.topic) for partition in stopped]
    for dataset in set(map(dataset_of, topics)):
        telemetry.STOPPED.labels(dataset).set(datasets.count(dataset))


def left_to_others(store: Store, reader: Reader, topics: Sequence[str], mine: Set[TopicPartition]) -> int:
    """How many messages are left in partitions that other processes read and have not stopped.

    `mine` are the partitions of this process. Raises `StoreUnavailable` and `LogUnavailable`.
    """
    following = store.next_offsets(topics)
    others = [TopicPartition(*at) for at in following if at not in mine]
    return sum(max(end - following[partition], 0) for partition, end in reader.ends(others).items())
