"""The page at `/`: the city and its partners side by side, what came in, what came of it.

It is made here, whole, in the reader's language: no script runs, and nothing is asked of any other server. The policy
in its headers forbids both, so text that slipped through would stay text.

What may stand on it. The figures are those of `federation.compare`, made of released cells alone. The account counts
messages and readings of whole streams, over the whole city and since each began: nothing of an area, a class, a window
or a source, and no number of contributors (P2). Why something was dropped is told in fixed words, never in its own.
Names of past imports and addresses of partners are left out. Still the counts move when readings come in: in a stream
that very few sources feed, who watches them learns when these report, and like the whole API the page is bound to
loopback (`api.binding`).

It is told anew each time it is asked for, and says when: caches are told to keep none.
"""

import logging
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from importlib import resources

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from mako.template import Template
from markupsafe import Markup

from api.languages import Language, chosen, languages
from api.page_content import DatasetAccount, PageContent, gather
from api.problems import RETRY_AFTER_S
from api.snapshots import SnapshotPool
from federation.city import CityFacts
from federation.compare import Comparison, decimals
from federation.disclosure import rule_of
from schemas.catalogue import catalogue
from store.moments import milliseconds
from store.processing import Account

log = logging.getLogger(__name__)


def page_routes(city: CityFacts, snapshots: SnapshotPool) -> APIRouter:
    """The page of a city, reading through `snapshots`."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def page(request: Request, lang: str | None = None) -> Response:
        language = chosen(lang, request.headers.get("accept-language", ""))
        try:
            with snapshots.snapshot() as connection:
                content = gather(connection, city, catalogue())
        except psycopg.OperationalError as error:
            log.warning("the database did not answer: %s", error)
            return _answer(city, language, None, 503, {"Retry-After": str(RETRY_AFTER_S)})
        return _answer(city, language, content, 200, {})

    return router


def rendered(city: CityFacts, language: Language, content: PageContent | None, now: datetime) -> str:
    """The page as HTML. Without content it says that the database does not answer."""
    html = _template().render_unicode(
        t=language,
        languages=languages().values(),
        city=city.names.get(language.code, city.name),
        population=city.population,
        zone=city.zone,
        content=content,
        made=milliseconds(now),
        style=Markup(_style()),
        amount=partial(_amount, language),
        dataset=partial(_dataset, language),
        outcomes=_outcomes,
        rule_of=rule_of,
    )
    return str(html)


def _answer(
    city: CityFacts, language: Language, content: PageContent | None, status: int, headers: dict[str, str]
) -> Response:
    html = rendered(city, language, content, datetime.now(UTC))
    return HTMLResponse(html, status, {**_headers(), "Content-Language": language.code, **headers})


def _amount(language: Language, row: Comparison) -> str:
    figure = row.figure or 0.0
    if row.unit == "%":
        return language.percent(figure, decimals(figure))
    unit = language.word("unit", row.unit, row.unit)
    return language.text("figure", number=language.number(figure, decimals(figure)), unit=unit)


def _dataset(language: Language, stream: DatasetAccount) -> str:
    title = language.word("dataset", stream.dataset, stream.dataset)
    return language.text("history", dataset=title) if stream.history else title


def _outcomes(account: Account) -> Iterator[tuple[str, int]]:
    """The account in the order in which it adds up."""
    for name in ("messages", "dead", "lost_messages"):
        yield name, getattr(account, name)
    for name in ("readings", "aggregated", "duplicate", "late", "rejected", "open", "lost"):
        yield name, getattr(account, name)


@cache
def _template() -> Template:
    # "h" escapes everything that is filled in, but for what is marked as HTML: the style and the template's own parts.
    return Template(_file("page.html"), default_filters=["h"], strict_undefined=True)


@cache
def _style() -> str:
    return _file("page.css")


@cache
def _headers() -> dict[str, str]:
    style = b64encode(sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language",
        "X-Content-Type-Options": "nosniff",
    }


def _file(name: str) -> str:
    return resources.files("api").joinpath("templates", name).read_text(encoding="utf-8")
