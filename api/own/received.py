"""The handler of a partner's figures over time, as they are stored here."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic_core import to_json

from api import examples, rendering
from api.dependencies import Snapshots
from api.openapi import NO_DATABASE, REFUSED_PARAMETER, tabled
from api.problems import ApiProblem, documented, problem
from api.series import DEFAULT_MS, LAST_MS, MOST_WINDOWS, From, To
from api.series_table import series_table
from api.tables import MEDIA_TYPE, TableFormat, wants_table
from api.texts import Named
from federation.wire import MOST_CELLS, Series, instant, rfc3339
from store.database import Connection
from store.partner_figures import PartnerMetric, partner_areas, partner_metrics
from store.partner_series import newest_received, partner_series
from store.publication_log import CellColumns
from store.publications import Header

router = APIRouter()

_UNKNOWN = problem(404, "unknown-series", "No such series", "nothing of 'energy.import' was received from 'hue'")


@router.get(
    "/v1/partners/{city}/series/{metric}",
    operation_id="get_partner_series",
    tags=["compare"],
    summary="One metric of a partner over time",
    response_model=Series,
    responses=tabled(examples.SERIES)
    | documented((404, "The partner has no such metric.", _UNKNOWN), REFUSED_PARAMETER, NO_DATABASE),
)
def get_partner_series(
    request: Request,
    snapshots: Snapshots,
    city: Annotated[Named, Path(description="Id of the partner, see `/v1/compare`.")],
    metric: Annotated[Named, Path(description="Name of the metric in its catalogue.")],
    start: From = None,
    end: To = None,
    area: Annotated[int | None, Query(ge=0, lt=2**31, description="Cells of this area alone.")] = None,
    class_: Annotated[Named | None, Query(alias="class", description="Cells of this class alone.")] = None,
    form: TableFormat = None,
) -> Response:
    """The newest revision of each window, from the copy that this city has verified: the partner is not asked.

    The limits are those of `/v1/series/{metric}`. As CSV, a row for each cell; where the range holds more, the header
    `Sistercity-Next` is the `from` of the rest.
    """
    with snapshots.snapshot() as connection:
        definition = partner_metrics(connection, [metric]).get((city, metric))
        if definition is None:
            detail = f"nothing of {metric!r} was received from {city!r}"
            raise ApiProblem(404, "unknown-series", "No such series", detail)
        first, last = _span(connection, city, metric, start, end)
        windows, following = partner_series(
            *(connection, city, metric, first, last),
            area=area,
            class_=class_,
            limit=MOST_WINDOWS,
            most_cells=MOST_CELLS,
        )
        areas = partner_areas(connection, city, metric)
    rest = None if following is None else rfc3339(following)
    headers = {"Cache-Control": "no-store"} | ({} if rest is None else {"Sistercity-Next": rest})
    if wants_table(request, form):
        content = series_table(city, metric, definition.smallest_unit, areas, windows)
        return Response(content, headers=headers, media_type=MEDIA_TYPE)
    answer = _series(city, metric, definition, windows, rest)
    return Response(to_json(answer), headers=headers, media_type="application/json")


def _span(connection: Connection, city: str, metric: str, start: str | None, end: str | None) -> tuple[int, int]:
    if end is not None:
        last = instant(end)
    else:
        newest = newest_received(connection, city, metric)
        last = newest.end if newest else LAST_MS
    return (instant(start) if start is not None else max(0, last - DEFAULT_MS)), last


def _series(
    city: str, metric: str, definition: PartnerMetric, windows: list[tuple[Header, CellColumns]], rest: str | None
) -> rendering.Json:
    return {
        "city": city,
        "metric": metric,
        "unit": definition.smallest_unit,
        "windows": [rendering.revision(header, columns) for header, columns in windows],
        "next": rest,
    }
