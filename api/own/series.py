"""The handler of a metric's series on the own side: everything that was published."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api import series
from api.dependencies import OwnCity, Snapshots
from api.series import AskedSeries, series_answer
from federation.wire import Series

router = APIRouter()


@router.get(
    "/v1/series/{metric}",
    operation_id="get_series",
    tags=["series"],
    summary="One metric over time",
    response_model=Series,
    responses=series.ANSWERS,
)
def get_series(
    request: Request, city: OwnCity, snapshots: Snapshots, asked: Annotated[AskedSeries, Depends()]
) -> Response:
    """The latest revision of each window, every cell of it, suppressed ones included.

    An answer holds at most 1,000 windows and 100,000 cells (one window is never cut). If the range holds more,
    `next` (and the header `Sistercity-Next`) is the `from` of the rest; else it is null.
    """
    definition = asked.defined()
    with snapshots.snapshot() as connection:
        return series_answer(request, city, connection, asked, definition)
