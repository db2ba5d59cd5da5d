"""`sistercity ingest simulate-waste`: a simulated city's containers, premises and collection rounds."""

import logging
import uuid
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.report import sent_in_words, write_report
from node.commands.ingest.simulated_measurement import DAYS, measure_simulated
from node.commands.ingest.simulated_register import load_simulated
from node.health import ANSWER_S, SILENT_S, RoleHealth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from eventlog.protocol import Writer
    from ingest.feed import Feed
    from ingest.journal import Journal
    from ingest.simulated.simulator import Simulator
    from store.database import Connection

logger = logging.getLogger(__name__)

FILL_LEVELS = "waste.fill-levels"
COLLECTIONS = "waste.collections"


def simulate_waste(
    containers: Annotated[int, typer.Option(min=1, help="how many containers tell how full they are")] = 1_200,
    premises: Annotated[int, typer.Option(min=1, help="at how many premises waste is weighed")] = 6_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same city and the same readings")] = 1,
    faults: Annotated[bool, typer.Option(help="send some readings twice, late, broken, and count them")] = True,
    go_on: Annotated[bool, typer.Option("--follow", help="after the replay, go on in real time until stopped")] = False,
    measured_days: Annotated[
        int,
        typer.Option(min=0, help="days before the replay that count as measured: from them it is decided what is open"),
    ] = DAYS,
    report: Annotated[Path | None, typer.Option(help="write what was sent, as JSON, when the replay is done")] = None,
) -> None:
    """Simulate a city's waste: load its register, replay fill levels of a day and weighings of a whole local day.

    The collection rounds' statements of the last two months are sent first.
    """
    from ingest.journal import StoreJournal
    from ingest.register import stored_register
    from ingest.simulated.bins import Bins
    from ingest.simulated.faults import NO_FAULTS, OFTEN
    from ingest.simulated.premises import Premises
    from ingest.simulated.rounds import Rounds
    from ingest.simulated.simulator import Simulator, follow
    from schemas.topics import live

    health = RoleHealth("ingest", silent_s=3 * SILENT_S)
    stop = lifecycle.start("ingest", health if go_on else None)
    city, log = wiring.city(), wiring.log()
    for dataset in (FILL_LEVELS, COLLECTIONS):
        wiring.ensure_topic(log, live(city.id, dataset))
    bins, weighed = Bins(city, containers, seed), Premises(city, premises, seed)
    rounds = Rounds(city, weighed.people, seed)
    with wiring.database("ingest") as connection:
        rows = chain(bins.register(), weighed.register(), rounds.register())
        logger.info("loading the register of %d containers and %d premises", containers, premises)
        load_simulated(connection, city, f"register-waste-{city.id}.csv", rows, weighed.people)
        register = stored_register(connection, now_ms)
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        feeds = _feeds(connection, writer, journal, city.id, seed, health)
        others = (journal, register, now_ms, OFTEN if faults else NO_FAULTS)
        simulators = [Simulator(bins, feeds[0], *others), Simulator(weighed, feeds[1], *others)]
        spans = _spans(simulators, now := now_ms())
        for simulator, (start, _) in zip(simulators, spans, strict=True):
            measure_simulated(connection, simulator.sources, register, start, measured_days)
        rounds.send_last(feeds[1], register, now)
        _replay(simulators, spans, stop, report)
        if go_on:
            follow(simulators, stop, spans[0][1], wiring.log(patience_s=ANSWER_S))
        writer.close()


def _feeds(
    connection: "Connection", writer: "Writer", journal: "Journal", city: str, seed: int, health: RoleHealth
) -> "Sequence[Feed]":
    """The feeds of fill levels and of weighings."""
    from ingest.feed import Feed, feeder_named
    from ingest.routes import stored_routes
    from schemas.topics import live

    feeder = feeder_named("simulator", f"waste/{city}/{seed}")
    return [
        Feed(
            *(writer, live(city, dataset), journal, feeder, stored_routes(connection, city, dataset, now_ms)),
            health.report,
        )
        for dataset in (FILL_LEVELS, COLLECTIONS)
    ]


def _replay(
    simulators: "Sequence[Simulator]", spans: "Sequence[tuple[int, int]]", stop: "Event", report: Path | None
) -> None:
    """Replay each simulator's span, and write what was sent unless that was stopped."""
    for simulator, (start, end) in zip(simulators, spans, strict=True):
        logger.info("replaying %d hours", (end - start) // 3_600_000)
        logger.info("%s", sent_in_words(simulator.replay(start, end, stop)))
    if report is not None and not stop.is_set():
        sent = [asdict(simulator.expected) for simulator in simulators]
        write_report(report, dict(zip((FILL_LEVELS, COLLECTIONS), sent, strict=True)))


def _spans(simulators: "Sequence[Simulator]", now: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """For fill levels and for weighings, the span whose replay closes whole windows."""
    from ingest.simulated.spans import last_day, last_hours

    levels, weighings = simulators
    zone = levels.sources.city.zone
    return (
        last_hours(now, zone, max(metric.delay_ms for metric in levels.sources.metrics)),
        last_day(now, zone, max(metric.delay_ms for metric in weighings.sources.metrics)),
    )
