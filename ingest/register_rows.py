"""Checking the rows of a register file, and bringing them into the form in which they are stored."""

from collections import defaultdict
from collections.abc import Sequence

from ingest.cities import City
from ingest.facts import FACTS, fact_of
from ingest.identity import LONGEST_ID, holds_unseen, normal, normals, unseen
from ingest.register_table import Block
from ingest.register_times import DateOrder, register_time
from schemas.catalogue import catalogue
from store.register_columns import RegisterColumns, RegisterError

TIMES_KEPT = 100_000
"""Times that are not parsed again in the next blocks."""

_LOST = "\ufffd"
_SINGLE_SURROGATES = ("\udc80", "\udcff")


class RegisterRows:
    """Checks rows by blocks.

    A block is checked column by column, as far as possible by different values. If anything is wrong, it is checked
    again row by row, which finds the first line and its column.
    """

    def __init__(self, city: City, dates: DateOrder | None = None) -> None:
        self._city = city
        self._dates = dates
        self._districts = frozenset(district.id for district in city.districts)
        self._times: dict[str, int] = {}
        self.districts: dict[str, set[str]] = defaultdict(set)
        """By metric, the districts that the rows named."""

    def columns(self, block: Block) -> RegisterColumns:
        """The rows of a block as they are stored. Raises `RegisterError` if one is wrong."""
        try:
            return self._columns(block)
        except RegisterError:
            for index, line in enumerate(block.lines):
                columns = [[column[index]] for column in block.columns]
                facts = {name: [column[index]] for name, column in block.facts.items()}
                self._columns(Block([line], columns, facts, block.comma))
            raise

    def _columns(self, block: Block) -> RegisterColumns:
        """An error names the block's first line: it is exact for a block of one row."""
        line = block.lines[0]
        source, metric, district, contributor, class_, valid_from, valid_to = block.columns
        source, contributor = _ids(source, line, "source"), _ids(contributor, line, "contributor")
        places = set(zip(metric, district, class_, strict=True))
        if any(text != normal(text) for place in places for text in place):
            metric, district, class_ = (list(map(normal, column)) for column in (metric, district, class_))
            places = set(zip(metric, district, class_, strict=True))
        for place in places:
            self._check_place(line, *place)
        begins = {text: self._time(text, line, "valid_from") for text in set(valid_from)}
        ends = {text: self._end(text, line) for text in set(valid_to)}
        if set(ends) != {""}:
            for begin, end in set(zip(valid_from, valid_to, strict=True)):
                _check_span(begins[begin], ends[end], line)
        fact = _facts(block, metric, class_) if block.facts else None
        for name, of_source, _ in places:
            self.districts[name].add(of_source)
        return RegisterColumns.of(
            line=block.lines,
            source=source,
            metric=metric,
            district=district,
            contributor=contributor,
            class_=class_,
            valid_from_ms=list(map(begins.__getitem__, valid_from)),
            valid_to_ms=list(map(ends.__getitem__, valid_to)),
            fact=fact,
        )

    def _check_place(self, line: int, name: str, district: str, class_: str) -> None:
        metric = catalogue().get(name)
        if metric is None:
            raise RegisterError(f"no such metric; there are {', '.join(catalogue())}", line, "metric")
        if metric.derived_from is not None:
            problem = f"{metric.name} is computed from {metric.derived_from}: register the source for that one"
            raise RegisterError(problem, line, "metric")
        if class_ not in metric.classes:
            raise RegisterError(f"{metric.name} has the classes {', '.join(metric.classes)}", line, "class")
        if district not in self._districts:
            raise RegisterError(f"{self._city.name} has no such district", line, "district")

    def _end(self, text: str, line: int) -> int | None:
        return self._time(text, line, "valid_to") if text.strip() else None

    def _time(self, text: str, line: int, column: str) -> int:
        """Milliseconds since 1970, UTC."""
        if text not in self._times:
            if len(self._times) == TIMES_KEPT:
                self._times.clear()
            try:
                self._times[text] = register_time(text, self._city.zone, self._dates)
            except ValueError as error:
                raise RegisterError(str(error), line, column) from None
        return self._times[text]


def _check_span(begins_ms: int, ends_ms: int | None, line: int) -> None:
    if ends_ms is not None and ends_ms <= begins_ms:
        raise RegisterError("must be later than valid_from", line, "valid_to")


def _ids(column: Sequence[str], line: int, name: str) -> Sequence[str]:
    """The ids in their normal form; `line` is the one that an error names."""
    ids = normals(column)
    if not all(ids):
        raise RegisterError("is empty", line, name)
    if max(map(len, ids)) > LONGEST_ID:
        raise RegisterError(f"is longer than {LONGEST_ID} characters", line, name)
    joined = "".join(ids)
    if holds_unseen(joined) or _LOST in joined:
        raise RegisterError(_why_no_id(joined), line, name)
    return ids


def _why_no_id(text: str) -> str:
    if any(_SINGLE_SURROGATES[0] <= letter <= _SINGLE_SURROGATES[1] for letter in text):
        return "is not in UTF-8: save the file as CSV in UTF-8"
    if _LOST in text:
        return f"holds U+{ord(_LOST):04X}, which stands for a letter that was lost: export the file again, in UTF-8"
    return f"holds a character that can't be printed or seen ({unseen(text)}): remove it"


def _facts(block: Block, metric: Sequence[str], class_: Sequence[str]) -> Sequence[int | None]:
    """The fact of each row: None where no column of the file says anything of its metric."""
    names = list(block.facts)
    rows = list(zip(metric, class_, *(normals(column) for column in block.facts.values()), strict=True))
    values = {row: _fact(names, row[0], row[1], row[2:], block) for row in set(rows)}
    return list(map(values.__getitem__, rows))


def _fact(names: Sequence[str], metric: str, class_: str, texts: Sequence[str], block: Block) -> int | None:
    fact, line = fact_of(metric), block.lines[0]
    value: int | None = None
    for name, text in zip(names, texts, strict=True):
        if FACTS[name] is not fact:
            if text:
                raise RegisterError(f"a source of {metric} has no {name}: leave the field empty", line, name)
            continue
        try:
            value = fact.parsed(text, class_, comma=block.comma)
        except ValueError as error:
            raise RegisterError(str(error), line, name) from None
    return value
