"""`sistercity correct`: windows to which readings came late are read again."""

import logging
from contextlib import closing
from typing import Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.health import RoleHealth
from node.settings import settings

logger = logging.getLogger(__name__)

_LONGEST_TURN_S = 1800.0
"""A turn reads whole windows again; that of a large city after a week takes minutes."""


def correct(
    once: Annotated[bool, typer.Option(help="correct what is due, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks")] = 60.0,
) -> None:
    """Read windows again whose readings came late, an hour, a day and a week after their slot, until stopped."""
    import psycopg

    from eventlog.protocol import LogUnavailable
    from node.correcting import Corrector
    from processors.open_memory import OpenMemory
    from processors.rereading import Interrupted
    from processors.spilling import SpillFolder

    stop = lifecycle.start("correct", health := RoleHealth("correct", silent_s=every + _LONGEST_TURN_S))
    city, log = wiring.city(), wiring.log()
    if not once:
        logger.info("looking every %g s for windows to which readings came late", every)
    with closing(SpillFolder(settings().spill_folder or settings().home / "open-windows")) as spill:
        corrector = Corrector(log, city.id, city.zone, OpenMemory(settings().open_memory_mb << 20, spill), stop)
        while not stop.is_set():
            try:
                with wiring.database("correct") as connection:
                    outcomes = corrector.correct_due(connection, now_ms())
            except Interrupted:
                return
            except (LogUnavailable, psycopg.OperationalError) as error:
                if once:
                    raise
                logger.warning("%s; trying again in %s s", error, every)
                health.report(str(error))
            else:
                health.report(None)
                if once:
                    counts = [f"{count} {outcome}" for outcome, count in outcomes.items()]
                    typer.echo(", ".join(counts) or "nothing is due")
                    return
            stop.wait(every)
