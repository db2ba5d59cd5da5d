"""What a partner said, checked: JSON against `federation.wire`, a page against its city's catalogue. Pure."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from federation.fetching import PartnerError
from federation.wire import Catalog, Publication, PublicationPage, ReleasedCell, instant
from store.partners import ReceivedPublication
from store.publication_log import CellColumns
from store.publications import Window

M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], body: bytes, what: str) -> M:
    """The message of this model. Raises `PartnerError` ("malformed") that says where `what` is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        words = ascii(f"{where}: {first['msg']}")[:300]  # some of them may be the partner's
        raise PartnerError("malformed", f"the {what} is not as it must be: {words}") from None


def wrong(catalog: Catalog, page: PublicationPage) -> str | None:
    """What a page says that its city's catalogue does not know, if anything."""
    metrics = {metric.name: metric for metric in catalog.metrics}
    areas = {metric.name: {area.number for area in metric.areas} for metric in catalog.metrics}
    for one in page.publications:
        metric = metrics.get(one.metric)
        if metric is None:
            return f"the catalogue has no metric {one.metric!r}"
        if one.unit != metric.smallest_unit:
            return f"{one.metric} is in {one.unit!r}, not in {metric.smallest_unit!r}"
        for cell in one.cells:
            if cell.area not in areas[one.metric] or cell.class_ not in metric.classes:
                return f"{one.metric} has no area {cell.area} with class {cell.class_!r}"
    return None


def received(one: Publication) -> ReceivedPublication:
    """A publication as the store keeps it."""
    cells = one.cells
    released = [cell if isinstance(cell, ReleasedCell) else None for cell in cells]
    columns = CellColumns(
        area=[cell.area for cell in cells],
        class_=[cell.class_ for cell in cells],
        value=[cell.value if cell else None for cell in released],
        coverage=[cell.coverage if cell else None for cell in released],
        rule=[cell.rule for cell in cells],
    )
    window = Window(instant(one.window.start), instant(one.window.end))
    return ReceivedPublication(one.metric, one.sequence, window, one.revision, instant(one.published_at), columns)
