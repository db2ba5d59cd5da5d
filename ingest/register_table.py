"""The register file as a table: what spreadsheets and programs write, in blocks of rows with their lines.

The first line that is not blank names the columns, in any order and case: those of `COLUMNS`, and any of the facts.
Fields are separated by commas, semicolons (Latin or Arabic) or tabs, or by what a line `sep=` before the header says.
The text is UTF-8 or, with its mark, UTF-16.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import accumulate, chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

from ingest.facts import FACTS
from ingest.identity import normal
from store.register_columns import RegisterError

COLUMNS = ("source", "metric", "district", "contributor", "class", "valid_from", "valid_to")

BLOCK = 2_000
"""Rows that are checked and copied at once."""

Row = Sequence[str]
"""The fields of a line."""

_NAMES = frozenset(COLUMNS) | frozenset(FACTS)
_DELIMITERS = ",;\t|\u061b\u060c"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_LONGEST_HEADER = 10_000
_HEAD_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, and the line of each; `columns` are those of `COLUMNS`, in that order, `facts` those of the file.

    `comma`: fields were separated by commas.
    """

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]
    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    comma: bool = True


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a row has its columns: `pick` gives those of `COLUMNS` and then `facts`. `width` counts its fields."""

    pick: "itemgetter[Any]"
    facts: tuple[str, ...]
    width: int
    comma: bool

    def block(self, lines: Sequence[int], rows: Sequence[Row]) -> Block:
        columns = self.pick(list(zip(*rows, strict=True)))
        return Block(
            lines, columns[: len(COLUMNS)], dict(zip(self.facts, columns[len(COLUMNS) :], strict=True)), self.comma
        )


def blocks_of_file(path: Path) -> Iterator[Block]:
    """The rows of a register file. Raises `RegisterError`, also for a header that isn't the register's.

    What comes before a line that can't be read is a block, too: the first error is the one to name.
    """
    with _opened(path) as file:
        line, header = 1, file.readline(_LONGEST_HEADER)
        delimiter = None
        while header and (not header.strip() or (delimiter is None and _SEPARATOR_LINE.fullmatch(header))):
            if match := _SEPARATOR_LINE.fullmatch(header):
                delimiter = match[1]
            line, header = line + 1, file.readline(_LONGEST_HEADER)
        yield from _blocks(chain([header], file), line - 1, delimiter or _delimiter(header))


def blocks_of_rows(rows: Iterable[Mapping[str, str]]) -> Iterator[Block]:
    """Rows by column, with the lines that they would have in a file; the first says which facts all of them have."""
    remaining, line = iter(rows), 2
    facts: tuple[str, ...] | None = None
    while block := list(islice(remaining, BLOCK)):
        facts = tuple(name for name in FACTS if name in block[0]) if facts is None else facts
        for number, row in enumerate(block, start=line):
            for column in (*COLUMNS, *facts):
                if column not in row:
                    raise RegisterError("is missing", number, column)
        columns = [[row[column] for row in block] for column in COLUMNS]
        yield Block(range(line, line + len(block)), columns, {name: [row[name] for row in block] for name in facts})
        line += len(block)


def _opened(path: Path) -> TextIO:
    """The file as text. Bytes that are not UTF-8 become single surrogates, which no id can hold: they have a place."""
    file = path.open("rb")
    head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # stays unread: a pipe (/dev/stdin) can be read only once
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return TextIOWrapper(file, encoding="utf-16", errors="replace", newline="")
    if b"\0" in head[:2]:  # UTF-16 without its mark: one byte of every letter of the header is zero
        encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
        return TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _delimiter(header: str) -> str:
    """What separates the names in the header."""

    def known(delimiter: str) -> int:
        return sum(_name(name.strip('"')) in _NAMES for name in header.split(delimiter))

    return max(_DELIMITERS, key=known)


def _name(text: str) -> str:
    return normal(text.lstrip("\ufeff")).lower()


def _layout(header: Row, line: int, delimiter: str) -> _Layout:
    names = [_name(text) for text in header]
    used = len(names)
    while used and not names[used - 1]:  # a spreadsheet's empty columns at the end
        used -= 1
    problems = [f"{name} is missing" for name in COLUMNS if name not in names]
    problems += [f"{name} is there twice" for name in sorted(_NAMES) if names.count(name) > 1]
    problems += [f"that of column {n} is not known" for n, name in enumerate(names[:used], 1) if name not in _NAMES]
    if problems:
        may = f"and may name {', '.join(FACTS)}"
        raise RegisterError(
            f"the header must name the columns {', '.join(COLUMNS)}, each once, {may}: {'; '.join(problems)}", line
        )
    facts = tuple(name for name in FACTS if name in names)
    pick: itemgetter[Any] = itemgetter(*(names.index(name) for name in (*COLUMNS, *facts)))
    return _Layout(pick, facts, len(names), delimiter == ",")


def _blocks(lines: Iterable[str], before: int, delimiter: str) -> Iterator[Block]:
    """The rows after the header, which is the first of these lines, after `before` others."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    layout: _Layout | None = None
    first = before
    try:
        layout = _layout(next(reader, []), first + 1, delimiter)
        while True:
            before, rows = first + reader.line_num, []
            rows.extend(islice(reader, BLOCK))  # keeps what it has got if a line can't be read
            if not rows:
                return
            yield from _whole(_lines(rows, before, first + reader.line_num), rows, layout)
    except (csv.Error, UnicodeDecodeError) as error:
        line = first + reader.line_num
        if rows and layout is not None:
            yield from _whole(_lines(rows, before, None), rows, layout)
        if isinstance(error, csv.Error):
            raise RegisterError(f"not CSV: {error}", max(line, 1)) from error
        raise RegisterError("not UTF-16 on this line or soon after it", line + 1) from error


def _lines(rows: Sequence[Row], before: int, last: int | None) -> Sequence[int]:
    """The line on which each row ends, where `before` is that of the row before, and `last` that of the last if known.

    A quoted field may hold line breaks.
    """
    if last == before + len(rows):
        return range(before + 1, last + 1)
    return list(accumulate((1 + sum(_breaks(field) for field in row) for row in rows), initial=before))[1:]


def _breaks(field: str) -> int:
    return len(_LINE_BREAK.findall(field))


def _whole(lines: Sequence[int], rows: Sequence[Row], layout: _Layout) -> Iterator[Block]:
    """The rows as a block, without blank ones; those before a row of a wrong length are one, too, before the error."""
    if set(map(len, rows)) == {layout.width}:
        block = layout.block(lines, rows)
        if "" not in block.columns[0]:
            yield block
            return
    kept: list[Row] = []
    places: list[int] = []
    for line, row in zip(lines, rows, strict=True):
        if not any(map(str.strip, row)):
            continue
        if len(row) < layout.width or any(map(str.strip, row[layout.width :])):
            if kept:
                yield layout.block(places, kept)
            raise RegisterError(f"{len(row)} fields instead of {layout.width}", line)
        kept.append(row[: layout.width])
        places.append(line)
    if kept:
        yield layout.block(places, kept)
