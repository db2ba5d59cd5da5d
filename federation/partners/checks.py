"""Checks of what a partner sent, beside those of its chain: catalogues, facts, and bodies by their catalogue. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from federation.identity.document import LEEWAY_MS
from federation.partners.grid import on_grid
from federation.partners.limits import PartnerError
from federation.publications.chain import BrokenChain, check_body
from federation.publications.entries import BadEntry, PublicationEntry, digest, entry_of
from federation.strict_json import BadJson, loads
from federation.wire import CatalogCity, MetricCatalogue, Publication, ReleasedCell, rfc3339
from store.partner_bodies import ReceivedBody
from store.partner_entries import ReceivedEntry
from store.publication_log import CellColumns

M = TypeVar("M", bound=BaseModel)

LONGEST_ENTRY = 32 * 1024
"""Bytes of an entry: its longest part is the reason of a withdrawal."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A catalogue by which bodies are checked. `size` is that of its bytes, `metric` what they say."""

    hash: str
    size: int
    metric: MetricCatalogue
    places: frozenset[tuple[int, str]]


def lines_of(page: bytes, what: str) -> list[bytes]:
    """The lines of a page of JSON Lines. Raises `PartnerError` ("malformed") for an empty line or one without end."""
    if not page:
        return []
    if not page.endswith(b"\n"):
        raise PartnerError("malformed", f"the page of {what} breaks off in a line")
    lines = page[:-1].split(b"\n")
    if not all(lines):
        raise PartnerError("malformed", f"the page of {what} has an empty line")
    return lines


def definition(content: bytes, hash_: str, metric: str) -> Definition:
    """The catalogue of `metric` with this hash. Raises `PartnerError` ("other-catalogue", "malformed")."""
    if digest(content) != hash_:
        raise PartnerError("other-catalogue", f"the catalogue of {metric} is not the one that its entries name")
    found = _loaded(content, "catalogue")
    parsed = _valid(MetricCatalogue, found, "catalogue")
    if parsed.name != metric:
        raise PartnerError("other-catalogue", f"the catalogue of {metric} is of {ascii(parsed.name)[:100]}")
    numbers = [area.number for area in parsed.areas]
    places = frozenset((number, class_) for number in numbers for class_ in parsed.classes)
    return Definition(hash_, len(content), parsed, places)


def facts(content: bytes, city: str) -> CatalogCity:
    """The facts of a city in its `/v1/catalog`. Raises `PartnerError` ("malformed", "other-city")."""
    found = _loaded(content, "catalogue of the city")
    parsed = _valid(CatalogCity, found.get("city"), "catalogue of the city")
    if parsed.id != city:
        raise PartnerError("other-city", f"the catalogue is of {ascii(parsed.id)[:100]}, not of {city}")
    return parsed


def entry(line: bytes, agreed: Sequence[str], now_ms: int) -> PublicationEntry:
    """An entry of a metric that is agreed. Raises `PartnerError` ("malformed", "not-agreed", "future")."""
    if len(line) > LONGEST_ENTRY:
        raise PartnerError("malformed", f"an entry is longer than {LONGEST_ENTRY} bytes")
    try:
        found = entry_of(line)
    except BadEntry as error:
        raise PartnerError("malformed", str(error)) from None
    header = found.header
    if header.metric not in agreed:
        raise PartnerError("not-agreed", f"an entry of {header.metric} came, which is not agreed on")
    if header.kind != "skip" and max(header.window.end, header.published_at) > now_ms + LEEWAY_MS:
        when = rfc3339(max(header.window.end, header.published_at))
        words = f"entry {header.sequence} of {header.metric} is of {when}, which is not yet: compare the two clocks"
        raise PartnerError("future", words)
    return found


def metric_of(line: bytes) -> str | None:
    """The metric that a line claims to be an entry of, whatever else it holds; None if it names none."""
    try:
        found = loads(line) if len(line) <= LONGEST_ENTRY else None
    except BadJson:
        return None
    metric = found.get("metric") if isinstance(found, dict) else None
    return metric if isinstance(metric, str) else None


def check_grid(known: ReceivedEntry, length: str, zone: str) -> None:
    """Raise `PartnerError` ("off-grid") unless the entry's window is one of this length; a skip is of many."""
    if known.kind != "skip" and not on_grid(zone, length, known.window):
        window = f"{rfc3339(known.window.start)} to {rfc3339(known.window.end)}"
        words = f"entry {known.sequence} of {known.metric} is of {window}, which is no {length} in {zone}"
        raise PartnerError("off-grid", words)


def received_body(known: ReceivedEntry, line: bytes, defined: Definition) -> ReceivedBody:
    """A body that its entry names, checked by its catalogue. Raises `PartnerError`."""
    try:
        content = check_body(known, known.body, line)
    except BrokenChain as error:
        raise PartnerError(error.reason, str(error)) from None
    where = f"body {known.sequence} of {known.metric}"
    body = _valid(Publication, content, where)
    if body.unit != defined.metric.smallest_unit:
        raise PartnerError("other-unit", f"the {where} is in {ascii(body.unit)[:50]}, not in the catalogue's unit")
    order = [(cell.area, cell.class_) for cell in body.cells]
    if not defined.places.issuperset(order):
        area, class_ = next(place for place in order if place not in defined.places)
        raise PartnerError("not-in-catalogue", f"the {where} has area {area} with class {ascii(class_)[:50]}")
    if order != sorted(order):
        raise PartnerError("malformed", f"the {where} has cells out of order")
    if body.kind == "skip" and body.cells:
        raise PartnerError("malformed", f"the {where} is of a skip, and has cells")
    if body.kind != "withdrawal" and any(cell.status == "withdrawn" for cell in body.cells):
        raise PartnerError("malformed", f"the {where} has withdrawn cells, and withdraws nothing")
    return ReceivedBody(known, line, body.reason, _columns(body))


def sequence_of(line: bytes) -> int:
    """The sequence that a body claims to be of. Raises `PartnerError` ("malformed")."""
    sequence = _loaded(line, "body").get("sequence")
    if type(sequence) is not int:
        raise PartnerError("malformed", "a body has no sequence")
    return sequence


def _columns(body: Publication) -> CellColumns:
    cells = body.cells
    released = [cell if isinstance(cell, ReleasedCell) else None for cell in cells]
    return CellColumns(
        area=[cell.area for cell in cells],
        class_=[cell.class_ for cell in cells],
        status=[cell.status for cell in cells],
        value=[cell.value if cell else None for cell in released],
        coverage=[cell.coverage if cell else None for cell in released],
        rule=[cell.rule for cell in cells],
    )


def _loaded(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = loads(content)
    except BadJson as error:
        raise PartnerError("malformed", f"the {what} can't be read: {error}") from None
    if not isinstance(found, dict):
        raise PartnerError("malformed", f"the {what} is no object")
    return found


def _valid(model: type[M], content: object, what: str) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        words = ascii(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")[:300]  # some of them may be the partner's
        raise PartnerError("malformed", f"the {what} is not as it must be: {words}") from None
