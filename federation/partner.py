"""The partner client: follow what another city publishes, miss nothing, store nothing that is not well formed.

A page and the cursor behind it are stored in one transaction, so a crash anywhere leaves whole pages and a cursor that
goes on exactly there. Without signatures, what is stored is what the server at the partner's address said.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import psycopg
from prometheus_client import Counter

from federation.checks import parsed, received, wrong
from federation.fetching import Answer, FetchLimits, PartnerError, client, fetch
from federation.wire import Catalog, PublicationPage
from store import partners
from store.database import Connection, connect

log = logging.getLogger(__name__)

PULLS = Counter("sistercity_pulls", "Pulls: stored, unchanged, restarted, failed.", ["outcome"])
PULLED = Counter("sistercity_pulled_publications", "Publications of partners: stored, refused.", ["outcome"])

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PartnerAddress:
    """Where a partner's API is, and which city must answer there.

    Without `city`, whoever answers first is believed, and has to be the same ever after. With it, a known partner may
    move to another URL.
    """

    url: str
    city: str | None = None


@dataclass(frozen=True, slots=True)
class PullResult:
    """What one pull did. `restarted`: the partner's log is another one now and is read from its beginning."""

    city: str
    publications: int
    pages: int
    restarted: bool


async def pull(
    partner: PartnerAddress, database_url: str, own_city: str, limits: FetchLimits | None = None
) -> PullResult:
    """Read on from where following this partner stands to the end of its log, and store it.

    Raises `PartnerError` if the partner is away or says what it must not (all pages before are kept, nothing of that
    one), and psycopg's errors.
    """
    limits = limits or FetchLimits()
    async with client(limits) as http:
        return await _Following(partner, database_url, own_city, limits, http).pull()


async def follow(
    followed: Sequence[PartnerAddress],
    database_url: str,
    own_city: str,
    stop: asyncio.Event,
    *,
    poll_s: float,
    limits: FetchLimits | None = None,
) -> None:
    """Pull all partners again and again, every `poll_s` seconds, until `stop` is set; each on its own.

    A partner that fails is logged, counted and tried again at its next turn.
    """
    limits = limits or FetchLimits()
    async with client(limits) as http:
        tasks = [
            asyncio.create_task(_keep_pulling(_Following(one, database_url, own_city, limits, http), poll_s))
            for one in followed
        ]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_pulling(following: "_Following", poll_s: float) -> None:
    while True:
        try:
            await following.pull()
        except PartnerError as error:
            log.warning("partner %s: %s", following.partner.url, error)
        except psycopg.OperationalError as error:
            log.warning("the database did not answer; trying again in %s s: %s", poll_s, error)
        except Exception:  # whatever one partner manages to cause must not end the following of the others
            log.exception("partner %s: something that was not foreseen", following.partner.url)
        await asyncio.sleep(poll_s)


