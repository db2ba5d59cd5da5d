"""`sistercity process`: from Kafka to cells."""

import sys
from typing import Annotated

import typer

from node import lifecycle, wiring
from node.settings import settings
from node.workers import run_workers

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
    from processors.brakes import DEAD_BLOCK, DEAD_LIMIT, ROW_LIMIT
    from processors.open_memory import OpenMemory
    from processors.plan import Plan
    from processors.reading_fold import ReadingFoldFactory
    from processors.runner import Runner
    from processors.spilling import SpillFolder
    from schemas.catalogue import metrics_of
    from schemas.topics import dataset_of
    from store.processing_postgres import PostgresStore

    stop = lifecycle.start("process")
    spill = SpillFolder(settings().spill_folder or settings().home / "open-windows")
    city, log = wiring.city(), wiring.log()
    topics = topics_of(city.id, [history] if history is not None else None)
    if history is not None:
        topics = sorted(log.topics() & set(topics))
        if not topics:
            raise wiring.CommandError(f"there is no import {history!r}: `sistercity ingest` makes one with --name")
    for topic in topics:
        wiring.ensure_topic(log, topic)
    folds = ReadingFoldFactory(
        {topic: metrics_of(dataset_of(topic)) for topic in topics},
        city.zone,
        dead_limit=DEAD_BLOCK if accept_dead else DEAD_LIMIT,
        rejected_limit=sys.maxsize if accept_rejected else ROW_LIMIT,
        memory=OpenMemory(settings().open_memory_mb << 20, spill),
    )
    plan = Plan(
        group=f"{city.id}.process" if history is None else f"{city.id}.process.{history}",  # one group a topic
        commit_s=settings().commit_seconds,
        accept_gap=accept_gap,
        accept_cut=accept_cut,
        skip={TopicPartition(topic, partition): offset for topic, partition, offset in [skip] if topic},
        until_caught_up=until_caught_up,
        retention_ms=wiring.retention_ms(log, topics),
    )
    store = PostgresStore(wiring.database_url())
    try:
        Runner(log, store, folds, plan).run(stop)
    finally:
        store.close()
        spill.close()


def topics_of(city: str, history: list[str] | None) -> list[str]:
    """The topics of the running streams, or of the imports that are named."""
    from schemas.catalogue import datasets
    from schemas.topics import history as history_topic
    from schemas.topics import live

    if not history:
        return [live(city, dataset) for dataset in datasets()]
    try:
        return [history_topic(city, dataset, name) for dataset in datasets() for name in history]
    except ValueError as error:
        raise wiring.CommandError(str(error)) from None
