"""`sistercity publish`: closed windows become publications."""

from typing import Annotated

import typer

from node import lifecycle, wiring
from node.commands.process import topics_of


def publish(
    history: Annotated[list[str] | None, typer.Option(help="publish this import, not the running streams")] = None,
    once: Annotated[bool, typer.Option(help="publish what is ready, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks")] = 5.0,
    after_restore: Annotated[bool, typer.Option(help="the database was restored: begin a new log")] = False,
) -> None:
    """Publish every window that all partitions have passed, cell by cell released or suppressed, until stopped."""
    from federation.publisher import Publisher, publish_ready
    from schemas.catalogue import metrics_of
    from schemas.topics import dataset_of
    from store.publications import new_log

    stop = lifecycle.start("publish")
    metrics = {topic: metrics_of(dataset_of(topic)) for topic in topics_of(wiring.city().id, history)}
    if after_restore:
        with wiring.database("publish") as connection:
            typer.echo(
                f"the publication log is {new_log(connection)} from now on; partners start again from its beginning"
            )
    if not once:
        Publisher(wiring.database_url(), metrics, poll_s=every, stop=stop).run()
        return
    with wiring.database("publish") as connection:
        for topic, of_topic in metrics.items():
            while not stop.is_set() and (made := publish_ready(connection, of_topic, topic)):
                for publication in made:
                    window = publication.header
                    typer.echo(
                        f"{window.metric} {window.sequence}: {publication.released} released,"
                        f" {publication.suppressed} suppressed"
                    )
