"""`sistercity publish`: closed windows become publications."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.commands.process import import_topics

if TYPE_CHECKING:
    from schemas.catalogue import Metric
    from store.database import Connection


def publish(
    history: Annotated[list[str] | None, typer.Option(help="publish this import, not the running streams")] = None,
    once: Annotated[bool, typer.Option(help="publish what is ready, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks")] = 5.0,
    after_restore: Annotated[bool, typer.Option(help="the database was restored: begin a new log")] = False,
) -> None:
    """Publish every window that all partitions have passed, cell by cell released or suppressed, until stopped."""
    from federation.publications.publisher import Publisher, publish_ready
    from node.stream_topics import stream_topics
    from schemas.catalogue import metrics_of
    from schemas.topics import dataset_of
    from store.generations import generations
    from store.publications import new_log

    stop = lifecycle.start("publish")
    city = wiring.city().id
    past = import_topics(city, history or [])

    def topics(connection: "Connection") -> "Mapping[str, Sequence[Metric]]":
        names = past or [topic.name for topic in stream_topics(city, generations(connection))]
        return {topic: metrics_of(dataset_of(topic)) for topic in names}

    if after_restore:
        with wiring.database("publish") as connection:
            typer.echo(
                f"the publication log is {new_log(connection)} from now on; partners start again from its beginning"
            )
    if not once:
        Publisher(wiring.database_url(), topics, poll_s=every, stop=stop).run()
        return
    with wiring.database("publish") as connection:
        for topic, of_topic in topics(connection).items():
            while not stop.is_set() and (made := publish_ready(connection, of_topic, topic)):
                for publication in made:
                    window = publication.header
                    typer.echo(
                        f"{window.metric} {window.sequence}: {publication.released} released,"
                        f" {publication.suppressed} suppressed"
                    )
