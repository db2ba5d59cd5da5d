"""`sistercity relay-dead-letters`: dead letters as messages in Kafka, for tools that read them there."""

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.health import SILENT_S, RoleHealth

if TYPE_CHECKING:
    from threading import Event

    from eventlog.protocol import Log

logger = logging.getLogger(__name__)


def relay_dead_letters(
    follow: Annotated[bool, typer.Option(help="go on with those to come, until stopped")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks, with --follow")] = 5.0,
) -> None:
    """Copy dead letters to the topic CITY.dlq, with Kafka Connect's headers. At least once, from where it was left."""
    from node.dead_letter_relay import ensure_dlq, relay

    health = RoleHealth("relay-dead-letters", silent_s=every + SILENT_S)
    stop = lifecycle.start("relay-dead-letters", health if follow else None)
    log = wiring.log()
    topic = ensure_dlq(log, wiring.city().id)
    if follow:
        _follow(log, topic, every, health, stop)
        return
    with wiring.database("relay-dead-letters") as connection, closing(log.writer()) as writer:
        typer.echo(f"{relay(connection, writer, topic)} dead letters copied to {topic}")


def _follow(log: "Log", topic: str, every: float, health: RoleHealth, stop: "Event") -> None:
    """Copy what comes until `stop` is set. What can't be read or delivered now is copied later."""
    import psycopg

    from eventlog.protocol import DeliveryFailed, LogUnavailable
    from node.dead_letter_relay import relay

    while not stop.is_set():
        try:
            with wiring.database("relay-dead-letters") as connection, closing(log.writer()) as writer:
                while not stop.is_set():
                    if copied := relay(connection, writer, topic):
                        logger.info("%d dead letters copied to %s", copied, topic)
                    health.report(None)
                    stop.wait(every)
        except (LogUnavailable, DeliveryFailed, psycopg.OperationalError) as error:
            logger.warning("%s; trying again in %s s", error, every)
            health.report(str(error))
            stop.wait(every)
