"""The handler of the catalogue: what the city publishes."""

from fastapi import APIRouter, Request, Response

from api import examples, rendering
from api.caching import conditional, etag
from api.dependencies import OwnCity, Snapshots
from api.openapi import NO_DATABASE, conditionally
from api.problems import documented
from federation.wire import Catalog
from schemas.catalogue import published
from store import publication_log
from store.detectors import detectors

router = APIRouter()


@router.get(
    "/v1/catalog",
    operation_id="get_catalog",
    tags=["catalogue"],
    summary="What the city publishes",
    response_model=Catalog,
    responses=conditionally(examples.CATALOG) | documented(NO_DATABASE),
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
