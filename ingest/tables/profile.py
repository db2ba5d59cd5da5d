"""A profile: what a delimited table, JSON or XML looks like, and which readings its lines or records are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Repeated = Literal["refuse", "first", "order"]
"""What becomes of a local time in an hour that the clock repeats: it is refused, or taken as the first of the two, or
the first and then the second, by the order of the lines of its source."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the file is written. `skip` lines come before the header, or before the first line if there is no header.

    Without a header, columns are numbered from "1". A line of more than `longest` bytes is refused.
    """

    delimiter: str = ","
    quote: str = '"'
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    header: bool = True
    skip: int = 0
    skip_blank_lines: bool = False
    longest: int = 4_096
    of_no_interest: tuple[str, ...] = ()
    """Columns that are known and not read: no note names them."""


@dataclass(frozen=True, slots=True)
class Records:
    """Sub-tables: the first field of a line says which it is of. Columns are `200.2`, field 2 of a line `200`.

    A line of `data` holds readings; those of `context` hold for all data after them; one of `quality` names the first
    and last interval (from 1) of the data line before it, and their quality, in its fields 2, 3 and 4.
    """

    data: str
    context: str
    quality: str = ""
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JsonPart:
    """Records of JSON instead of lines: the elements of the array at a path of keys, or the documents of the lines.

    Columns are keys of a record, or paths of keys and places, joined by dots. `each` is a path of keys in a record to
    an array of which each element is a row, as if it stood there alone.
    """

    records: tuple[str, ...] = ()
    lines: bool = False
    each: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class XmlPart:
    """Records of XML instead of lines: elements at a path of names, without namespaces, from an outer element on.

    Columns are paths below the outer element, joined by dots, `@name` for an attribute at their end.
    """

    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourcePart:
    """The source's id: text with columns in braces, `{stream}` among them. None: the command names the source."""

    text: str
    columns: tuple[str, ...]
    strip: str = ""
    """Signs that are no part of an id and stand around it, such as those of `="123"`."""


@dataclass(frozen=True, slots=True)
class RepeatedColumn:
    """A column that says which of the two hours a line is of."""

    column: str
    first: frozenset[str]
    second: frozenset[str]


@dataclass(frozen=True, slots=True)
class TimePart:
    """When a reading is of. The columns are joined by a blank and are in one of the formats.

    `zone` is an IANA zone, or "city", or "text" where each time itself holds its distance from UTC; it is for times
    that hold none. `ends`: it is the end of the interval. `sequence` is a column of whole numbers, milliseconds that
    are added to it. Columns of month (its English name) and year must agree with it.
    """

    columns: tuple[str, ...]
    formats: tuple[str, ...]
    zone: str
    ends: bool = False
    repeated: Repeated | RepeatedColumn = "refuse"
    sequence: str = ""
    month: str = ""
    year: str = ""


@dataclass(frozen=True, slots=True)
class ValuePart:
    """The amount: its column by name, or by the beginning and end of its name, where only one column has them.

    Its unit is `unit`, or what `unit_column` says, or the end of the column's name, or what columns of volts and
    amperes tell; where `units` has several, the operator may choose one.
    """

    column: str = ""
    prefix: str = ""
    suffix: str = ""
    plus: tuple[str, ...] = ()
    """Columns whose amounts are added: the tariffs of one meter."""
    unit: str = ""
    units: tuple[str, ...] = ()
    unit_column: str = ""
    unit_in_name: bool = False
    volts_amperes: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset({""})
    signed: bool = True
    exponent: bool = False
    cumulative: bool = False
    """The amounts are states of a register that only rises: a reading is the difference to the one before."""


@dataclass(frozen=True, slots=True)
class IntervalPart:
    """How long an interval is: `fixed` milliseconds, the times' `spacing`, a local `month`, or what a `column` says.

    A number in that column is of `unit_ms` milliseconds; `words` are other texts in it, with their milliseconds.
    Columns of `until` say when it ends, in the formats of the times: a line that says otherwise is refused.
    """

    kind: Literal["moment", "fixed", "spacing", "month", "column"]
    fixed_ms: int = 0
    column: str = ""
    unit_ms: int = 0
    words: Mapping[str, int] = field(default_factory=dict)
    until: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamsPart:
    """A column for each stream of a place. Those of `names` must be there; `pattern` finds more by its first group.

    An empty field is counted as `empty`. A position is the line's number times `places`, plus the stream's, from 1.
    """

    names: Mapping[str, str]
    pattern: re.Pattern[str] | None
    empty: str
    places: int


@dataclass(frozen=True, slots=True)
class WidePart:
    """A column for each interval of a local day: from the column `first` on, in order; `stop` is the first one after.

    `by_clock`: the columns are named by their time of day, and only those are read. Otherwise intervals count from the
    day's first moment on, so a day of 25 hours has more of them. `numbered`: the columns are named as `first`, with the
    numbers that follow its own, wherever they are. Without `stop`, there are as many as fit into a day of
    24 hours. A position is the line's number times 1,000, plus the interval's, from 1.
    """

    first: str = ""
    stop: str = ""
    by_clock: bool = False
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class QualityPart:
    """A column that says whether a value was measured: the beginnings of texts that mean so, and of those that do not.

    `after_values`: its place is as many columns after the first value as there are values.
    """

    column: str
    actual: tuple[str, ...]
    estimated: tuple[str, ...]
    varies: str = ""
    after_values: bool = False


@dataclass(frozen=True, slots=True)
class OnlyPart:
    """A column whose text must be one of these, or begin with one of `beginnings`: other lines are refused."""

    column: str
    texts: frozenset[str]
    beginnings: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of table; `noun` names its readings in the plural."""

    name: str
    title: str
    metric: str
    noun: str
    shape: Shape
    source: SourcePart | None
    time: TimePart
    value: ValuePart
    interval: IntervalPart
    json: JsonPart | None = None
    xml: XmlPart | None = None
    telegrams: bool = False
    """Files are telegrams of a P1 port; columns are OBIS references, as `telegram_rows` has them."""
    records: Records | None = None
    streams: StreamsPart | None = None
    wide: WidePart | None = None
    quality: QualityPart | None = None
    only: tuple[OnlyPart, ...] = ()

    @property
    def names_columns(self) -> bool:
        """Whether records are found by the names of their columns, and no header names them."""
        return self.json is not None or self.xml is not None or self.telegrams


@dataclass(frozen=True, slots=True)
class Said:
    """What the operator says of files besides their profile; None leaves it to profile and file."""

    zone: str | None = None
    unit: str | None = None
    interval_ms: int | None = None
    column: str | None = None
