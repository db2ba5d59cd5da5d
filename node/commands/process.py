"""`sistercity process`: from Kafka to cells."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.health import RoleHealth
from node.instance import instance
from node.settings import settings
from node.workers import run_workers

if TYPE_CHECKING:
    from processors.reading_fold import ReadingFoldFactory
    from processors.readings import TimeSpan
    from processors.spilling import SpillFolder

WORKERS = "how many processes do the work: one for each core that they may use"


def process(
    context: typer.Context,
    history: Annotated[str | None, typer.Option(help="process this import, not the running streams")] = None,
    until_caught_up: Annotated[bool, typer.Option(help="end when nothing is left to read")] = False,
    accept_gap: Annotated[bool, typer.Option(help="go on past messages that retention took")] = False,
    accept_cut: Annotated[bool, typer.Option(help="go on at the end of a log that was cut short")] = False,
    skip: Annotated[
        tuple[str, int, int],
        typer.Option(metavar="TOPIC PARTITION OFFSET", help="go on past the batch at this offset, which can't be read"),
    ] = ("", 0, 0),
    accept_dead: Annotated[bool, typer.Option(help="go on however many messages are dead")] = False,
    accept_rejected: Annotated[bool, typer.Option(help="go on however many rows are rejected")] = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help=WORKERS)] = 1,
) -> None:
    """Reduce the city's streams to cells, until stopped. Processes share the partitions, on one machine or several."""
    if workers > 1:
        run_workers("process", context, workers, lasting=not until_caught_up)
        return
    from eventlog.protocol import TopicPartition
    from node.live_processing import process_history, process_live
    from processors.plan import Plan
    from processors.process_memory import prepare_memory
    from processors.spilling import SpillFolder
    from store.processing_postgres import PostgresStore

    stop = lifecycle.start("process", health := RoleHealth("process"))
    spill = SpillFolder(settings().spill_folder or settings().home / "open-windows")
    city, log = wiring.city(), wiring.log()
    folds = partial(_folds, city.zone, spill, accept_dead, accept_rejected)
    group = f"{city.id}.process" if history is None else f"{city.id}.process.{history}"  # one group a topic
    plan = Plan(
        group=group,
        commit_s=settings().commit_seconds,
        accept_gap=accept_gap,
        accept_cut=accept_cut,
        skip={TopicPartition(topic, partition): offset for topic, partition, offset in [skip] if topic},
        until_caught_up=until_caught_up,
    )
    with (
        instance(group, lasting=not until_caught_up) as name,
        closing(spill),
        closing(PostgresStore(wiring.database_url())) as store,
    ):
        plan = replace(plan, instance=name)
        prepare_memory()
        if history is None:
            process_live(log, store, city.id, plan, folds, stop, health.report)
        else:
            topics = import_topics(city.id, [history])
            process_history(log, store, history, topics, plan, folds, stop, health.report)


def _folds(
    zone: str, spill: "SpillFolder", accept_dead: bool, accept_rejected: bool, spans: "Mapping[str, TimeSpan]"
) -> "ReadingFoldFactory":
    """The folds of the topics that `spans` names, which share the limit of memory."""
    from processors.brakes import DEAD_BLOCK, DEAD_LIMIT, ROW_LIMIT
    from processors.open_memory import OpenMemory
    from processors.reading_fold import ReadingFoldFactory
    from schemas.catalogue import metrics_of
    from schemas.topics import dataset_of

    return ReadingFoldFactory(
        {topic: metrics_of(dataset_of(topic)) for topic in spans},
        zone,
        dead_limit=DEAD_BLOCK if accept_dead else DEAD_LIMIT,
        rejected_limit=sys.maxsize if accept_rejected else ROW_LIMIT,
        memory=OpenMemory(settings().open_memory_mb << 20, spill),
        spans=spans,
    )


def import_topics(city: str, names: Sequence[str]) -> list[str]:
    """The topics that imports of these names may have. Raises `CommandError` for a name that no import can have."""
    from schemas.catalogue import datasets
    from schemas.topics import history

    try:
        return [history(city, dataset, name) for dataset in datasets() for name in names]
    except ValueError as error:
        raise wiring.CommandError(str(error)) from None
