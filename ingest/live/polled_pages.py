"""Where a polled source is, and all pages of what it answers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

from addresses import is_loopback
from ingest.live.answers import AnswerPage, Connecting, PollFailed, PollLimits, answer, client, too_large
from store.moments import moment

MOST_PAGES = 1_000
TOO_SLOW = "too-slow"
SINCE = "{since}"
"""In an address: the time from which on readings are asked for."""
_MOST_OF_AN_EMPTY_LIST = 64

PagingKind = Literal["none", "link", "offset"]


@dataclass(frozen=True, slots=True)
class PollAddress:
    """Where a source is asked, and how. `header_files` hold the values of headers, read anew for each poll.

    `paging`: by the answer's link `next`, or by `limit` and `offset` in the query, `page_size` entities each. With
    `{since}` in the address, it is asked for what is at most `overlap_s` older than the last poll whose readings the
    log has; the first time, than `begin_s` ago.
    """

    url: str = field(repr=False)
    every_s: int
    limits: PollLimits
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    header_files: Mapping[str, Path] = field(default_factory=dict)
    paging: PagingKind = "none"
    page_size: int = 1_000
    begin_s: int = 86_400
    overlap_s: int = 3_600

    @property
    def is_local(self) -> bool:
        """Whether it is this machine itself, which no proxy is asked for."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def is_one_page(self) -> bool:
        """Whether all that it answers is always one page at one address: then it may say that nothing has changed."""
        return self.paging == "none" and SINCE not in self.url

    def first_page(self, since_ms: int) -> httpx.URL:
        """Where the first page is, with the time from which on readings are asked for, milliseconds since 1970."""
        url = httpx.URL(self.url.replace(SINCE, f"{moment(since_ms):%Y-%m-%dT%H:%M:%SZ}"))
        return self.page_at(url, 0) if self.paging == "offset" else url

    def page_at(self, url: httpx.URL, offset: int) -> httpx.URL:
        """The page of an address that begins with the entity `offset`, from 0."""
        return url.copy_merge_params({"limit": self.page_size, "offset": offset})

    def headers_now(self) -> Mapping[str, str]:
        """The headers with what is in their files. Raises `PollFailed`."""
        try:
            said = {name: path.read_text(encoding="ascii").strip() for name, path in self.header_files.items()}
        except (OSError, UnicodeDecodeError):
            raise PollFailed("header-file", "a file of header_files cannot be read, or is not ASCII") from None
        if not all(text.isprintable() and text for text in said.values()):
            raise PollFailed("header-file", "a file of header_files is empty, or has more than one line")
        return {**self.headers, **said}


async def all_pages(
    address: PollAddress, connecting: Connecting, url: httpx.URL, conditions: Mapping[str, str], spool: Path
) -> Sequence[AnswerPage]:
    """Every page from the first one at `url` on, in files of the folder `spool`. Raises `PollFailed`.

    There is none if nothing has changed by the headers `conditions`.
    """
    deadline_s = address.limits.deadline_s
    try:
        async with asyncio.timeout(deadline_s), client(connecting) as http:
            return await _page_by_page(address, http, url, {**address.headers_now(), **conditions}, spool)
    except TimeoutError:
        raise PollFailed(TOO_SLOW, f"no whole answer within {deadline_s:g} s: see deadline_s") from None


async def _page_by_page(
    address: PollAddress, http: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str], spool: Path
) -> Sequence[AnswerPage]:
    pages: list[AnswerPage] = []
    left = address.limits.most
    following: httpx.URL | None = url
    while following is not None:
        if len(pages) == MOST_PAGES:
            raise PollFailed("pages", f"it has more than {MOST_PAGES} pages: ask for less, or larger ones")
        page = await answer(http, following, headers, spool / f"page-{len(pages) + 1}", left)
        if page is None:
            return []
        if pages and page.checksum == pages[-1].checksum:
            raise PollFailed("pages", "two pages that follow each other are the same: it does not know this paging")
        if pages and _is_empty(page):
            page.path.unlink()
            break
        left -= page.size
        if left < 0:
            raise too_large(address.limits.most)
        pages.append(page)
        following = _next(address, url, page, len(pages))
    return pages


def _next(address: PollAddress, url: httpx.URL, page: AnswerPage, pages: int) -> httpx.URL | None:
    """Where the page after `pages` of them is. Raises `PollFailed` for a link that leads elsewhere."""
    if address.paging == "offset":
        offset = pages * address.page_size
        over = page.total is not None and offset >= page.total
        return None if over or _is_empty(page) else address.page_at(url, offset)
    link = page.links.get("next") if address.paging == "link" else None
    if link is not None and (link.scheme, link.host, link.port) != (url.scheme, url.host, url.port):
        raise PollFailed("pages", "its next page is at another server, which gets no secret of this one")
    return link


def _is_empty(page: AnswerPage) -> bool:
    return page.size <= _MOST_OF_AN_EMPTY_LIST and b"".join(page.path.read_bytes().split()) == b"[]"
