"""Checking the rows of a register file, and bringing them into the form in which they are stored."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.cities import City
from ingest.facts import FACTS, fact_of
from ingest.identity import LONGEST_ID, holds_unseen, normal, normals, unseen
from ingest.register_table import Block, PlainBlock
from ingest.register_times import DateOrder, register_time
from schemas.catalogue import catalogue
from store.register_columns import NOT_SAID, RegisterColumns, RegisteredPlace, RegisterError, in_one
from store.source_history import NEVER_MS
from store.texts import Texts

TIMES_KEPT = 100_000
"""Times that are not parsed again in the next blocks."""

_NAMED = 20
"""Districts that an error names."""
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

    def columns(self, block: Block | PlainBlock) -> RegisterColumns:
        """The rows of a block as they are stored. Raises `RegisterError` if one is wrong."""
        if isinstance(block, PlainBlock):
            try:
                found = self._plain(block)
            except RegisterError:
                found = None
            return in_one([self.columns(part) for part in block.blocks()]) if found is None else found
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

    def _plain(self, block: PlainBlock) -> RegisterColumns | None:
        """As `_columns`, for the same rows; None if their ids are not plainly right. An error names no line."""
        source, metric, district, contributor, class_, valid_from, valid_to = block.columns
        if not (_plainly_ids(source) and _plainly_ids(contributor)):
            return None
        rows, place = _combined([_values(column) for column in (metric, district, class_)])
        places = [(name, of_source, of_class) for name, of_source, of_class in rows]
        for each in places:
            self._check_place(block.before, *each)
        (begins, begin), (ends, end) = _values(valid_from), _values(valid_to)
        begins_ms = np.array([self._time(text, block.before, "valid_from") for text in begins], np.int64)[begin]
        last = [self._end(text, block.before) for text in ends]
        ends_ms = np.array([NEVER_MS if each is None else each for each in last], np.int64)[end]
        if (ends_ms <= begins_ms).any():
            return None
        fact = _plain_facts(block, places, place) if block.facts else None
        for name, of_source, _ in places:
            self.districts[name].add(of_source)
        lines = np.arange(block.before + 1, block.before + 1 + len(block.fields))
        return RegisterColumns(lines, source.packed(), contributor.packed(), places, place, begins_ms, ends_ms, fact)

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
            raise RegisterError(f"{self._city.name} has no such district; {self._all_districts()}", line, "district")

    def _all_districts(self) -> str:
        ids = [district.id for district in self._city.districts]
        more = f" and {len(ids) - _NAMED} more: see the city's file" if len(ids) > _NAMED else ""
        return f"its districts are {', '.join(ids[:_NAMED])}{more}"

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


def _plainly_ids(column: Texts) -> bool:
    """Whether texts of printable ASCII are ids in their normal form."""
    if column.length.min() == 0 or column.length.max() > LONGEST_ID:
        return False
    ends = np.concatenate([column.start, column.start + column.length - 1])
    return bool((column.data[ends] != ord(" ")).all())


def _values(column: Texts) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts of a column in their normal form, and which of them each row has."""
    first, which = column.told_apart(column.hashes())
    return list(normals(column.take(first).strings())), which


def _combined(
    columns: Sequence[tuple[Sequence[str], NDArray[np.int64]]],
) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """The different rows of columns that are given by `_values`, and which of them each row is."""
    sizes = [len(values) for values, _ in columns]
    numbers, which = np.unique(np.ravel_multi_index([of for _, of in columns], sizes), return_inverse=True)
    places = zip(*np.unravel_index(numbers, sizes), strict=True)
    return [tuple(values[at] for (values, _), at in zip(columns, place, strict=True)) for place in places], which


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
    values = {row: _fact(names, row, block.lines[0], comma=block.comma) for row in set(rows)}
    return list(map(values.__getitem__, rows))


def _plain_facts(block: PlainBlock, places: Sequence[RegisteredPlace], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `_facts`, but `NOT_SAID` for None."""
    names = list(block.facts)
    kinds = [([metric for metric, _, _ in places], place), ([class_ for _, _, class_ in places], place)]
    rows, which = _combined([*kinds, *map(_values, block.facts.values())])
    values = (_fact(names, row, block.before, comma=block.comma) for row in rows)
    return np.array([NOT_SAID if value is None else value for value in values], np.int64)[which]


def _fact(names: Sequence[str], row: Sequence[str], line: int, *, comma: bool) -> int | None:
    """The fact of a row of metric, class and the texts of these facts."""
    metric, class_, *texts = row
    fact = fact_of(metric)
    value: int | None = None
    for name, text in zip(names, texts, strict=True):
        if FACTS[name] is not fact:
            if text:
                raise RegisterError(f"a source of {metric} has no {name}: leave the field empty", line, name)
            continue
        try:
            value = fact.parsed(text, class_, comma=comma)
        except ValueError as error:
            raise RegisterError(str(error), line, name) from None
    return value
