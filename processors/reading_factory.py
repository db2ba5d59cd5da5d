"""Creates the folds of topics with readings: the windows of every metric, and one scratch table for all partitions."""

from collections.abc import Mapping, Sequence, Set

from processors.fold import DEAD_LIMIT
from processors.partition import ReadingFold
from processors.reduce import Scratch
from processors.windows import Windows
from schemas.catalogue import Metric
from store.processing import Position


class ReadingFoldFactory:
    """Implements `processors.fold.FoldFactory`.

    `metrics` by topic; `zone` is the city's; more than `dead_limit` dead messages in a block stop a partition.
    """

    def __init__(self, metrics: Mapping[str, Sequence[Metric]], zone: str, *, dead_limit: int = DEAD_LIMIT) -> None:
        self.topics: Sequence[str] = tuple(metrics)
        self._metrics = metrics
        self._windows = {
            topic: {metric.name: Windows(zone, metric.window) for metric in of_topic}
            for topic, of_topic in metrics.items()
        }
        self._scratch = Scratch()
        self._dead_limit = dead_limit

    def create(self, topic: str, position: Position, settled: Set[tuple[int, int]], *, gap: bool) -> ReadingFold:
        return ReadingFold(
            self._metrics[topic],
            self._windows[topic],
            position,
            self._scratch,
            settled=settled,
            gap=gap,
            dead_limit=self._dead_limit,
        )