class _Following:
    """One partner, and what this process remembers of it between pulls: its catalogue and the last ETags."""

    def __init__(
        self, partner: PartnerAddress, database_url: str, own_city: str, limits: FetchLimits, http: httpx.AsyncClient
    ) -> None:
        self.partner = partner
        self._url = _address(partner.url)
        self._database_url = database_url
        self._own_city = own_city
        self._limits = limits
        self._http = http
        self._catalog: Catalog | None = None
        self._etags: dict[httpx.URL, str] = {}

    async def pull(self) -> PullResult:
        try:
            done = await self._pull()
        except PartnerError:
            PULLS.labels("failed").inc()
            raise
        PULLS.labels("restarted" if done.restarted else "stored" if done.publications else "unchanged").inc()
        return done

    async def _pull(self) -> PullResult:
        state = await self._meet()
        publications, pages, restarted = 0, 0, False
        if state.log_id != self._known.log:
            state, restarted = await self._start_over(state), True
        while pages < self._limits.pages:
            page = await self._page(state)
            if page is None:
                if restarted:
                    raise PartnerError("gone", f"{self._url} says twice that its log is gone")
                self._etags.clear()
                state, restarted = await self._start_over(await self._meet()), True
                continue
            if not page.publications and page.next == state.cursor:
                break
            await self._keep(state, page)
            state = partners.PartnerState(state.city, state.url, state.log_id, page.next, state.catalog)
            publications += len(page.publications)
            pages += 1
            if not page.publications:
                break
        return PullResult(state.city, publications, pages, restarted)

    @property
    def _known(self) -> Catalog:
        if self._catalog is None:
            raise PartnerError("not-modified", f"{self._url} says that what we never saw has not changed")
        return self._catalog

    async def _meet(self) -> partners.PartnerState:
        """Read the catalogue, check that the city is the one it has to be, and keep it."""
        answer = await self._fetch(self._url.join("v1/catalog"))
        if answer.status == HTTPStatus.GONE:
            raise PartnerError("refused", f"{self._url} has no catalogue")
        if answer.status == HTTPStatus.OK:
            self._catalog = parsed(Catalog, answer.body, "catalogue")
        catalog = self._known
        city = catalog.city.id
        if city == self._own_city:
            raise PartnerError("own-city", f"{self._url} claims to be {city}, which is this city")
        if self.partner.city is not None and city != self.partner.city:
            raise PartnerError("other-city", f"{self._url} claims to be {city}, not {self.partner.city}")
        return await self._with_database(self._acquaint, catalog)

    def _acquaint(self, connection: Connection, catalog: Catalog) -> partners.PartnerState:
        city, url = catalog.city.id, str(self._url)
        before = partners.partner_at(connection, url)
        if before is not None and before.city != city:
            raise PartnerError("other-city", f"{url} was {before.city} and claims to be {city} now")
        known = partners.partner_named(connection, city)
        if known is not None and known.url != url and self.partner.city is None:
            raise PartnerError(
                "other-url", f"{url} claims to be {city}, which is pulled from {known.url}; name the city if it moved"
            )
        partners.save_catalog(connection, city, url, catalog.log, catalog.model_dump(mode="json", by_alias=True))
        state = partners.partner_named(connection, city)
        if state is None:
            raise PartnerError("gone", f"someone else has removed {city} from the partners")
        return state

    async def _start_over(self, state: partners.PartnerState) -> partners.PartnerState:
        log.warning("partner %s has another log now; reading it from its beginning", state.city)
        await self._with_database(partners.start_over, state.city, self._known.log)
        return partners.PartnerState(state.city, state.url, self._known.log, None, state.catalog)

    async def _page(self, state: partners.PartnerState) -> PublicationPage | None:
        """The page behind the cursor, checked; None if the log is gone. Unchanged is an empty page."""
        query = {"limit": str(self._limits.publications)} | ({} if state.cursor is None else {"after": state.cursor})
        url = self._url.join("v1/publications").copy_merge_params(query)
        answer = await self._fetch(url)
        if answer.status == HTTPStatus.GONE:
            return None
        if answer.status == HTTPStatus.NOT_MODIFIED:
            if state.cursor is None:
                raise PartnerError("not-modified", f"{url} says that what we never saw has not changed")
            return PublicationPage(city=state.city, log=state.log_id, publications=[], next=state.cursor)
        page = await asyncio.to_thread(parsed, PublicationPage, answer.body, "page")
        try:
            await self._check(state, page)
        except PartnerError:
            PULLED.labels("refused").inc(len(page.publications))
            raise
        if page.publications or page.next != state.cursor:
            self._etags.pop(url, None)  # only an empty page may be answered with 304: the rest was not stored yet
        return page

    async def _check(self, state: partners.PartnerState, page: PublicationPage) -> None:
        if page.city != state.city:
            raise PartnerError("other-city", f"{self._url} was {state.city} and claims to be {page.city} now")
        if page.log != state.log_id:
            raise PartnerError(
                "other-log", f"{self._url} takes a cursor of log {state.log_id} and answers with {page.log}"
            )
        if page.publications and page.next == state.cursor:
            raise PartnerError("no-progress", f"{self._url} gives publications and the same cursor again")
        if len(page.publications) > self._limits.publications:
            raise PartnerError("too-many", f"{self._url} gives more publications than were asked for")
        fault = await asyncio.to_thread(wrong, self._known, page)
        if fault:  # areas of a new quarter, perhaps: the catalogue in hand may be older than the page
            await self._meet()
            fault = await asyncio.to_thread(wrong, self._known, page)
        if fault:
            raise PartnerError("not-in-catalogue", f"{self._url}: {fault}")

    async def _keep(self, state: partners.PartnerState, page: PublicationPage) -> None:
        try:
            await self._with_database(_store_page, state, page)
        except partners.Conflict as error:
            PULLED.labels("refused").inc(len(page.publications))
            raise PartnerError("conflict", f"{self._url}: {error}") from error
        PULLED.labels("stored").inc(len(page.publications))

    async def _fetch(self, url: httpx.URL) -> Answer:
        answer = await fetch(self._http, url, self._etags.get(url), self._limits)
        if answer.status == HTTPStatus.OK:
            self._etags = {known: etag for known, etag in self._etags.items() if known.path != url.path}
            if answer.etag is not None:
                self._etags[url] = answer.etag
        return answer

    async def _with_database(self, call: Callable[..., T], *arguments: Any) -> T:
        def run() -> T:
            with connect(self._database_url, name="sistercity pull") as connection:
                return call(connection, *arguments)

        return await asyncio.to_thread(run)


def _store_page(connection: Connection, state: partners.PartnerState, page: PublicationPage) -> None:
    stored = [received(one) for one in page.publications]
    partners.store_page(connection, state.city, state.log_id, before=state.cursor, following=page.next, page=stored)


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text if text.endswith("/") else text + "/")
    except httpx.InvalidURL as error:
        raise PartnerError("bad-url", f"{text!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise PartnerError("bad-url", f"{str(url)!r} must be http or https, a host and a path, and nothing else")
    return url
