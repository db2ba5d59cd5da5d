"""The commit of the steps of a process's partitions: each once, whatever becomes of the connection.

The outcome of a commit may be unknown. A step is therefore kept until it is known, and its partition's row is read
back: it holds either the position that the step leads to, or the one before it, and then the step is committed again
(R3).
"""

import logging
from collections.abc import Sequence

from eventlog.protocol import TopicPartition
from processors import telemetry
from processors.owned import Owned
from schemas.topics import dataset_of
from store.processing import Fenced, PartitionCommit, Step, Store

logger = logging.getLogger(__name__)


class Committer:
    """Commits the steps of the partitions `owned`, and removes those that another process has taken over."""

    def __init__(self, store: Store, owned: dict[TopicPartition, Owned]) -> None:
        self._store = store
        self._owned = owned

    def commit(self) -> bool:
        """Commit all that the folds have, except those that are closing windows.

        False if another process has taken some of the partitions over. Raises the errors of the folds, and
        `StoreUnavailable`: no step is lost then, and the next call finds out which were committed.
        """
        whole = self._look_up()
        for owned in self._owned.values():
            if not owned.fold.closing:
                owned.step = owned.step or owned.fold.step()
        while steps := {partition: owned.step for partition, owned in self._owned.items() if owned.step is not None}:
            try:
                with telemetry.COMMIT_SECONDS.labels(dataset_of(next(iter(steps)).topic)).time():
                    self._store.commit([self._commit_of(partition, step) for partition, step in steps.items()])
            except Fenced as fenced:
                self._drop([partition for partition in steps if partition in fenced.partitions])
                whole = False
            else:
                for partition in steps:
                    self._accept(partition)
        return whole

    def _look_up(self) -> bool:
        """Find out which of the steps that a failed commit has left were committed; False if a partition is lost."""
        in_doubt = {partition: owned.step for partition, owned in self._owned.items() if owned.step is not None}
        if not in_doubt:
            return True
        lost = []
        stored = self._store.stored(tuple(in_doubt))
        for at, step in in_doubt.items():
            owned, (epoch, position) = self._owned[at], stored[at]
            if epoch != owned.claim.epoch or position not in (owned.committed, step.position):
                lost.append(at)
            elif position == step.position:
                self._accept(at)
        self._drop(lost)
        return not lost

    def _accept(self, partition: TopicPartition) -> None:
        """The step of this partition is committed."""
        owned = self._owned[partition]
        assert owned.step is not None
        telemetry.count(partition.topic, owned.committed.account, owned.step)
        owned.move(owned.step.position)
        owned.step = None

    def _drop(self, lost: Sequence[TopicPartition]) -> None:
        for partition in lost:
            logger.warning("another process took over: %s", partition)
            telemetry.FENCED.labels(dataset_of(partition.topic)).inc()
            del self._owned[partition]

    def _commit_of(self, partition: TopicPartition, step: Step) -> PartitionCommit:
        owned = self._owned[partition]
        return PartitionCommit(partition, owned.claim.epoch, owned.committed.next_offset, step, owned.cut)
