"""Asking the cities of all agreements: once, or again and again, each on its own schedule."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from joserfc.jwk import OKPKey

from federation.identity.expiry import AGREEMENT_EXPIRES, forget_partner
from federation.partners.bundles import BadBundle, opened_bundle
from federation.partners.connecting import client
from federation.partners.database import Threads
from federation.partners.fetching import Fetcher
from federation.partners.housekeeping import count_partners, erase_what_is_over, keep_house
from federation.partners.identities import access_key
from federation.partners.limits import FetchLimits, Network, PartnerError
from federation.partners.partner import PARTNER_SUCCESS, Puller, PullResult
from federation.partners.remote import RemoteCity
from store.agreements import InstalledAgreement, in_force
from store.database import DatabaseRefused, DatabaseUrl
from store.partner_standing import last_successes

log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_EARLIER = 0.05
"""A pull comes up to this share of the period before its turn, so that partners are not all asked at once."""


def present_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Pulling:
    """What pulling needs. `keys` are the private keys of use `access` that are held here; `now_ms` is the clock that
    signatures are judged by."""

    database_url: DatabaseUrl
    keys: Sequence[OKPKey]
    limits: FetchLimits = field(default_factory=FetchLimits)
    network: Network = field(default_factory=Network)
    now_ms: Callable[[], int] = present_ms


@dataclass(frozen=True, slots=True)
class Pulled:
    """How one agreement was pulled: its result, or why there is none."""

    city: str
    agreement: str
    result: PullResult | None
    failure: str | None


async def pull(pulling: Pulling) -> list[Pulled]:
    """Pull every agreement in force to its end, all at the same time; then erase what may be kept no longer.

    One that fails is in the result. Raises psycopg's errors.
    """
    with Threads(pulling.database_url) as threads:
        async with client(pulling.limits, pulling.network) as http:
            fetcher = Fetcher(http, pulling.limits)
            agreements = await _asked(threads)
            pulled = await asyncio.gather(
                *(_once(pulling, agreement, threads, fetcher, _DAY_S) for agreement in agreements)
            )
        await erase_what_is_over(threads, pulling.now_ms())
    return pulled


async def follow(
    pulling: Pulling, stop: asyncio.Event, *, poll_s: float, report: Callable[[str | None], None] = lambda failure: None
) -> None:
    """Ask every city with an agreement each `poll_s` seconds, until `stop` is set.

    Each has a schedule of its own, spread over the period, so that no partner delays another. One that fails is logged,
    counted and tried again in its turn. Agreements that come or end meanwhile are noticed within a period. What may be
    kept no longer is erased meanwhile. `report` is told, as None, that the database answered, and in words that it did
    not. Raises what ends the pulling of all.
    """
    with Threads(pulling.database_url) as threads:
        async with client(pulling.limits, pulling.network) as http:
            schedule = _Schedule(pulling, threads, Fetcher(http, pulling.limits), poll_s)
            tasks = [
                asyncio.create_task(schedule.watch(report)),
                asyncio.create_task(keep_house(threads, pulling.now_ms)),
                asyncio.create_task(count_partners(threads, pulling.now_ms)),
                asyncio.create_task(stop.wait()),
            ]
            try:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await schedule.end()


async def pull_bundle(pulling: Pulling, path: Path) -> Pulled:
    """Take what a bundle holds, as if its city had answered now. Raises `BadBundle` and psycopg's errors."""
    with Threads(pulling.database_url) as threads, opened_bundle(path, pulling.limits) as bundle:
        for agreement in await threads.with_database(in_force):
            if agreement.id == bundle.agreement:
                puller = Puller(agreement, bundle, threads, pulling.limits, pulling.now_ms, _DAY_S)
                return await _outcome(puller)
    raise BadBundle("the bundle belongs to an agreement that is not in force here: `sistercity agreement list`")


