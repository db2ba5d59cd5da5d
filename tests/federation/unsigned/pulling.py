"""Pulling partners: one of them once, or many again and again."""

import asyncio
import logging
from collections.abc import Sequence

import psycopg

from federation.partners.limits import PartnerError
from tests.federation.unsigned.fetching import UnsignedLimits, client
from tests.federation.unsigned.partner import PartnerAddress, UnsignedPuller, UnsignedResult

log = logging.getLogger(__name__)


async def pull(
    partner: PartnerAddress, database_url: str, own_city: str, limits: UnsignedLimits | None = None
) -> UnsignedResult:
    """Read a partner's log from where the last pull ended to its end, and store it.

    Raises `PartnerError` if the partner does not answer or sends what it must not (the pages before that are kept,
    nothing of that page), and psycopg's errors.
    """
    limits = limits or UnsignedLimits()
    async with client(limits) as http:
        return await UnsignedPuller(partner, database_url, own_city, limits, http).pull()


async def follow(
    partners: Sequence[PartnerAddress],
    database_url: str,
    own_city: str,
    stop: asyncio.Event,
    *,
    poll_s: float,
    limits: UnsignedLimits | None = None,
) -> None:
    """Pull all partners every `poll_s` seconds, independently of each other, until `stop` is set.

    A partner that fails is logged, counted and tried again at its next turn. Raises `PartnerError` for an address that
    is no URL.
    """
    limits = limits or UnsignedLimits()
    async with client(limits) as http:
        tasks = [
            asyncio.create_task(_keep_pulling(UnsignedPuller(partner, database_url, own_city, limits, http), poll_s))
            for partner in partners
        ]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_pulling(puller: UnsignedPuller, poll_s: float) -> None:
    while True:
        try:
            await puller.pull()
        except PartnerError as error:
            log.warning("partner %s: %s", puller.partner.url, error)
        except psycopg.OperationalError as error:
            log.warning("the database did not answer; trying again in %s s: %s", poll_s, error)
        except Exception:  # an unforeseen error with one partner must not end the pulling of the others
            log.exception("partner %s: unforeseen error", puller.partner.url)
        await asyncio.sleep(poll_s)
