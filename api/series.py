"""The handler of a metric's series: the latest revision of each window."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator

from api import examples, rendering
from api.caching import conditional, etag
from api.dependencies import OwnCity, Snapshots
from api.openapi import NO_DATABASE, REFUSED_PARAMETER, conditionally
from api.problems import ApiProblem, documented
from federation.city import CityFacts
from federation.wire import MOST_CELLS, Series, instant, rfc3339
from schemas.catalogue import Metric, published
from store import publication_log
from store.database import Connection

DEFAULT_MS = 7 * 86_400_000
MOST_WINDOWS = 1000
LAST_MS = instant("9999-12-30T00:00:00Z")


def _moment(text: str) -> str:
    instant(text)
    return text


TimeText = Annotated[str, AfterValidator(_moment)]
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


router = APIRouter()


@router.get(
    "/v1/series/{metric}",
    operation_id="get_series",
    tags=["series"],
    summary="One metric over time",
    response_model=Series,
    responses=conditionally(examples.SERIES)
    | documented(
        (400, "The metric has no such class or area.", examples.UNKNOWN_FILTER),
        (404, "No such metric.", examples.UNKNOWN_METRIC),
        REFUSED_PARAMETER,
        NO_DATABASE,
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
        last = newest.end if newest else LAST_MS
    return (instant(start) if start is not None else max(0, last - DEFAULT_MS)), last


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
        connection, metric.name, *span, area=area, class_=class_, limit=MOST_WINDOWS, most_cells=MOST_CELLS
    )
    return {
        "city": city.id,
        "metric": metric.name,
        "unit": metric.smallest_unit,
        "windows": [rendering.revision(header, columns) for header, columns in windows],
        "next": None if following is None else rfc3339(following),
    }
