"""Processing of the running streams, whose topics may become more while it runs (R5)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from node import lifecycle, wiring
from node.housekeeping import Housekeeping
from node.settings import settings
from node.stream_topics import StreamTopic, stream_topics
from processors.plan import Plan
from processors.readings import ALWAYS, TimeSpan
from processors.runner import Runner
from store.processing import StoreUnavailable

if TYPE_CHECKING:
    from eventlog.kafka import KafkaLog
    from processors.fold import FoldFactory
    from store.generations import Generation
    from store.processing_postgres import PostgresStore

    Folds = Callable[[Mapping[str, TimeSpan]], FoldFactory]

logger = logging.getLogger(__name__)

_LOOK_S = 10.0
"""Seconds between looks for a new topic: it has to be known before readings come that belong to it alone."""
_PAUSE_S = 2.0


class _Growth:
    """Sets `again` when the store has other topics than those that are `known`."""

    def __init__(self, store: "PostgresStore", known: "Mapping[str, Sequence[Generation]]", again: Event) -> None:
        self._store = store
        self._known = known
        self._again = again
        self._due = monotonic() + _LOOK_S
        self.changed = False

    def look(self) -> None:
        """Raises `StoreUnavailable`."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + _LOOK_S
        if self._store.generations() != self._known:
            self.changed = True
            self._again.set()


def process_live(
    log: "KafkaLog",
    store: "PostgresStore",
    city: str,
    plan: Plan,
    folds: "Folds",
    stop: Event,
    report: Callable[[str | None], None],
) -> None:
    """Process the running streams until `stop` is set or the plan is done. `folds` are those of topics and their spans.

    `report` is that of `Runner`.

    Raises what `Runner.run` does.
    """
    housekeeping = Housekeeping(store.prune_dead_letters, settings().dead_letter_days)
    log.topics()  # refused access to Kafka is an error at once, also while the store is away
    while not stop.is_set():
        known = _generations(store, stop, report)
        if known is None:
            return
        topics = stream_topics(city, known)
        for topic in topics:
            wiring.ensure_topic(log, topic.name, topic.partitions)
        again = Event()
        lifecycle.stop_when(stop, again.set)
        growth = _Growth(store, known, again)
        retention = wiring.retention_ms(log, [topic.name for topic in topics])
        plan = replace(plan, retention_ms=retention)
        of_topics = folds({topic.name: span(topic) for topic in topics})
        after_commit = _in_turn(growth.look, housekeeping)
        Runner(log, store, of_topics, plan, after_commit=after_commit, report=report).run(again)
        if not growth.changed:
            return
        logger.info("the streams have more topics; joining the group again")


def process_history(
    log: "KafkaLog",
    store: "PostgresStore",
    name: str,
    topics: Sequence[str],
    plan: Plan,
    folds: "Folds",
    stop: Event,
    report: Callable[[str | None], None],
) -> None:
    """Process an import of the past, which may have these topics. Raises `CommandError` if it has none of them."""
    found = sorted(log.topics() & set(topics))
    if not found:
        raise wiring.CommandError(f"there is no import {name!r}: `sistercity ingest` makes one with --name")
    plan = replace(plan, retention_ms=wiring.retention_ms(log, found))
    Runner(log, store, folds(dict.fromkeys(found, ALWAYS)), plan, report=report).run(stop)


def _generations(
    store: "PostgresStore", stop: Event, report: Callable[[str | None], None]
) -> "Mapping[str, Sequence[Generation]] | None":
    """The later topics of each dataset, as soon as the store answers; None if `stop` is set before."""
    while not stop.is_set():
        try:
            return store.generations()
        except StoreUnavailable as error:
            logger.warning("%s; trying again in %.0f s", error, _PAUSE_S)
            report(str(error))
            stop.wait(_PAUSE_S)
    return None


def _in_turn(*acts: Callable[[], None]) -> Callable[[], None]:
    def all_of_them() -> None:
        for act in acts:
            act()

    return all_of_them


def span(topic: StreamTopic) -> TimeSpan:
    """The times that a topic takes."""
    return TimeSpan(
        ALWAYS.begins if topic.begins_ms is None else topic.begins_ms,
        ALWAYS.ends if topic.ends_ms is None else topic.ends_ms,
    )
