"""The lines of a table, many at a time, and their fields: bounded by blocks, whatever the file holds."""

import codecs
import csv
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Protocol

from ingest.files.reading import KEPT_BYTES, NotSuchFile
from ingest.tables.fields import EvenFields, Fields, fields_of
from ingest.tables.profile import Shape

BLOCK = 64 << 10
_NO_MORE = 1 << 62


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines without their ends; the first has the number `first`.

    Of a line that is too long, only the beginning is there. `ended` is false if the last one has no line end.
    """

    first: int
    contents: Sequence[bytes]
    ended: bool


@dataclass(frozen=True, slots=True)
class TableRows:
    """Lines that could be taken apart: numbers, fields and originals, a row each; and those that could not be.

    `cut` is the last line if it has no end, in either of them.
    """

    numbers: Sequence[int]
    fields: Fields
    originals: Sequence[bytes]
    unreadable: Sequence[tuple[int, bytes]]
    cut: int | None


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Utf8:
    """A file in UTF-16, read as UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = TextIOWrapper(file, "utf-16", newline="")

    def read(self, size: int, /) -> bytes:
        return self._text.read(size // 4).encode()


def _opened(file: BinaryIO, encoding: str) -> tuple[_Bytes, str]:
    if codecs.lookup(encoding).name != "utf-16":
        return file, encoding
    return _Utf8(file), "utf-8"


def lines(file: _Bytes, longest: int) -> Iterator[Lines]:
    """All lines, in blocks of about `BLOCK` bytes."""
    number, rest, too_long = 1, b"", False
    while block := file.read(BLOCK):
        if too_long:
            _, found, block = block.partition(b"\n")
            if not found:
                continue
            yield Lines(number, [rest], ended=True)
            number, rest, too_long = number + 1, b"", False
        block = rest + block
        end = block.rfind(b"\n") + 1
        if end:
            found_lines = block[: end - 1].split(b"\n")
            yield Lines(number, found_lines, ended=True)
            number += len(found_lines)
        rest = block[end:]
        if len(rest) > longest + 1:
            rest, too_long = rest[: longest + 2], True
    if rest:
        yield Lines(number, [rest], ended=False)


def folded(name: str) -> str:
    """A column's name without what makes no difference: capital letters, accents, blanks or underscores."""
    parts = name if name.isascii() else unicodedata.normalize("NFD", name)
    return "".join(sign for sign in parts if not unicodedata.combining(sign)).casefold().replace("_", " ")


def header(path: Path, shape: Shape) -> Sequence[str]:
    """The columns that the header names, without blanks around them. Raises `NotSuchFile` for one named twice.

    Without a header, columns have numbers, as many as the first line has fields.
    """
    with path.open("rb") as file:
        source, encoding = _opened(file, shape.encoding)
        try:
            found = next(_from_line(lines(source, shape.longest), shape.skip + 1, 1), None)
        except UnicodeError as error:
            raise NotSuchFile(f"{path.name}: is not in {shape.encoding}: {error}") from None
    fields = [] if found is None else _fields(found.contents[0].rstrip(b"\r"), shape, encoding)
    names = [name.removeprefix("\ufeff").strip() for name in fields or []]
    if not shape.header:
        return [str(number) for number in range(1, len(names) + 1)]
    same = [folded(name) for name in names if name]
    if twice := {name for name in same if same.count(name) > 1}:
        where = "the first line" if shape.skip == 0 else f"line {shape.skip + 1}"
        raise NotSuchFile(f"{path.name}: {where} names {', '.join(sorted(twice))} twice")
    return names


def rows(path: Path, shape: Shape, width: int | None) -> Iterator[TableRows]:
    """All lines after the header, with as many fields as `width`, or any number if it is None.

    Raises `NotSuchFile` where the whole file is not in its character set.
    """
    first = shape.skip + (2 if shape.header else 1)
    with path.open("rb") as file:
        source, encoding = _opened(file, shape.encoding)
        try:
            for chunk in _from_line(lines(source, shape.longest), first, _NO_MORE):
                yield _taken_apart(chunk, shape, encoding, width)
        except UnicodeError as error:
            raise NotSuchFile(f"{path.name}: is not in {shape.encoding}: {error}") from None


def _from_line(chunks: Iterator[Lines], first: int, most: int) -> Iterator[Lines]:
    """At most so many lines of each chunk, from the line number `first` on."""
    for chunk in chunks:
        before = max(0, first - chunk.first)
        if before < len(chunk.contents):
            yield Lines(chunk.first + before, chunk.contents[before : before + most], chunk.ended)


def _taken_apart(chunk: Lines, shape: Shape, encoding: str, width: int | None) -> TableRows:
    contents = chunk.contents
    last = chunk.first + len(contents) - 1
    cut = None if chunk.ended else last
    if max(map(len, contents)) <= shape.longest:
        fields = _together(contents, shape, encoding, width)
        if fields is not None:
            return TableRows(range(chunk.first, last + 1), fields, contents, (), cut)
    numbers: list[int] = []
    good: list[Sequence[str]] = []
    originals: list[bytes] = []
    unreadable: list[tuple[int, bytes]] = []
    for number, line in enumerate(contents, chunk.first):
        stripped = line.rstrip(b"\r")
        if shape.skip_blank_lines and not stripped.strip():
            continue
        found = _fields(stripped, shape, encoding)
        if found is None or not found or (width is not None and len(found) != width):
            unreadable.append((number, stripped[:KEPT_BYTES]))
        else:
            numbers.append(number)
            good.append(found)
            originals.append(stripped)
    return TableRows(numbers, fields_of(good, width), originals, unreadable, cut)


def _together(contents: Sequence[bytes], shape: Shape, encoding: str, width: int | None) -> Fields | None:
    """The fields of all lines at once; None if one of them has to be looked at by itself."""
    joined = b"\n".join(contents)
    try:
        text = joined.decode(encoding)
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = (text + "\n").replace("\r\n", "\n")[:-1]
        if "\r" in text:
            return None
    if not shape.quote or shape.quote not in text:
        return _unquoted(text, len(contents), shape.delimiter, width)
    found = _quoted(text.split("\n"), shape)
    if found is None or len(found) != len(contents) or (width is not None and set(map(len, found)) != {width}):
        return None
    return fields_of(found, width)


def _quoted(texts: Sequence[str], shape: Shape) -> Sequence[Sequence[str]] | None:
    """The fields of lines that may have quotes; None if one of them is blank, or not closed."""
    try:
        found = list(csv.reader(texts, delimiter=shape.delimiter, quotechar=shape.quote, strict=True))
    except csv.Error:
        return None
    return found if len(found) == len(texts) and all(found) else None


def _unquoted(text: str, count: int, delimiter: str, width: int | None) -> Fields | None:
    """The fields of `count` lines without quotes; all are split at once if each has `width` of them."""
    if width is None or width < 2:
        texts = text.split("\n")
        found = None if "" in texts or len(texts) != count else [line.split(delimiter) for line in texts]
        return None if found is None or (width and set(map(len, found)) != {width}) else fields_of(found, width)
    texts = text.replace("\n", f"\n{delimiter}").split(delimiter)
    if len(texts) != count * width:
        return None
    # A field has a line end only at its own end. If each last field but the last has one, no line is longer or shorter.
    last = "".join(texts[width - 1 :: width]).split("\n")
    if len(last) != count or text.count("\n") != count - 1:
        return None
    texts[width - 1 :: width] = last
    return EvenFields(texts, width)


def _fields(line: bytes, shape: Shape, encoding: str) -> list[str] | None:
    """The fields of a line; None if it is invalid."""
    if len(line) > shape.longest:
        return None
    try:
        text = line.decode(encoding)
        if not shape.quote:
            return None if "\r" in text else text.split(shape.delimiter)
        return next(csv.reader([text], delimiter=shape.delimiter, quotechar=shape.quote, strict=True), None)
    except (UnicodeDecodeError, csv.Error):
        return None