class _Schedule:
    """One task for each agreement."""

    def __init__(self, pulling: Pulling, threads: Threads, fetcher: Fetcher, poll_s: float) -> None:
        self._pulling = pulling
        self._threads = threads
        self._fetcher = fetcher
        self._poll_s = poll_s
        self._tasks: dict[tuple[str, int, tuple[str, ...]], asyncio.Task[None]] = {}
        self._shown: set[tuple[str, str]] = set()
        self._ever_shown: set[tuple[str, str]] = set()

    async def watch(self, report: Callable[[str | None], None]) -> None:
        """Start and end tasks as agreements begin and end."""
        while True:
            try:
                agreements = {(each.id, each.version, each.addresses): each for each in await _asked(self._threads)}
                successes = await self._threads.with_database(last_successes) if agreements.keys() - self._tasks else {}
            except psycopg.Error as error:
                log.warning("the database did not answer; trying again in %s s: %s", self._poll_s, error)
                report(f"the database did not answer: {error}")
            else:
                report(None)
                for key in self._tasks.keys() - agreements.keys():
                    self._tasks.pop(key).cancel()
                self._show_only({(each.city, each.id) for each in agreements.values()}, successes)
                for key in agreements.keys() - self._tasks.keys():
                    self._tasks[key] = asyncio.create_task(self._keep_pulling(agreements[key]))
            await asyncio.sleep(min(self._poll_s, 30.0))

    def _show_only(self, pulled: set[tuple[str, str]], successes: Mapping[str, int]) -> None:
        """Let metrics name these cities and agreements, and no others: those would look like ones that don't answer.

        New ones show the last success before this process: a restart must not look like a partner never pulled. Those
        that ended are removed each time: a turn that was under way at the end may show itself once more, from a thread.
        """
        for city, agreement in self._ever_shown - pulled:
            AGREEMENT_EXPIRES.remove(city, agreement)
            PARTNER_SUCCESS.remove(city, agreement)
        for city in {city for city, _ in self._ever_shown} - {city for city, _ in pulled}:
            forget_partner(city)
        for city, agreement in pulled - self._shown:
            if (at := successes.get(agreement)) is not None:
                PARTNER_SUCCESS.labels(city, agreement).set(at / 1000)
        self._shown = pulled
        self._ever_shown |= pulled

    async def end(self) -> None:
        """End all tasks."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep_pulling(self, agreement: InstalledAgreement) -> None:
        fresh_s = 3 * self._poll_s
        puller: Puller | None = None
        due = time.monotonic() + random.uniform(0, self._poll_s / 2)
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + self._poll_s * random.uniform(1 - _EARLIER, 1)
            try:
                if puller is None:
                    puller = _puller(self._pulling, agreement, self._threads, self._fetcher, fresh_s)
                _say(await puller.pull())
            except PartnerError as error:
                log.warning("partner %s: %s", agreement.city, error)
            except (psycopg.Error, DatabaseRefused) as error:  # `watch` meets a refusal too, and ends
                log.warning("the database did not answer; trying again in %s s: %s", self._poll_s, error)
            except Exception:  # an unforeseen error with one partner must not end the pulling of the others
                log.exception("partner %s: unforeseen error", agreement.city)


def _say(done: PullResult) -> None:
    """A line for each pull: one that brought nothing is no news."""
    if done.nothing_yet is not None:
        log.debug("%s", done.nothing_yet)
        return
    level = logging.INFO if done.entries or done.bodies else logging.DEBUG
    log.log(level, "pulled %s: %d entries, %d bodies", done.city, done.entries, done.bodies)
    for metric, words in done.refused.items():
        log.warning("partner %s: nothing is taken of %s: %s", done.city, metric, words)


async def _once(
    pulling: Pulling, agreement: InstalledAgreement, threads: Threads, fetcher: Fetcher, fresh_s: float
) -> Pulled:
    try:
        puller = _puller(pulling, agreement, threads, fetcher, fresh_s)
    except PartnerError as error:
        return Pulled(agreement.city, agreement.id, None, str(error))
    return await _outcome(puller)


async def _outcome(puller: Puller) -> Pulled:
    agreement = puller.agreement
    try:
        done = await puller.pull()
    except PartnerError as error:  # the other partners are pulled all the same
        return Pulled(agreement.city, agreement.id, None, str(error))
    return Pulled(agreement.city, agreement.id, done, "; ".join(dict.fromkeys(done.refused.values())) or None)


def _puller(
    pulling: Pulling, agreement: InstalledAgreement, threads: Threads, fetcher: Fetcher, fresh_s: float
) -> Puller:
    async def key() -> OKPKey:
        return await access_key(threads, pulling.keys, pulling.now_ms())

    source = RemoteCity(agreement, key, fetcher, pulling.now_ms)
    return Puller(agreement, source, threads, pulling.limits, pulling.now_ms, fresh_s)


async def _asked(threads: Threads) -> list[InstalledAgreement]:
    """The agreements whose other city is asked: for figures, or only for who it is, if it has an address."""
    agreements = await threads.with_database(in_force)
    return [agreement for agreement in agreements if agreement.metrics("received") or agreement.addresses]
