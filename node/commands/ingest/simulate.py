"""`sistercity ingest simulate`: a simulated city's meters."""

import logging
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.report import sent_in_words, write_report
from node.commands.ingest.simulated_measurement import DAYS, measure_simulated
from node.commands.ingest.simulated_register import load_simulated
from node.health import ANSWER_S, SILENT_S, RoleHealth

logger = logging.getLogger(__name__)

DATASET = "energy.readings"


def simulate(
    meters: Annotated[int, typer.Option(min=1, help="how many meters the city has")] = 20_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same city and the same readings")] = 1,
    faults: Annotated[bool, typer.Option(help="send some readings twice, late, broken, and count them")] = True,
    go_on: Annotated[
        bool, typer.Option("--follow", help="after the last day, go on in real time until stopped")
    ] = False,
    measured_days: Annotated[
        int,
        typer.Option(min=0, help="days before the replay that count as measured: from them it is decided what is open"),
    ] = DAYS,
    report: Annotated[Path | None, typer.Option(help="write what was sent, as JSON, when the replay is done")] = None,
) -> None:
    """Simulate a city's meters: load their register, replay the last day as fast as possible; --follow goes on."""
    from ingest.feed import Feed, feeder_named
    from ingest.journal import StoreJournal
    from ingest.register import stored_register
    from ingest.routes import stored_routes
    from ingest.simulated.faults import NO_FAULTS, FaultRates
    from ingest.simulated.fleet import Fleet
    from ingest.simulated.simulator import Simulator, follow
    from ingest.simulated.spans import last_hours
    from schemas.topics import live

    health = RoleHealth("ingest", silent_s=3 * SILENT_S)
    stop = lifecycle.start("ingest", health if go_on else None)
    city, log = wiring.city(), wiring.log()
    topic = live(city.id, DATASET)
    wiring.ensure_topic(log, topic)
    fleet = Fleet(city, meters, seed)
    with wiring.database("ingest") as connection:
        logger.info("loading the register of %d meters", meters)
        load_simulated(connection, city, f"register-{city.id}.csv", fleet.register(), fleet.people)
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        routes = stored_routes(connection, city.id, DATASET, now_ms)
        feed = Feed(writer, topic, journal, feeder_named("simulator", fleet.origin), routes, health.report)
        rates = FaultRates() if faults else NO_FAULTS
        registered = stored_register(connection, now_ms)
        simulator = Simulator(fleet, feed, journal, registered, now_ms, rates)
        start, end = last_hours(now_ms(), city.zone, max(metric.delay_ms for metric in fleet.metrics))
        measure_simulated(connection, fleet, registered, start, measured_days)
        logger.info("replaying %d hours", (end - start) // 3_600_000)
        expected = simulator.replay(start, end, stop)
        logger.info("%s", sent_in_words(expected))
        if report is not None and not stop.is_set():
            write_report(report, {DATASET: asdict(expected)})
        if go_on:
            follow([simulator], stop, end, wiring.log(patience_s=ANSWER_S))
        writer.close()
