"""Checks of what a partner sent: JSON against `federation.wire`, a page against its request and its catalogue. Pure."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from federation.partners.limits import PartnerError
from federation.wire import Catalog, Publication, PublicationPage, ReleasedCell, instant
from store.partners import PartnerState, ReceivedPublication
from store.publication_log import CellColumns
from store.publications import Window

M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], body: bytes, what: str) -> M:
    """`body` as a message of this model. Raises `PartnerError` ("malformed") with the place of the error in `what`."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        words = ascii(f"{where}: {first['msg']}")[:300]  # some of them may be the partner's
        raise PartnerError("malformed", f"the {what} is not as it must be: {words}") from None


def check_page(state: PartnerState, page: PublicationPage, most: int, url: object) -> None:
    """Raise `PartnerError` unless `page` answers the request for at most `most` publications after `state`'s cursor."""
    if page.city != state.city:
        raise PartnerError("other-city", f"{url} was {state.city} and claims to be {page.city} now")
    if page.log != state.log_id:
        raise PartnerError("other-log", f"{url} takes a cursor of log {state.log_id} and answers with {page.log}")
    if page.publications and page.next == state.cursor:
        raise PartnerError("no-progress", f"{url} gives publications and the same cursor again")
    if len(page.publications) > most:
        raise PartnerError("too-many", f"{url} gives more publications than were requested")


def not_in_catalogue(catalog: Catalog, page: PublicationPage) -> str | None:
    """The first thing in `page` that is missing from `catalog` or differs from it, in words; None if there is none."""
    metrics = {metric.name: metric for metric in catalog.metrics}
    areas = {metric.name: {area.number for area in metric.areas} for metric in catalog.metrics}
    for publication in page.publications:
        name = publication.metric
        metric = metrics.get(name)
        if metric is None:
            return f"the catalogue has no metric {name!r}"
        if publication.unit != metric.smallest_unit:
            return f"{name} is in {publication.unit!r}, not in {metric.smallest_unit!r}"
        for cell in publication.cells:
            if cell.area not in areas[name] or cell.class_ not in metric.classes:
                return f"{name} has no area {cell.area} with class {cell.class_!r}"
    return None


def received(publication: Publication) -> ReceivedPublication:
    """A publication as the store keeps it."""
    cells = publication.cells
    released = [cell if isinstance(cell, ReleasedCell) else None for cell in cells]
    columns = CellColumns(
        area=[cell.area for cell in cells],
        class_=[cell.class_ for cell in cells],
        status=[cell.status for cell in cells],
        value=[cell.value if cell else None for cell in released],
        coverage=[cell.coverage if cell else None for cell in released],
        rule=[cell.rule for cell in cells],
    )
    window = Window(instant(publication.window.start), instant(publication.window.end))
    published_at = instant(publication.published_at)
    return ReceivedPublication(
        *(publication.metric, publication.sequence, window, publication.revision, published_at, columns),
        *(publication.kind, publication.reason),
    )
