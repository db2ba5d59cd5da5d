"""The handlers: a city's catalogue, the log of its publications, a metric's series, and the node's health."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator

from api import examples, rendering
from api.caching import conditional, etag
from api.cursors import BadCursor, cursor, place
from api.dependencies import OwnCity, Snapshots
from api.problems import UNAVAILABLE, ApiProblem, documented
from federation.city import CityFacts
from federation.wire import MOST_CELLS, MOST_PUBLICATIONS, Catalog, Health, PublicationPage, Series, instant, rfc3339
from schemas.catalogue import Metric, catalogue, published
from store import publication_log
from store.database import Connection
from store.detectors import detectors
from store.publication_log import LogState

_DAY_MS = 86_400_000
_DEFAULT_DAYS = 7
_MOST_WINDOWS = 1000
_LAST_MS = instant("9999-12-30T00:00:00Z")


def _moment(text: str) -> str:
    instant(text)
    return text


TimeText = Annotated[str, AfterValidator(_moment)]
After = Annotated[
    str | None,
    Query(description="The `next` of the last page that was read. Without it, the log is read from its start."),
]
Limit = Annotated[
    int,
    Query(
        ge=1,
        le=MOST_PUBLICATIONS,
        description="How many publications at most. A page may hold fewer, to stay below 100,000 cells; the log ends"
        " with an empty page.",
    ),
]
From = Annotated[
    TimeText | None,
    Query(alias="from", description="Windows that begin at or after this time. RFC 3339. Default: 7 days before `to`."),
]
To = Annotated[
    TimeText | None,
    Query(
        alias="to",
        description="Windows that begin before this time. RFC 3339. Default: after the newest published window.",
    ),
]

_UNAVAILABLE = (503, "The node's database does not answer; `Retry-After` holds the seconds to wait.", UNAVAILABLE)
_INVALID = (422, "A parameter is out of range or not of its type.", examples.INVALID)


router = APIRouter()


def _shown(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": example}}}}


def _answers(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    etag_header = {"description": "Names this state; send it as `If-None-Match`.", "schema": {"type": "string"}}
    return {
        200: {**_shown(example)[200], "headers": {"ETag": etag_header}},
        304: {"description": "Nothing has changed since the state that `If-None-Match` names."},
    }


@router.get(
    "/v1/catalog",
    operation_id="get_catalog",
    tags=["catalogue"],
    summary="What the city publishes",
    response_model=Catalog,
    responses=_answers(examples.CATALOG) | documented(_UNAVAILABLE),
)
def get_catalog(request: Request, city: OwnCity, snapshots: Snapshots) -> Response:
    """The city, its metrics with unit, definition and disclosure rule, and the areas of each with their people.

    Metrics of pictures name the detectors that were used, with precision and recall: a difference between two cities
    that is smaller than the errors of their detectors means nothing.

    Read it first. Amounts everywhere else are whole numbers of `smallest_unit`; divide by `smallest_per_unit` for
    `unit`. Areas keep their numbers; new ones begin with a quarter and appear here before they are used.
    """
    with snapshots.snapshot() as connection:
        log = publication_log.log_state(connection)
        used = detectors(connection)
        tag = etag("catalog", city, log.id, publication_log.areas_stamp(connection), published(), used)
        return conditional(
            request,
            tag,
            lambda: rendering.catalog(
                city, log.id, published().values(), publication_log.published_areas(connection), used
            ),
        )


@router.get(
    "/v1/publications",
    operation_id="list_publications",
    tags=["publications"],
    summary="Follow everything that the city publishes",
    response_model=PublicationPage,
    responses=_answers(examples.PAGE)
    | documented(
        (400, "`after` is not a cursor.", examples.BAD_CURSOR),
        (410, "The cursor belongs to another log: start again without `after`.", examples.LOG_CHANGED),
        _INVALID,
        _UNAVAILABLE,
    ),
)
def list_publications(
    request: Request, city: OwnCity, snapshots: Snapshots, after: After = None, limit: Limit = 100
) -> Response:
    """Publications in the order in which they were made; nothing is ever inserted before what you have read.

    Keep `next` together with what you store, and ask again with `after=<next>`: you miss nothing and get nothing
    twice. At the end of the log the page is empty; ask again with its ETag in `If-None-Match`: 304 means that
    nothing is new. Per metric, `sequence` has no gap: if one is missing, a publication was lost on the way.
    """
    with snapshots.snapshot() as connection:
        log = publication_log.log_state(connection)
        position = _position(after, log)
        tag = etag("publications", city.id, log, position, limit)
        return conditional(request, tag, lambda: _page(city, connection, log, position, limit))


@router.get(
    "/v1/series/{metric}",
    operation_id="get_series",
    tags=["series"],
    summary="One metric over time",
    response_model=Series,
    responses=_answers(examples.SERIES)
    | documented(
        (400, "The metric has no such class or area.", examples.UNKNOWN_FILTER),
        (404, "No such metric.", examples.UNKNOWN_METRIC),
        _INVALID,
        _UNAVAILABLE,
    ),
)
def get_series(
    request: Request,
    city: OwnCity,
    snapshots: Snapshots,
    metric: Annotated[str, Path(description="Name of the metric, see the catalogue.")],
    start: From = None,
    end: To = None,
    area: Annotated[int | None, Query(ge=0, lt=2**31, description="Cells of this area alone.")] = None,
    class_: Annotated[str | None, Query(alias="class", description="Cells of this class alone.")] = None,
) -> Response:
    """The latest revision of each window, every cell of it, suppressed ones included.

    An answer holds at most 1,000 windows and 100,000 cells (one window is never cut). If the range holds more,
    `next` is the `from` of the rest; else it is null.
    """
    definition = _defined(metric, class_)
    with snapshots.snapshot() as connection:
        log = publication_log.log_state(connection)
        tag = etag("series", city.id, log, metric, start, end, area, class_)
        return conditional(
            request,
            tag,
            lambda: _series(city, connection, definition, _range(connection, metric, start, end), area, class_),
        )


@router.get(
    "/healthz",
    operation_id="health",
    tags=["node"],
    summary="Whether the node can answer",
    response_model=Health,
    responses=_shown({"status": "ok"}) | documented(_UNAVAILABLE),
)
def health(response: Response, snapshots: Snapshots) -> Health:
    """For containers and load balancers: 200 if the database answers, else 503."""
    with snapshots.snapshot() as connection:
        publication_log.log_state(connection)
    response.headers["Cache-Control"] = "no-store"
    return Health(status="ok")


def _position(after: str | None, log: LogState) -> int:
    if after is None:
        return 0
    try:
        identity, position = place(after)
    except BadCursor as error:
        raise ApiProblem(400, "bad-cursor", "Not a cursor", str(error)) from None
    if identity != log.id:
        raise ApiProblem(410, "log-changed", "This cursor's log is gone", examples.LOG_CHANGED.detail or "")
    return position


def _page(city: CityFacts, connection: Connection, log: LogState, position: int, limit: int) -> rendering.Json:
    publications = publication_log.after(connection, position, limit, MOST_CELLS)
    return {
        "city": city.id,
        "log": log.id,
        "publications": [
            rendering.publication(header, columns, catalogue()[header.metric].smallest_unit)
            for header, columns in publications
        ],
        "next": cursor(log.id, publications[-1][0].position if publications else position),
    }


def _defined(name: str, class_: str | None) -> Metric:
    metric = published().get(name)
    if metric is None:
        raise ApiProblem(404, "unknown-metric", "No such metric", f"{name!r} is not in the catalogue")
    if class_ is not None and class_ not in metric.classes:
        detail = f"{name} has the classes {', '.join(metric.classes)}"
        raise ApiProblem(400, "unknown-class", "No such class", detail)
    return metric


def _range(connection: Connection, metric: str, start: str | None, end: str | None) -> tuple[int, int]:
    if end is not None:
        last = instant(end)
    else:
        newest = publication_log.newest_window(connection, metric)
        last = newest.end if newest else _LAST_MS
    return (instant(start) if start is not None else max(0, last - _DEFAULT_DAYS * _DAY_MS)), last


def _series(
    city: CityFacts,
    connection: Connection,
    metric: Metric,
    span: tuple[int, int],
    area: int | None,
    class_: str | None,
) -> rendering.Json:
    areas = () if area is None else publication_log.published_areas(connection).get(metric.name, ())
    if area is not None and area not in {listed.number for listed in areas}:
        raise ApiProblem(400, "unknown-area", "No such area", f"{metric.name} has no area {area}, see the catalogue")
    windows, following = publication_log.series(
        connection, metric.name, *span, area=area, class_=class_, limit=_MOST_WINDOWS, most_cells=MOST_CELLS
    )
    return {
        "city": city.id,
        "metric": metric.name,
        "unit": metric.smallest_unit,
        "windows": [rendering.revision(header, columns) for header, columns in windows],
        "next": None if following is None else rfc3339(following),
    }
