"""Corrects the windows of the running streams: reads them again when a step of the schedule is due (R13)."""

import logging
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from itertools import groupby
from threading import Event
from typing import TYPE_CHECKING

from prometheus_client import Counter

from eventlog.protocol import TopicPartition
from federation.publications.slots import REVISIONS_MS, slot
from node.live_processing import span
from node.stream_topics import StreamTopic, stream_topics
from processors.corrections import is_corrected
from processors.rereading import DueWindow, Rereader
from schemas.catalogue import Metric, metrics_of, sent_in
from schemas.topics import CORRECTED_FOR_MS
from store.corrections import corrector_lock, known_contents, late_windows, prune_corrections, record_corrections
from store.generations import generations

if TYPE_CHECKING:
    from eventlog.protocol import Log
    from processors.open_memory import OpenMemory
    from store.corrections import Correction, LateWindow
    from store.database import Connection

logger = logging.getLogger(__name__)

CORRECTIONS = Counter(
    "sistercity_corrections",
    "Windows of a partition that were read again: corrected, unchanged, gone (the log no longer holds them), differs"
    " (it gives something else).",
    ["dataset", "outcome"],
)


class Corrector:
    """Reads windows of a city's running streams again.

    `zone` is the city's; `memory` bounds what the windows take; it gives up once `stop` is set.
    """

    def __init__(self, log: "Log", city: str, zone: str, memory: "OpenMemory", stop: Event) -> None:
        self._log = log
        self._city = city
        self._zone = zone
        self._memory = memory
        self._stop = stop

    def correct_due(self, connection: "Connection", now_ms: int) -> Mapping[str, int]:
        """Make the contents that are due at `now_ms`; returns how many windows had which outcome.

        Nothing if another process holds the lock of the corrector. A crash loses the topic that was being read. Raises
        `processors.rereading.Interrupted`, `LogUnavailable`, `processors.spilling.SpillFailed`, and psycopg's errors.
        """
        outcomes: Tally[str] = Tally()
        with corrector_lock(connection) as held:
            for topic in stream_topics(self._city, generations(connection)) if held else ():
                if metrics := _corrected(topic.dataset):
                    outcomes.update(self._correct(connection, topic, metrics, now_ms))
        return outcomes

    def _correct(
        self, connection: "Connection", topic: StreamTopic, metrics: Mapping[str, Metric], now_ms: int
    ) -> Sequence[str]:
        made: list[Correction] = []
        rereader = Rereader(self._log, metrics_of(topic.dataset), self._zone, span(topic), self._memory, self._stop)
        due = _due(connection, topic.name, metrics, now_ms)
        for number, windows in groupby(due, lambda window: window.late.partition[1]):
            made += rereader.correct(TopicPartition(topic.name, number), list(windows))
        record_corrections(connection, made)
        for metric in metrics.values():
            prune_corrections(connection, metric.name, now_ms - metric.lateness_ms - CORRECTED_FOR_MS)
        for correction in made:
            CORRECTIONS.labels(topic.dataset, correction.outcome).inc()
        if made:
            logger.info("read %d windows of %s again", len(made), topic.name)
        return [correction.outcome for correction in made]


def _due(connection: "Connection", topic: str, metrics: Mapping[str, Metric], now_ms: int) -> list[DueWindow]:
    """The windows with a step that is due and was not made, ordered by partition."""
    found = []
    for late in late_windows(connection, topic, list(metrics)):
        step = step_at(metrics[late.metric], late, now_ms)
        if step > late.step:
            found.append(DueWindow(late, known_contents(connection, late), step))
    return found


def step_at(metric: Metric, late: "LateWindow", now_ms: int) -> int:
    """How many of the fixed times after a window's slot have passed: 0 before the first."""
    return sum(slot(metric, late.window) + after <= now_ms for after in REVISIONS_MS)


def _corrected(dataset: str) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in sent_in(dataset) if is_corrected(metric)}
