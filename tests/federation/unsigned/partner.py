"""Pulling one partner: read its log of publications, miss none, store none that is not well formed.

A page and the cursor after it are stored in one transaction, so a crash anywhere leaves whole pages and a cursor that
goes on exactly there. Without signatures, what is stored is what the server at the partner's address sent.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from federation.partners.limits import PartnerError
from federation.partners.partner import PULLED, PULLS
from federation.wire import Catalog, PublicationPage
from store import partners
from store.database import Connection, connect
from store.partner_figures import save_definitions
from store.received import Conflict
from tests.federation.unsigned.checks import check_page, not_in_catalogue, parsed, received
from tests.federation.unsigned.fetching import UnsignedAnswer, UnsignedLimits, fetch

log = logging.getLogger(__name__)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PartnerAddress:
    """Where a partner's API is, and which city must answer there.

    Without `city`, the city that answers first at this URL is accepted, and no other after it. With `city`, a known
    partner may move to another URL.
    """

    url: str
    city: str | None = None


@dataclass(frozen=True, slots=True)
class UnsignedResult:
    """The outcome of a pull: publications and pages that were stored.

    `restarted`: the partner has another log than before, which was read from its beginning.
    """

    city: str
    publications: int
    pages: int
    restarted: bool


class UnsignedPuller:
    """Pulls one partner, and keeps its catalogue and its last ETags between pulls.

    Raises `PartnerError` ("bad-url") if the partner's address is no URL of an API.
    """

    def __init__(
        self, partner: PartnerAddress, database_url: str, own_city: str, limits: UnsignedLimits, http: httpx.AsyncClient
    ) -> None:
        self.partner = partner
        self._url = _address(partner.url)
        self._database_url = database_url
        self._own_city = own_city
        self._limits = limits
        self._http = http
        self._catalog: Catalog | None = None
        self._etags: dict[httpx.URL, str] = {}

    async def pull(self) -> UnsignedResult:
        """As `tests.federation.unsigned.pulling.pull`."""
        try:
            done = await self._pull()
        except PartnerError:
            PULLS.labels("failed").inc()
            raise
        PULLS.labels("restarted" if done.restarted else "stored" if done.publications else "unchanged").inc()
        return done

    async def _pull(self) -> UnsignedResult:
        state = await self._read_catalog()
        publications, pages, restarted = 0, 0, False
        if state.log_id != self._required_catalog.log:
            state, restarted = await self._start_over(state), True
        while pages < self._limits.pages:
            page = await self._page(state)
            if page is None:
                if restarted:
                    raise PartnerError("gone", f"{self._url} answers twice that its log is gone")
                self._etags.clear()
                state, restarted = await self._start_over(await self._read_catalog()), True
                continue
            if not page.publications and page.next == state.cursor:
                break
            await self._store(state, page)
            state = replace(state, cursor=page.next)
            publications += len(page.publications)
            pages += 1
            if not page.publications:
                break
        return UnsignedResult(state.city, publications, pages, restarted)

    @property
    def _required_catalog(self) -> Catalog:
        if self._catalog is None:
            raise PartnerError("not-modified", f"{self._url} answers 304 to a request without an ETag")
        return self._catalog

    async def _read_catalog(self) -> partners.PartnerState:
        """Read the catalogue, check that the city is the expected one, and store it."""
        answer = await self._fetch(self._url.join("v1/catalog"))
        if answer.status == HTTPStatus.GONE:
            raise PartnerError("refused", f"{self._url} has no catalogue")
        if answer.status == HTTPStatus.OK:
            self._catalog = parsed(Catalog, answer.body, "catalogue")
        catalog = self._required_catalog
        city = catalog.city.id
        if city == self._own_city:
            raise PartnerError("own-city", f"{self._url} claims to be {city}, which is this city")
        if self.partner.city is not None and city != self.partner.city:
            raise PartnerError("other-city", f"{self._url} claims to be {city}, not {self.partner.city}")
        return await self._with_database(self._save_catalog, catalog)

    def _save_catalog(self, connection: Connection, catalog: Catalog) -> partners.PartnerState:
        city, url = catalog.city.id, str(self._url)
        before = partners.partner_at(connection, url)
        if before is not None and before.city != city:
            raise PartnerError("other-city", f"{url} was {before.city} and claims to be {city} now")
        known = partners.partner_named(connection, city)
        if known is not None and known.url != url and self.partner.city is None:
            raise PartnerError(
                "other-url", f"{url} claims to be {city}, which is pulled from {known.url}; name the city if it moved"
            )
        content = catalog.model_dump(mode="json", by_alias=True)
        with connection.transaction():
            partners.save_catalog(connection, city, url, catalog.log, content)
            save_definitions(connection, city, catalog.city.name, catalog.city.names, content["metrics"])
        state = partners.partner_named(connection, city)
        if state is None:
            raise PartnerError("gone", f"someone else has removed {city} from the partners")
        return state

    async def _start_over(self, state: partners.PartnerState) -> partners.PartnerState:
        log.warning("partner %s has another log now; reading it from its beginning", state.city)
        await self._with_database(partners.start_over, state.city, self._required_catalog.log)
        return replace(state, log_id=self._required_catalog.log, cursor=None)

    async def _page(self, state: partners.PartnerState) -> PublicationPage | None:
        """The page after the cursor, checked; an empty one if nothing is new; None if the log is gone."""
        query = {"limit": str(self._limits.publications)} | ({} if state.cursor is None else {"after": state.cursor})
        url = self._url.join("v1/publications").copy_merge_params(query)
        answer = await self._fetch(url)
        if answer.status == HTTPStatus.GONE:
            return None
        if answer.status == HTTPStatus.NOT_MODIFIED:
            if state.cursor is None:
                raise PartnerError("not-modified", f"{url} answers 304 to a request without an ETag")
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
        check_page(state, page, self._limits.publications, self._url)
        fault = await asyncio.to_thread(not_in_catalogue, self._required_catalog, page)
        if fault:  # the catalogue in hand may be older than the page: areas of a new quarter, perhaps
            await self._read_catalog()
            fault = await asyncio.to_thread(not_in_catalogue, self._required_catalog, page)
        if fault:
            raise PartnerError("not-in-catalogue", f"{self._url}: {fault}")

    async def _store(self, state: partners.PartnerState, page: PublicationPage) -> None:
        try:
            await self._with_database(_store_page, state, page)
        except Conflict as error:
            PULLED.labels("refused").inc(len(page.publications))
            raise PartnerError("conflict", f"{self._url}: {error}") from error
        PULLED.labels("stored").inc(len(page.publications))

    async def _fetch(self, url: httpx.URL) -> UnsignedAnswer:
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
    stored = [received(publication) for publication in page.publications]
    partners.store_page(connection, state.city, state.log_id, before=state.cursor, following=page.next, page=stored)


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text if text.endswith("/") else text + "/")
    except httpx.InvalidURL as error:
        raise PartnerError("bad-url", f"{text!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise PartnerError("bad-url", f"{str(url)!r} must be http or https, a host and a path, and nothing else")
    return url
