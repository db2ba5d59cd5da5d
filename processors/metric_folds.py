"""The folds of topics with readings: every metric's windows, and one scratch table for all partitions."""

from collections.abc import Mapping, Sequence, Set

from processors.fold import DEAD_LIMIT
from processors.partition import PartitionFold
from processors.reduce import Scratch
from processors.windows import Windows
from schemas.catalogue import Metric
from store.processing import Position


class MetricFolds:
    """Keeps the promises of `processors.fold.Folds`.

    `metrics` by topic; `zone` is the city's; `dead_limit` dead messages in a block stop a partition.
    """

    def __init__(self, metrics: Mapping[str, Sequence[Metric]], zone: str, *, dead_limit: int = DEAD_LIMIT) -> None:
        self._metrics = metrics
        self._windows = {
            topic: {metric.name: Windows(zone, metric.window) for metric in of_topic}
            for topic, of_topic in metrics.items()
        }
        self._scratch = Scratch()
        self._dead_limit = dead_limit

    @property
    def topics(self) -> Sequence[str]:
        """See `Folds`."""
        return tuple(self._metrics)

    def fold(
        self, topic: str, partition: int, position: Position, settled: Set[tuple[int, int]], *, gap: bool
    ) -> PartitionFold:
        """See `Folds`."""
        del partition
        return PartitionFold(
            self._metrics[topic],
            self._windows[topic],
            position,
            self._scratch,
            settled=settled,
            gap=gap,
            dead_limit=self._dead_limit,
        )

    def keep_time(self) -> None:
        """Nothing to do: cells carry their windows."""

    def close(self) -> None:
        """Nothing to let go of."""
