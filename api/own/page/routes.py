"""The handler of `/`: the city and its partners side by side, and the account of its streams.

The page is made here, whole, in the reader's language: no script runs, and nothing is loaded from another server. The
policy in its headers forbids both, so text that was not escaped would stay text. It is made anew for each request, and
shows when: caches must keep none. What may appear on it: `api.own.page.content`.
"""

import logging
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.dependencies import OwnCity, Snapshots
from api.own.page.content import PageContent, gather
from api.own.page.html import rendered, style
from api.own.page.languages import Language, chosen
from api.problems import RETRY_AFTER_S
from federation.city import CityFacts
from schemas.catalogue import published
from store.moments import milliseconds

log = logging.getLogger(__name__)

router = APIRouter()


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
def page(request: Request, city: OwnCity, snapshots: Snapshots, lang: str | None = None) -> Response:
    """The page in the language `lang`, else the reader's. If the database is away, a page that states it, with 503."""
    language = chosen(lang, request.headers.get("accept-language", ""))
    try:
        with snapshots.snapshot() as connection:
            content = gather(connection, city, published(), milliseconds(datetime.now(UTC)))
    except psycopg.OperationalError as error:
        log.warning("the database did not answer: %s", error)
        return _answer(city, language, None, 503, {"Retry-After": str(RETRY_AFTER_S)})
    return _answer(city, language, content, 200, {})


def _answer(
    city: CityFacts, language: Language, content: PageContent | None, status: int, headers: dict[str, str]
) -> Response:
    html = rendered(city, language, content, datetime.now(UTC))
    return HTMLResponse(html, status, {**_headers(), "Content-Language": language.code, **headers})


@cache
def _headers() -> dict[str, str]:
    digest = b64encode(sha256(style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language",
    }
