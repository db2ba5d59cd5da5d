"""What cities exchange in JSON: the catalogue, publications, series, problems.

The API describes its answers by these models, and the partner client checks everything that it receives with them:
types are strict, numbers fit 64 bits, texts are bounded and printable, a cell has exactly the fields of its status.
"""

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from federation.disclosure.precision import CoverageBand
from federation.plain_text import plain
from store.moments import milliseconds, moment

MOST_CELLS = 100_000
"""The most cells in one answer, unless it holds a single publication, which may have up to `MOST_CELLS_OF_ONE`."""

MOST_CELLS_OF_ONE = 250_000

_BIGINT = 2**63
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


def instant(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time with its offset; finer fractions are cut off. Raises `ValueError`."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time needs its offset from UTC, for instance a final Z")
    try:
        return milliseconds(when.astimezone(UTC))
    except OverflowError:
        raise ValueError("the time lies outside the years 1 to 9999") from None


@lru_cache(maxsize=64)  # lines of the audit that are written together have the same time
def rfc3339(ms: int) -> str:
    """The inverse of `instant`, in UTC; with milliseconds only where there are some."""
    return moment(ms).isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def _checked(text: str) -> str:
    instant(text)
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no time zone") from None
    return name


Instant = Annotated[
    str,
    StringConstraints(max_length=24, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$"),
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE), AfterValidator(plain)]
Text = Annotated[str, StringConstraints(max_length=5000, pattern=_PRINTABLE), AfterValidator(plain)]
Zone = Annotated[Name, AfterValidator(_zone)]
Format = Annotated[int, Field(ge=1, le=1)]  # Literal[1] would take true for 1
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[int, Field(ge=-_BIGINT, lt=_BIGINT)]
Count = Annotated[int, Field(ge=0, lt=_BIGINT)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
AreaNumber = Annotated[int, Field(ge=0, lt=2**31)]


class _Message(BaseModel):
    """Fields that a later version adds are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Cell(BaseModel):
    """Fields may never be added to a cell: everything else about it stays inside its city."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    area: AreaNumber = Field(description="Number of the area, see the catalogue.")
    class_: Name = Field(alias="class", description="Class of the contributors, see the catalogue.")


class ReleasedCell(_Cell):
    """A cell that may be released under its disclosure rule."""

    status: Literal["released"]
    value: Amount = Field(
        description="Amount in the publication's `unit`, rounded to four significant digits and a multiple of the"
        " metric's `base`. Sums are to be made of these."
    )
    coverage: CoverageBand = Field(
        description="Share of the window that the registered sources reported: at least 90 % is `high`, at least 50 %"
        " `medium`, less `low`."
    )
    rule: Name = Field(description="Disclosure rule under which the cell was decided.")


class SuppressedCell(_Cell):
    """A cell that failed its disclosure rule, or that has no readings: the two can't be told apart."""

    status: Literal["suppressed"]
    rule: Name = Field(description="Disclosure rule under which the cell was decided.")


class IncompleteCell(_Cell):
    """A cell of a window that lacks readings, or whose readings were not all processed when it was due.

    Its value may follow in a revision.
    """

    status: Literal["incomplete"]
    rule: Name = Field(description="Disclosure rule under which the cell would be decided.")


class WithdrawnCell(_Cell):
    """A cell of a window that the city has taken back: erase what it showed."""

    status: Literal["withdrawn"]
    rule: Name = Field(description="Disclosure rule under which the cell was decided.")


WireCell = Annotated[ReleasedCell | SuppressedCell | IncompleteCell | WithdrawnCell, Field(discriminator="status")]


class Span(_Message):
    """A window: from `start` up to, not including, `end`. Windows follow the city's own clock."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _runs_forward(self) -> "Span":
        if instant(self.end) <= instant(self.start):
            raise ValueError("a window must end after its start")
        return self


class Revision(_Message):
    """All cells of one window in one revision. Immutable once published."""

    sequence: int = Field(ge=1, lt=_BIGINT, description="Rises by one with each publication of the metric: no gap.")
    revision: int = Field(ge=0, lt=2**31, description="0 at first; a correction of the window is the next number.")
    window: Span
    published_at: Instant = Field(
        description="When the revision was due: a fixed time after the window's end, whenever readings came in."
    )
    kind: Literal["publication", "correction", "withdrawal", "skip", "lost"] = Field(
        default="publication",
        description="`correction`: a revision after the first. `lost`: the city published this and has lost it; who has"
        " it keeps it. `skip`: windows of this span may have been published before, and never are again."
        " `withdrawal`: every revision of the window was taken back; erase what they showed.",
    )
    reason: Text | None = Field(default=None, description="Of a withdrawal: why it was made, in words.")
    cells: list[WireCell] = Field(max_length=MOST_CELLS_OF_ONE, description="Ordered by area, then class.")

    @model_validator(mode="after")
    def _withdraws_wholly(self) -> "Revision":
        if (self.kind == "withdrawal") != (self.reason is not None):
            raise ValueError("a withdrawal has a reason, and nothing else has one")
        if self.kind == "withdrawal" and any(cell.status != "withdrawn" for cell in self.cells):
            raise ValueError("a withdrawal shows nothing")
        return self

    @model_validator(mode="after")
    def _has_each_cell_once(self) -> "Revision":
        twice = [place for place, n in Counter((cell.area, cell.class_) for cell in self.cells).items() if n > 1]
        if twice:
            raise ValueError(f"area {twice[0][0]}, class {twice[0][1]!r} is there twice")
        return self


class Publication(Revision):
    """A revision of a window, with the metric that it is of."""

    metric: Name
    unit: Name = Field(description="Unit of every value: the metric's smallest unit.")


class Series(_Message):
    """A metric over time: the latest revision of each window."""

    city: Name
    metric: Name
    unit: Name = Field(description="Unit of every value: the metric's smallest unit.")
    windows: list[Revision] = Field(description="Ordered by start.")
    next: Instant | None = Field(description="The `from` of the next request; null if the range is complete.")


class CatalogCity(_Message):
    """The city itself."""

    id: Name
    name: Name
    names: dict[Name, Name] = Field(max_length=500, description="The city's name by language (BCP 47).")
    country: Name
    zone: Zone = Field(description="IANA time zone; windows follow it.")
    population: Count
    districts: Count
    sources: list[Text] = Field(max_length=1000, description="The sources of these facts.")


class ClassThreshold(_Message):
    """What a cell of one class must have to be released."""

    class_: Name = Field(alias="class")
    minimum: Count = Field(description="How many contributors must count, at least.")
    dominance_percent: int | None = Field(
        ge=0,
        le=100,
        description="The most that the largest contributor may have of the sum of absolute net amounts;"
        " null where that is not tested.",
    )
    minimum_of_largest: Count = Field(description="What the largest contributor must have, in the smallest unit.")


class DisclosureRule(_Message):
    """The rule that decides which cells are released."""

    id: Name
    words: Text
    source: Text
    thresholds: list[ClassThreshold] = Field(
        default=[], max_length=100, description="The rule's numbers for each class of the metric."
    )


class CatalogArea(_Message):
    """A part of the city; a metric's areas of one date are a partition of it."""

    number: AreaNumber
    name: Name
    population: Count
    valid_from: Instant = Field(
        description="Windows that begin from here on use this area, until a later date's areas."
    )


class CatalogDetector(_Message):
    """A detector with which a metric's pictures were processed."""

    name: Name
    version: Name = Field(description="Another version may find other regions in the same picture.")
    precision: Share = Field(description="Share of the regions it found that were right, measured on labelled images.")
    recall: Share = Field(description="Share of the labelled regions that it found, measured on labelled images.")
    since: Instant = Field(description="When the earliest picture that it processed was taken.")


class MetricFacts(_Message):
    """The definition of a metric, and the areas in which it is measured."""

    name: Name
    title: Text
    definition: Text
    dataset: Name
    unit: Name = Field(description="Unit in which to show amounts.")
    smallest_unit: Name = Field(description="Unit in which amounts are whole numbers.")
    smallest_per_unit: int = Field(ge=1, lt=_BIGINT)
    base: int = Field(ge=1, lt=_BIGINT, description="Every value is a multiple of it, in the smallest unit.")
    kind: Name = Field(description="How readings become a value: `sum`, `count`, `mean` or `mean-of-last`.")
    contributor: Name = Field(description="What the disclosure rule counts.")
    classes: list[Name] = Field(min_length=1, max_length=100)
    window: Name
    zone: Zone | None = Field(
        default=None,
        description="IANA time zone whose local days are cut into the windows; absent before version 0.2.0.",
    )
    lateness_seconds: Count = Field(description="How long a window stays open for late readings.")
    rule: DisclosureRule
    areas: list[CatalogArea] = Field(max_length=100_000)

    @model_validator(mode="after")
    def _names_areas_and_classes_once(self) -> "MetricFacts":
        _once(f"area of {self.name}", [area.number for area in self.areas])
        _once(f"class of {self.name}", self.classes)
        return self


class MetricCatalogue(MetricFacts):
    """The catalogue that entries name by its hash."""

    format: Format


class CatalogMetric(MetricFacts):
    """A metric as the catalogue of a city lists it."""

    hash: Hash | None = Field(default=None, description="SHA-256 of the metric's catalogue, as its entries name it.")
    detectors: list[CatalogDetector] = Field(
        default=[],
        max_length=1000,
        description="Detectors that the metric was counted with, in the order of `since`.",
    )


class Catalog(_Message):
    """What a city publishes: facts about itself, its metrics and their areas."""

    city: CatalogCity
    log: Name = Field(description="Identity of the log of publications.")
    metrics: list[CatalogMetric] = Field(max_length=1000)

    @model_validator(mode="after")
    def _names_each_once(self) -> "Catalog":
        _once("metric", [metric.name for metric in self.metrics])
        return self


class Problem(BaseModel):
    """An error, as RFC 9457 describes it. Tell errors apart by `type`; `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str | None = None
    errors: list["InvalidParameter"] | None = Field(default=None, description="Which parameters were refused, and why.")


class InvalidParameter(BaseModel):
    """A parameter that was refused."""

    name: str
    reason: str


class Health(BaseModel):
    """The node answers, and so does its database."""

    status: Literal["ok"]


def _once(what: str, names: list[Any]) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]!r} is there twice")
