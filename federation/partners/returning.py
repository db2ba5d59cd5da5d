"""Bodies of our own that were lost, back from partners who have them: asked for by the hashes that our entries name."""

import logging

from joserfc.jwk import OKPKey

from federation.partners.connecting import client
from federation.partners.database import Threads
from federation.partners.fetching import Fetcher
from federation.partners.identities import access_key
from federation.partners.limits import PartnerError
from federation.partners.pulling import Pulling
from federation.partners.remote import RemoteCity
from federation.publications.chain import BrokenChain
from federation.publications.recovery import take_back
from store.agreements import InstalledAgreement, in_force
from store.database import Connection
from store.recovery import LostBody, lost_bodies

log = logging.getLogger(__name__)


async def return_lost(pulling: Pulling) -> tuple[int, int]:
    """Ask the cities of all agreements, in turn, for every body that was lost here and not withdrawn.

    Returns how many came back, and how many are lost still. A city that fails is logged. Raises psycopg's errors.
    """
    with Threads(pulling.database_url) as threads:
        missing = {lost.hash: lost for lost in await threads.with_database(lost_bodies)}
        wanted = len(missing)
        async with client(pulling.limits, pulling.network) as http:
            fetcher = Fetcher(http, pulling.limits)
            for agreement in await threads.with_database(in_force):
                if missing and agreement.addresses:
                    try:
                        await _ask(pulling, agreement, threads, fetcher, missing)
                    except PartnerError as error:  # another may have it
                        log.warning("partner %s: %s", agreement.city, error)
    return wanted - len(missing), len(missing)


async def _ask(
    pulling: Pulling,
    agreement: InstalledAgreement,
    threads: Threads,
    fetcher: Fetcher,
    missing: dict[str, LostBody],
) -> None:
    async def key() -> OKPKey:
        return await access_key(threads, pulling.keys, pulling.now_ms())

    source = RemoteCity(agreement, key, fetcher, pulling.now_ms)
    try:
        await source.identity()
        for hash_, lost in list(missing.items()):
            source.begin()
            content = await source.body(hash_)
            if content is not None:
                await _take(agreement, threads, lost, content)
                del missing[hash_]
    finally:
        source.end()


async def _take(agreement: InstalledAgreement, threads: Threads, lost: LostBody, content: bytes) -> None:
    def take(connection: Connection) -> bool:
        return take_back(connection, lost, content)

    try:
        await threads.with_database(take)
    except BrokenChain as error:
        raise PartnerError("other-hash", f"{agreement.city} gives another body than was asked for: {error}") from None
