"""`sistercity ingest`: sources to Kafka."""

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import wiring
from node.settings import settings

if TYPE_CHECKING:
    from schemas.catalogue import Metric
    from store.database import Connection
    from store.resolution import Resolved

logger = logging.getLogger(__name__)

app = typer.Typer(help="Send a source's readings to Kafka.", no_args_is_help=True)

DATASET = "energy.readings"
DAY_MS = 86_400_000
QUARTER_MS = 900_000


@app.command()
def simulate(
    meters: Annotated[int, typer.Option(min=1, help="how many meters the city has")] = 20_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same city and the same readings")] = 1,
    faults: Annotated[bool, typer.Option(help="send some readings twice, late, broken, and count them")] = True,
    follow: Annotated[bool, typer.Option(help="after the last day, go on in real time until stopped")] = False,
    report: Annotated[Path | None, typer.Option(help="write what was sent, as JSON, when the replay is done")] = None,
) -> None:
    """Simulate a city's meters: load their register, replay the last day as fast as possible, then follow the clock."""
    from ingest.faults import NO_FAULTS, FaultRates
    from ingest.feed import Feed
    from ingest.fleet import Fleet
    from ingest.journal import StoreJournal
    from ingest.register import load_register
    from ingest.simulator import Simulator
    from schemas.topics import live

    stop = wiring.start("ingest")
    city, log = wiring.city(), wiring.log()
    topic = live(city.id, DATASET)
    wiring.ensure_topic(log, topic)
    fleet = Fleet(city, meters, seed)
    with wiring.database("ingest") as connection:
        path = settings().home / f"register-{city.id}.csv"
        fleet.write_register(path)
        logger.info("loading the register of %d meters", meters)
        load_register(connection, city, path, _now_ms(), fleet.people)
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        feed = Feed(writer, topic, journal)
        simulator = Simulator(
            fleet, feed, journal, _resolver(connection), _now_ms, FaultRates() if faults else NO_FAULTS
        )
        start, end = last_day(_now_ms(), city.zone)
        logger.info("replaying %d hours", (end - start) // 3_600_000)
        expected = simulator.replay(start, end, stop)
        logger.info("%s", expected)
        if report is not None and not stop.is_set():
            _write(report, asdict(expected))
        if follow:
            simulator.run(stop, end)
        writer.close()


@app.command()
def household(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="the file of UCI data set 235")],
    source: Annotated[str, typer.Option(help="the source's id in the register")],
    name: Annotated[str, typer.Option(help="a name for this import; it becomes part of its topic")],
    zone: Annotated[str | None, typer.Option(help="zone of the file's times; default: Paris' winter time")] = None,
) -> None:
    """Import one dwelling's measurements as history, into a topic of their own."""
    from ingest.feed import Feed
    from ingest.household import WINTER_TIME_OF_PARIS, HouseholdImport
    from ingest.journal import StoreJournal
    from schemas.topics import history

    stop = wiring.start("ingest")
    city, log = wiring.city(), wiring.log()
    try:
        topic = history(city.id, DATASET, name)
    except ValueError as error:
        raise wiring.CommandError(str(error)) from None
    wiring.ensure_topic(log, topic)
    with wiring.database("ingest") as connection:
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        feed = Feed(writer, topic, journal)
        importer = HouseholdImport(feed, journal, _resolver(connection, source), _now_ms, zone or WINTER_TIME_OF_PARIS)
        imported = importer.run(file, stop)
        writer.close()
    refused = ", ".join(f"{count} {reason}" for reason, count in imported.refused.items()) or "none"
    typer.echo(f"{topic}: {imported.readings} of {imported.lines} lines sent; refused: {refused}")
    if stop.is_set():
        raise wiring.CommandError("stopped before the end of the file; import it again under another name")
    typer.echo(f"next: sistercity process --history {name} --until-caught-up")


def last_day(now_ms: int, zone: str) -> tuple[int, int]:
    """The span whose replay closes the last 24 whole hours: up to the last full quarter hour on the city's clock."""
    from schemas.catalogue import metrics_of

    offset = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone)).utcoffset()
    shift = round(offset.total_seconds() * 1000) if offset else 0
    end = now_ms - (now_ms + shift) % QUARTER_MS
    lateness = max(metric.lateness_ms for metric in metrics_of(DATASET))
    closed = end - lateness
    closed -= (closed + shift) % 3_600_000
    return closed - DAY_MS, end


def _resolver(connection: "Connection", source: str | None = None) -> "Callable[[Metric, int], Resolved]":
    return partial(_resolved, connection, source)


def _resolved(connection: "Connection", source: str | None, metric: "Metric", at_ms: int) -> "Resolved":
    from store.resolution import resolve

    return resolve(connection, metric.name, at_ms, metric.classes, source)


def _now_ms() -> int:
    return round(time() * 1000)


def _write(path: Path, content: object) -> None:
    """Write at once: whoever waits for the file finds all of it."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content))
    draft.replace(path)
