"""A metric's series, the latest revision of each window: what is asked for, and the answer, for both apps."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import AfterValidator

from api import examples, rendering
from api.caching import conditional, etag
from api.openapi import NO_DATABASE, REFUSED_PARAMETER, conditionally, tabled
from api.problems import ApiProblem, documented
from api.series_table import series_table
from api.tables import MEDIA_TYPE, TableFormat, wants_table
from api.texts import Named
from federation.city import CityFacts
from federation.wire import MOST_CELLS, instant, rfc3339
from schemas.catalogue import Metric, published
from store import publication_log
from store.database import Connection
from store.publication_log import EVERYTHING, PublicationScope, published_areas

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


MetricInPath = Annotated[Named, Path(description="Name of the metric, see the catalogue.")]
AreaAsked = Annotated[int | None, Query(ge=0, lt=2**31, description="Cells of this area alone.")]
ClassAsked = Annotated[Named | None, Query(alias="class", description="Cells of this class alone.")]

ANSWERS = conditionally(examples.SERIES) | documented(
    (400, "The metric has no such class or area.", examples.UNKNOWN_FILTER),
    (404, "No such metric.", examples.UNKNOWN_METRIC),
    REFUSED_PARAMETER,
    NO_DATABASE,
)
ANSWERS[200]["content"] |= tabled(examples.SERIES)[200]["content"]


@dataclass(frozen=True, slots=True)
class AskedSeries:
    """What is asked for: a metric, the time in which windows begin (RFC 3339), cells of one area or class."""

    metric: MetricInPath
    start: From = None
    end: To = None
    area: AreaAsked = None
    class_: ClassAsked = None
    chosen: TableFormat = None

    def defined(self) -> Metric:
        """The definition of the metric. Raises an `ApiProblem` if there is none, or no such class."""
        metric = published().get(self.metric)
        if metric is None:
            raise ApiProblem(404, "unknown-metric", "No such metric", f"{self.metric!r} is not in the catalogue")
        if self.class_ is not None and self.class_ not in metric.classes:
            detail = f"{self.metric} has the classes {', '.join(metric.classes)}"
            raise ApiProblem(400, "unknown-class", "No such class", detail)
        return metric


def series_answer(
    request: Request,
    city: CityFacts,
    connection: Connection,
    asked: AskedSeries,
    definition: Metric,
    scope: PublicationScope = EVERYTHING,
) -> Response:
    """The series as JSON or CSV, of what `scope` sees."""
    areas = {area.number: area.name for area in published_areas(connection).get(definition.registered_as, ())}
    if asked.area is not None and asked.area not in areas:
        detail = f"{asked.metric} has no area {asked.area}, see the catalogue"
        raise ApiProblem(400, "unknown-area", "No such area", detail)
    span = _range(connection, asked, scope)
    windows, following = publication_log.series(
        connection,
        asked.metric,
        *span,
        area=asked.area,
        class_=asked.class_,
        limit=MOST_WINDOWS,
        most_cells=MOST_CELLS,
        scope=scope,
    )
    rest = None if following is None else rfc3339(following)
    unit = definition.smallest_unit
    log = publication_log.log_state(connection)
    shown = [(header.sequence, header.kind, len(cells.area)) for header, cells in windows]
    as_table = wants_table(request, asked.chosen)
    tag = etag("series", city.id, log.id, asked, as_table, areas, shown, rest)
    if as_table:
        answer = conditional(
            request, tag, lambda: series_table(city.id, asked.metric, unit, areas, windows), media_type=MEDIA_TYPE
        )
    else:
        content = {"city": city.id, "metric": asked.metric, "unit": unit, "next": rest}
        answer = conditional(
            request,
            tag,
            lambda: content | {"windows": [rendering.revision(header, cells) for header, cells in windows]},
        )
    if rest is not None:
        answer.headers["Sistercity-Next"] = rest
    answer.headers["Vary"] = "Accept"
    return answer


def _range(connection: Connection, asked: AskedSeries, scope: PublicationScope) -> tuple[int, int]:
    if asked.end is not None:
        last = instant(asked.end)
    else:
        newest = publication_log.newest_window(connection, asked.metric, scope)
        last = newest.end if newest else LAST_MS
    return (instant(asked.start) if asked.start is not None else max(0, last - DEFAULT_MS)), last
