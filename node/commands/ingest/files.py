"""`sistercity ingest household`: one dwelling's file."""

import uuid
from pathlib import Path
from typing import Annotated

import typer

from node import wiring
from node.commands.ingest.shared import now_ms, resolver

DATASET = "energy.readings"


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
        importer = HouseholdImport(feed, journal, resolver(connection, source), now_ms, zone or WINTER_TIME_OF_PARIS)
        imported = importer.run(file, stop)
        writer.close()
    refused = ", ".join(f"{count} {reason}" for reason, count in imported.refused.items()) or "none"
    typer.echo(f"{topic}: {imported.readings} of {imported.lines} lines sent; refused: {refused}")
    if stop.is_set():
        raise wiring.CommandError("stopped before the end of the file; import it again under another name")
    typer.echo(f"next: sistercity process --history {name} --until-caught-up")
