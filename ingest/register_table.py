"""The register file as a table: what spreadsheets and programs write, in blocks of rows with their lines.

The first line that is not blank names the columns, in any order and case: those of `COLUMNS`, and any of the facts.
Fields are separated by commas, semicolons (Latin or Arabic) or tabs, or by what a line `sep=` before the header says.
The text is UTF-8 or, with its mark, UTF-16.
"""

import codecs
import csv
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO, TextIOWrapper
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO

from ingest.facts import FACTS
from ingest.identity import normal
from ingest.plain_fields import PlainFields, plain_fields
from store.register_columns import RegisterError
from store.texts import Texts

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
_CHUNK_BYTES = 2**20
_UTF_8 = ("utf-8", "surrogateescape")


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
    """Where a row has its columns: `places` are those of `COLUMNS` and then of `facts`. `width` counts its fields."""

    places: tuple[int, ...]
    facts: tuple[str, ...]
    width: int
    delimiter: str

    def block(self, lines: Sequence[int], rows: Sequence[Row]) -> Block:
        fields = list(zip(*rows, strict=True))
        columns = [fields[place] for place in self.places]
        facts = dict(zip(self.facts, columns[len(COLUMNS) :], strict=True))
        return Block(lines, columns[: len(COLUMNS)], facts, self.delimiter == ",")


@dataclass(frozen=True, slots=True)
class PlainBlock:
    """Rows that needed no parser; `before` is the line before the first of them."""

    fields: PlainFields
    text: bytes
    before: int
    layout: _Layout

    @property
    def columns(self) -> Sequence[Texts]:
        """Those of `COLUMNS`, in that order."""
        return [self.fields.column(place) for place in self.layout.places[: len(COLUMNS)]]

    @property
    def facts(self) -> Mapping[str, Texts]:
        """By name of the fact."""
        places = self.layout.places[len(COLUMNS) :]
        return {name: self.fields.column(place) for name, place in zip(self.layout.facts, places, strict=True)}

    @property
    def comma(self) -> bool:
        """Whether fields were separated by commas."""
        return self.layout.delimiter == ","

    def blocks(self) -> Iterator[Block]:
        """The same rows as they are without a short cut."""
        yield from _rows(_lines_of([self.text]), self.before, self.layout)


def blocks_of_file(path: Path) -> Iterator[Block | PlainBlock]:
    """The rows of a register file. Raises `RegisterError`, also for a header that isn't the register's.

    What comes before a line that can't be read is a block, too: the first error is the one to name.
    """
    with path.open("rb") as file:
        encoding = _utf_16(file.peek(_HEAD_BYTES)[:_HEAD_BYTES])  # stays unread: a pipe can be read only once
        if encoding is not None:
            lines: TextIO = TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
            yield from _blocks(lines, *_begun(lines))
            return
        chunks = _chunks(file)
        first = next(chunks, b"").removeprefix(codecs.BOM_UTF8)
        lines = StringIO(first.decode(*_UTF_8), newline="")
        line, header, delimiter = _begun(lines)
        if b'"' in first or b"\0" in first or not header.endswith(("\n", "\r")):
            yield from _blocks(chain(lines, _lines_of(chunks)), line, header, delimiter)
            return
        layout = _layout(header.rstrip("\r\n").split(delimiter), line, delimiter)
        yield from _pieces(chain([lines.read().encode(*_UTF_8)], chunks), line, layout)


def _begun(lines: TextIO) -> tuple[int, str, str]:
    """The line of the header, the header, and the delimiter; what is read next comes after it."""
    line, header = 1, lines.readline(_LONGEST_HEADER)
    delimiter = None
    while header and (not header.strip() or (delimiter is None and _SEPARATOR_LINE.fullmatch(header))):
        if match := _SEPARATOR_LINE.fullmatch(header):
            delimiter = match[1]
        line, header = line + 1, lines.readline(_LONGEST_HEADER)
    return line, header, delimiter or _delimiter(header)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    begun = b""
    while piece := file.read(_CHUNK_BYTES):
        # A CR at the end of the piece may have its LF in the next one. A line of such a length is refused in any case.
        end = (piece.rfind(b"\n") + 1) or (piece.rfind(b"\r", 0, -1) + 1) or len(piece)
        yield begun + piece[:end]
        begun = piece[end:]
    yield begun


def _lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines with their ends. Bytes that are not UTF-8 become single surrogates, which no id can hold."""
    for chunk in chunks:
        yield from StringIO(chunk.decode(*_UTF_8), newline="")


def _pieces(chunks: Iterator[bytes], line: int, layout: _Layout) -> Iterator[Block | PlainBlock]:
    """The rows of chunks of whole lines after `line` others, without a parser where that is possible."""
    for chunk in chunks:
        if b'"' in chunk:  # a quoted field may go on in the next chunk
            yield from _rows(_lines_of(chain([chunk], chunks)), line, layout)
        elif fields := plain_fields(chunk, layout.delimiter, layout.width):
            yield PlainBlock(fields, chunk, line, layout)
            line += len(fields)
        else:
            line = yield from _rows(_lines_of([chunk]), line, layout)


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


def _utf_16(head: bytes) -> str | None:
    """The encoding of a file that begins so, if it is UTF-16."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head[:2]:  # UTF-16 without its mark: one byte of every letter of the header is zero
        return "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
    return None


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
    places = tuple(names.index(name) for name in (*COLUMNS, *facts))
    return _Layout(places, facts, len(names), delimiter)


def _blocks(lines: Iterator[str], line: int, header: str, delimiter: str) -> Iterator[Block]:
    """The rows of a table whose header, on this line, is not parsed yet; it may go on in the lines after it."""
    reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    try:
        layout = _layout(next(reader, []), line, delimiter)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(error, line - 1 + reader.line_num) from error
    yield from _rows(lines, line - 1 + reader.line_num, layout)


def _rows(lines: Iterable[str], first: int, layout: _Layout) -> Generator[Block, None, int]:
    """The rows of these lines, which `first` others come before; how many lines have come then."""
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    rows: list[Row] = []
    before = first
    try:
        while True:
            before, rows = first + reader.line_num, []
            rows.extend(islice(reader, BLOCK))  # keeps what it has got if a line can't be read
            if not rows:
                return before
            yield from _whole(_lines(rows, before, first + reader.line_num), rows, layout)
    except (csv.Error, UnicodeDecodeError) as error:
        line = first + reader.line_num
        if rows:
            yield from _whole(_lines(rows, before, None), rows, layout)
        raise _unreadable(error, line) from error


def _unreadable(error: csv.Error | UnicodeDecodeError, line: int) -> RegisterError:
    if isinstance(error, csv.Error):
        return RegisterError(f"not CSV: {error}", max(line, 1))
    return RegisterError("not UTF-16 on this line or soon after it", line + 1)


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
