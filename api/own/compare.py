"""The handler of the comparison: one metric, or every one, over all cities, from this city's own database."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from api.dependencies import OwnCity, Snapshots
from api.openapi import NO_DATABASE, REFUSED_PARAMETER, tabled
from api.own.figures import CityColumn, Figure, Figures, FigureState, gather_figures
from api.problems import ApiProblem, documented, problem
from api.tables import MEDIA_TYPE, TableFormat, table, wants_table
from api.texts import Named
from federation.compare import Measure, measured, whole_span
from federation.wire import rfc3339
from schemas.catalogue import Metric, published
from store.moments import milliseconds
from store.partner_standing import StandingWord

router = APIRouter()


class ComparedFigure(BaseModel):
    """One city's figure of one class of one metric, over the newest day, or the newest window if that is longer."""

    model_config = ConfigDict(populate_by_name=True)

    metric: str
    class_: str = Field(alias="class")
    city: str
    name: str
    own: bool = Field(description="Whether it is this city.")
    measure: Measure
    unit: str
    figure: float | None = Field(description="In `unit`, see `measure`; null where `state` says why.")
    state: FigureState = Field(description="Whether there is a figure, and if not, why.")
    population_share: float | None = Field(description="Share of the people in whose areas something was released.")
    cells_share: float | None = Field(description="Share of the cells that were released.")
    windows: int = Field(description="Windows with a released cell.")
    windows_expected: int = Field(description="Windows when none is missing.")
    windows_withdrawn: int = Field(description="Windows that the city has taken back.")
    until: str | None = Field(description="The end of the newest window that was published. RFC 3339.")
    status: StandingWord = Field(
        description="How the city's metric stands; what is not fresh stays as it was received."
    )
    since: str | None = Field(description="Since when the status holds, where that is known. RFC 3339.")
    reason: str | None = Field(description="Why the partner is stale, refused or contradicted: a short, fixed word.")
    received_at: str | None = Field(description="When the last pull of the partner went well. RFC 3339.")


class ComparedFigures(BaseModel):
    """Cities side by side."""

    figures: list[ComparedFigure]


_COLUMNS = [field.alias or name for name, field in ComparedFigure.model_fields.items()]

_EXAMPLE: dict[str, Any] = {
    "figures": [
        {
            **{"metric": "energy.import", "class": "residential", "city": "isfahan", "name": "Isfahan", "own": False},
            **{"measure": "per-person-per-day", "unit": "Wh", "figure": 2626.4, "state": "shown"},
            **{"population_share": 1.0, "cells_share": 1.0, "windows": 24, "windows_expected": 24},
            **{"windows_withdrawn": 0, "until": "2025-06-02T00:30:00Z"},
            **{"status": "stale", "since": "2025-06-02T01:30:41Z", "reason": "unreachable"},
            "received_at": "2025-06-02T01:30:41Z",
        }
    ]
}
_UNKNOWN = problem(404, "unknown-metric", "No such metric", "'energy.exprot' is not in the catalogue")


@router.get(
    "/v1/compare",
    operation_id="compare",
    tags=["compare"],
    summary="Cities side by side",
    response_model=ComparedFigures,
    responses=tabled(_EXAMPLE) | documented((404, "No such metric.", _UNKNOWN), REFUSED_PARAMETER, NO_DATABASE),
)
def get_comparison(
    request: Request,
    city: OwnCity,
    snapshots: Snapshots,
    metric: Annotated[Named | None, Query(description="One metric. Default: all that the city publishes.")] = None,
    form: TableFormat = None,
) -> Response:
    """This city and every partner, per person and day, or as a mean, from the copies that this city has verified.

    Every city stands in it with every class, also without a figure: `state` says why. No partner is asked.
    """
    known = published()
    if metric is not None and metric not in known:
        raise ApiProblem(404, "unknown-metric", "No such metric", f"{metric!r} is not in the catalogue")
    metrics = known if metric is None else {metric: known[metric]}
    with snapshots.snapshot() as connection:
        found = gather_figures(connection, city, metrics, milliseconds(datetime.now(UTC)))
    rows = _rows(found, list(metrics.values()))
    headers = {"Cache-Control": "no-store"}
    if wants_table(request, form):
        return Response(table(_COLUMNS, (list(row.values()) for row in rows)), headers=headers, media_type=MEDIA_TYPE)
    return Response(to_json({"figures": rows}), headers=headers, media_type="application/json")


def _rows(found: Figures, metrics: list[Metric]) -> list[dict[str, Any]]:
    return [
        _row(metric, class_, city, found.of[metric.name, class_, city.id])
        for metric in metrics
        for class_ in metric.classes
        for city in found.cities
    ]


def _time(when: int | None) -> str | None:
    return None if when is None else rfc3339(when)


def _row(metric: Metric, class_: str, city: CityColumn, figure: Figure) -> dict[str, Any]:
    """In the order of `_COLUMNS`."""
    measure, unit, _ = measured(metric)
    compared = figure.compared
    return {
        **{"metric": metric.name, "class": class_, "city": city.id, "name": city.name, "own": city.own},
        **{"measure": measure, "unit": unit, "figure": compared.figure if compared else None, "state": figure.state},
        "population_share": compared.population_share if compared else None,
        "cells_share": compared.cells_share if compared else None,
        "windows": compared.windows if compared else 0,
        "windows_expected": whole_span(metric),
        "windows_withdrawn": compared.withdrawn if compared else 0,
        "until": rfc3339(compared.until) if compared else None,
        **{"status": figure.status.word, "since": _time(figure.status.since), "reason": figure.status.reason},
        "received_at": _time(figure.status.received_at),
    }
