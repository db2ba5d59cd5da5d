"""`sistercity relay-dead-letters`: dead letters as messages in Kafka, for tools that read them there."""

from contextlib import closing
from typing import Annotated

import typer

from node import lifecycle, wiring


def relay_dead_letters(
    follow: Annotated[bool, typer.Option(help="go on with those to come, until stopped")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks, with --follow")] = 5.0,
) -> None:
    """Copy dead letters to the topic CITY.dlq, with Kafka Connect's headers. At least once, from where it was left."""
    from node.dead_letter_relay import ensure_dlq, relay

    stop = lifecycle.start("relay-dead-letters")
    log = wiring.log()
    topic = ensure_dlq(log, wiring.city().id)
    with wiring.database("relay-dead-letters") as connection, closing(log.writer()) as writer:
        copied = relay(connection, writer, topic)
        while follow and not stop.wait(every):
            copied += relay(connection, writer, topic)
    typer.echo(f"{copied} dead letters copied to {topic}")
