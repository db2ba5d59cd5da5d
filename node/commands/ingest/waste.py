"""`sistercity ingest simulate-waste`: containers, premises and collection rounds that nobody has."""

import logging
import uuid
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.report import write_report
from node.settings import settings

logger = logging.getLogger(__name__)

FILL_LEVELS = "waste.fill-levels"
COLLECTIONS = "waste.collections"


def simulate_waste(
    containers: Annotated[int, typer.Option(min=1, help="how many containers tell how full they are")] = 1_200,
    premises: Annotated[int, typer.Option(min=1, help="at how many premises waste is weighed")] = 6_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same city and the same readings")] = 1,
    faults: Annotated[bool, typer.Option(help="send some readings twice, late, broken, and count them")] = True,
    go_on: Annotated[bool, typer.Option("--follow", help="after the replay, go on in real time until stopped")] = False,
    report: Annotated[Path | None, typer.Option(help="write what was sent, as JSON, when the replay is done")] = None,
) -> None:
    """Simulate a city's waste: load its register, replay fill levels of a day and weighings of a whole local day.

    Before them go the collection rounds' statements of the last two months.
    """
    from ingest.feed import Feed
    from ingest.journal import StoreJournal
    from ingest.register import stored_register
    from ingest.register_file import load_register, write_register
    from ingest.simulated.bins import Bins
    from ingest.simulated.faults import NO_FAULTS, OFTEN
    from ingest.simulated.premises import Premises
    from ingest.simulated.rounds import Rounds
    from ingest.simulated.simulator import Simulator, follow
    from ingest.simulated.spans import last_day, last_hours
    from schemas.topics import live

    stop = lifecycle.start("ingest")
    city, log = wiring.city(), wiring.log()
    topics = [live(city.id, dataset) for dataset in (FILL_LEVELS, COLLECTIONS)]
    for topic in topics:
        wiring.ensure_topic(log, topic)
    bins, weighed = Bins(city, containers, seed), Premises(city, premises, seed)
    rounds = Rounds(city, weighed.people, seed)
    rates = OFTEN if faults else NO_FAULTS
    with wiring.database("ingest") as connection:
        path = settings().home / f"register-waste-{city.id}.csv"
        write_register(path, chain(bins.register(), weighed.register(), rounds.register()))
        logger.info("loading the register of %d containers and %d premises", containers, premises)
        load_register(connection, city, path, now_ms(), weighed.people)
        register = stored_register(connection)
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        feeds = [Feed(writer, topic, journal) for topic in topics]
        simulators = [
            Simulator(bins, feeds[0], journal, register, now_ms, rates),
            Simulator(weighed, feeds[1], journal, register, now_ms, rates),
        ]
        now = now_ms()
        spans = (
            last_hours(now, city.zone, max(metric.lateness_ms for metric in bins.metrics)),
            last_day(now, city.zone, max(metric.lateness_ms for metric in weighed.metrics)),
        )
        rounds.send_last(feeds[1], register, now)
        for simulator, (start, end) in zip(simulators, spans, strict=True):
            logger.info("replaying %d hours", (end - start) // 3_600_000)
            logger.info("%s", simulator.replay(start, end, stop))
        if report is not None and not stop.is_set():
            sent = [asdict(simulator.expected) for simulator in simulators]
            write_report(report, dict(zip((FILL_LEVELS, COLLECTIONS), sent, strict=True)))
        if go_on:
            follow(simulators, stop, spans[0][1])
        writer.close()
