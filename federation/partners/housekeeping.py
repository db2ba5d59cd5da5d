"""What the puller does beside pulling: it erases what may be kept no longer, also of agreements that have ended, and
counts partners by how they stand."""

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable
from functools import partial
from typing import get_args

import psycopg
from prometheus_client import Counter, Gauge

from federation.partners.database import Threads
from store.database import Connection
from store.partner_standing import StandingWord, metric_standings, partner_standings
from store.retention import erase_expired

log = logging.getLogger(__name__)

ERASED = Counter(
    "sistercity_erased_copies", "Bodies of partners, and publications' figures, erased when their retention was over."
)

STANDINGS = Gauge("sistercity_partners", "Partners by how they stand, as `sistercity status` says it.", ["standing"])
STOPPED = Gauge(
    "sistercity_partner_metric_stopped",
    "1 for each metric of a city of which nothing more is taken, and why: refused or contradicted.",
    ["city", "metric", "standing"],
)

_AT_ONCE = 200
"""So many bodies, and publications with their cells, go in one transaction."""
_PERIOD_S = 600.0
_COUNT_S = 30.0


async def keep_house(threads: Threads, now_ms: Callable[[], int]) -> None:
    """Erase what is over, every ten minutes, until this is cancelled. `now_ms` gives ms since 1970, UTC."""
    while True:
        try:
            await erase_what_is_over(threads, now_ms())
        except psycopg.Error as error:
            log.warning("the database did not answer; erasing what is over in %s s: %s", _PERIOD_S, error)
        await asyncio.sleep(_PERIOD_S)


async def count_partners(threads: Threads, now_ms: Callable[[], int]) -> None:
    """Keep the gauges of partners and of stopped metrics, every half minute, until this is cancelled."""
    while True:
        try:
            await threads.with_database(lambda connection: show_partners(connection, now_ms()))
        except psycopg.Error as error:
            log.warning("the database did not answer; counting partners in %s s: %s", _COUNT_S, error)
        await asyncio.sleep(_COUNT_S)


def show_partners(connection: Connection, now_ms: int) -> None:
    """Set the gauges of partners by standing and of stopped metrics. `now_ms` in ms since 1970, UTC."""
    tally = Tally(partner.standing for partner in partner_standings(connection, now_ms))
    stopped = [each for each in metric_standings(connection, now_ms) if each.standing in ("refused", "contradicted")]
    for word in get_args(StandingWord):
        STANDINGS.labels(word).set(tally[word])
    STOPPED.clear()
    for metric in stopped:
        STOPPED.labels(metric.city, metric.metric, metric.standing).set(1)


async def erase_what_is_over(threads: Threads, now_ms: int) -> int:
    """Erase all bodies and figures of partners whose retention is over; returns how many. Raises psycopg's errors.

    Part by part, each a transaction of its own, so that pulls go on between them.
    """
    erased = 0
    while part := await threads.with_database(partial(erase_expired, now_ms=now_ms, most=_AT_ONCE)):
        erased += part
        ERASED.inc(part)
    if erased:
        log.info("erased %d bodies and publications of partners, whose retention is over", erased)
    return erased
