"""The handler of a metric's series for partners: what their agreement gives."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api import series
from api.dependencies import OwnCity, Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Granted
from api.exchange.pages import NOT_AGREED, check_agreed
from api.problems import documented
from api.series import AskedSeries, series_answer
from federation.wire import Series
from store import agreed

router = APIRouter()


@router.get(
    "/v1/series/{metric}",
    operation_id="get_series",
    tags=["series"],
    summary="One metric over time",
    response_model=Series,
    responses=series.ANSWERS | documented(WITHOUT_TOKEN, NOT_AGREED, LIMITED),
)
def get_series(
    request: Request,
    city: OwnCity,
    granted: Granted,
    snapshots: Snapshots,
    asked: Annotated[AskedSeries, Depends()],
) -> Response:
    """The latest revision of each window that is agreed and due, every cell of it, suppressed ones included.

    An answer holds at most 1,000 windows and 100,000 cells (one window is never cut). If the range holds more,
    `next` (and the header `Sistercity-Next`) is the `from` of the rest; else it is null.
    """
    definition = asked.defined()
    with snapshots.snapshot() as connection:
        check_agreed(granted, asked.metric, agreed.agreed_metrics(connection, granted.agreement))
        granted.gives(asked.metric)
        return series_answer(request, city, connection, asked, definition, agreed.agreed(granted.agreement))
