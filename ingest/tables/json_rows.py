"""Records of JSON as rows of a table: one array somewhere in a document, or a document on each line.

A document is read in blocks and its records one by one, so that it may have any size. Numbers keep their digits.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, NoReturn

from ingest.files.reading import KEPT_BYTES, NotSuchFile
from ingest.tables.fields import EvenFields
from ingest.tables.profile import JsonPart
from ingest.tables.text import TableRows, lines

LONGEST = 1 << 20
"""Characters of one record, or of one value outside the records."""
_BLOCK = 64 << 10
_ROWS = 2_000
_BLANKS = re.compile(r"[ \t\r\n]*")
_MARKS = (
    *((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)

_Record = tuple[int, object, bytes]
"""Its number from 1, its value (None if it can't be read), and the beginning of its text."""


class _Unreadable(Exception):
    """A text that is no JSON; the text says what is wrong."""


def _refuse(name: str) -> NoReturn:
    raise _Unreadable(f"{name} is no number")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unreadable("an object names a key twice")
    return found


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse, object_pairs_hook=_object)


def json_rows(path: Path, part: JsonPart, columns: Sequence[str], *, each_alone: bool = False) -> Iterator[TableRows]:
    """The records with these columns: keys, or paths of keys and places in arrays, joined by dots.

    A key that a record does not have, or that is null there, is an empty text; numbers, true and false are the texts
    that stand there. Raises `NotSuchFile` for what is no such document, or cut, or has none of a column's keys; they
    may be absent if `each_alone`: records have nothing to do with each other.
    """
    paths = [column.split(".") for column in columns]
    met = [False] * len(columns)
    count = 0
    try:
        with path.open("rb") as file:
            records = _of_lines(file) if part.lines else _Document(file).records(part.records)
            records = _each(records, part.each, each_alone=each_alone) if part.each else records
            while some := list(islice(records, _ROWS)):
                rows = _rows(some, paths, met)
                count += len(rows.numbers)
                yield rows
    except UnicodeError as error:
        raise NotSuchFile(f"{path.name}: is not in the character set that it begins with: {error}") from None
    except _Unreadable as error:
        raise NotSuchFile(f"{path.name}: is not JSON: {error}") from None
    absent = [column for column, found in zip(columns, met, strict=True) if not found]
    if count and absent and not each_alone:
        raise NotSuchFile(f"{path.name}: none of its {count} records has {', '.join(absent)}")


def _rows(records: Sequence[_Record], paths: Sequence[Sequence[str]], met: list[bool]) -> TableRows:
    numbers: list[int] = []
    texts: list[str] = []
    originals: list[bytes] = []
    unreadable: list[tuple[int, bytes]] = []
    for number, value, original in records:
        fields = _fields(value, paths, met)
        if fields is None:
            unreadable.append((number, original))
        else:
            numbers.append(number)
            texts += fields
            originals.append(original)
    return TableRows(numbers, EvenFields(texts, max(1, len(paths))), originals, unreadable, None)


def _fields(value: object, paths: Sequence[Sequence[str]], met: list[bool]) -> list[str] | None:
    """The texts of a record; None if one of them is no single value, or no text."""
    if not isinstance(value, dict | list):
        return None
    fields: list[str] = []
    for place, path in enumerate(paths):
        found: object = value
        for key in path:
            if isinstance(found, dict):
                there = key in found
                found = found.get(key)
            else:
                there = isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found)
                found = found[int(key)] if isinstance(found, list) and there else None
            if not there:
                break
        else:
            met[place] = True
        if found is None:
            fields.append("")
        elif isinstance(found, str):
            if not found.isascii() and not _encodes(found):
                return None
            fields.append(found)
        elif isinstance(found, bool):
            fields.append("true" if found else "false")
        else:
            return None
    return fields


def _each(records: Iterator[_Record], path: Sequence[str], *, each_alone: bool) -> Iterator[_Record]:
    """The records with each element of the array at a path of keys in its place, numbered from 1; if `each_alone`, with
    the number of the record."""
    number = 0
    for of_record, value, original in records:
        found = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        for element in found if isinstance(found, list) else [None]:
            number = of_record if each_alone else number + 1
            yield number, value if element is None else _with(value, path, element), original


def _with(value: object, path: Sequence[str], element: object) -> object:
    """An object with another value at a path that it has."""
    if not path or not isinstance(value, dict):
        return element
    return {**value, path[0]: _with(value[path[0]], path[1:], element)}


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return True


def _of_lines(file: BinaryIO) -> Iterator[_Record]:
    """A document on each line; blank lines are none."""
    for chunk in lines(file, LONGEST):
        last = chunk.first + len(chunk.contents) - 1
        for number, line in enumerate(chunk.contents, chunk.first):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not content.strip():
                continue
            value: object = None
            if len(content) <= LONGEST:
                try:
                    value = _DECODER.decode(content.decode())
                except (UnicodeDecodeError, json.JSONDecodeError, _Unreadable, RecursionError):
                    if number == last and not chunk.ended:
                        raise _Unreadable(f"line {number}, the last one, is cut") from None
            yield number, value, content.rstrip(b"\r")[:KEPT_BYTES]


class _Document:
    """One JSON document, of which a part is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        beginning = file.read(4)
        file.seek(0)
        encoding = next((name for mark, name in _MARKS if beginning.startswith(mark)), "utf-8")
        self._file: IO[str] = TextIOWrapper(file, encoding, newline="")
        self._text = ""
        self._at = 0
        self._before = 0
        """Characters before `_text`."""
        self._ended = False
        self._taken = 0
        """Characters of the last value, which ends at `_at`."""

    def records(self, path: Sequence[str]) -> Iterator[_Record]:
        """The elements of the array at a path of keys; a single object, if the path ends at it."""
        for depth, key in enumerate(path):
            if self._sign() != "{" or not self._enter(key):
                raise _Unreadable(f"there is no {'.'.join(path[: depth + 1])} in it")
        if self._sign() == "[":
            yield from self._elements()
        elif self._sign() == "{":
            yield self._record(1)
        else:
            raise _Unreadable(f"{'.'.join(path) or 'it'} is neither an array nor an object")
        for _ in path:
            self._leave()
        if self._sign():
            raise self._wrong("more follows the document")

    def _elements(self) -> Iterator[_Record]:
        self._at += 1
        if self._sign() == "]":
            self._at += 1
            return
        number = 0
        while True:
            number += 1
            yield self._record(number)
            if self._next("]"):
                return

    def _record(self, number: int) -> _Record:
        value = self._value()
        begin = self._at - self._taken
        original = self._text[begin : min(self._at, begin + KEPT_BYTES)].encode("utf-8", "replace")[:KEPT_BYTES]
        return number, value, original

    def _enter(self, wanted: str) -> bool:
        """Go to the value of a key of the object that begins here, past all before it."""
        self._at += 1
        if self._sign() == "}":
            return False
        while True:
            if self._key() == wanted:
                return True
            self._value()
            if self._next("}"):
                return False

    def _leave(self) -> None:
        """Go past all that follows in the object."""
        while not self._next("}"):
            self._key()
            self._value()

    def _key(self) -> str:
        if self._sign() != '"':
            raise self._wrong("a key is expected")
        key = self._value()
        if self._sign() != ":":
            raise self._wrong("a colon is expected")
        self._at += 1
        return str(key)

    def _next(self, end: str) -> bool:
        """Go past a comma, or past the end: whether it is the end."""
        sign = self._sign()
        if sign not in (",", end) or not sign:
            raise self._wrong(f"a comma or {end} is expected")
        self._at += 1
        return sign == end

    def _sign(self) -> str:
        """The next sign that is not blank; "" at the end."""
        while True:
            blank = _BLANKS.match(self._text, self._at)
            self._at = blank.end() if blank is not None else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> object:
        """The value that begins here."""
        self._sign()
        while True:
            begin = self._at
            long = len(self._text) - begin > LONGEST
            try:
                value, end = _DECODER.raw_decode(self._text, begin)
            except json.JSONDecodeError as error:
                if long or not self._more():
                    raise self._wrong("a value is too long" if long else error.msg) from None
                continue
            except RecursionError:
                raise self._wrong("a value is nested too deeply") from None
            if end - begin > LONGEST:
                raise self._wrong("a value is too long")
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._taken = end - begin
            self._at = end
            return value

    def _more(self) -> bool:
        """Read on; what has been read is given up. Blocks grow with a value, so that none is looked at too often."""
        block = self._file.read(max(_BLOCK, len(self._text) - self._at))
        self._ended = not block
        if block:
            self._before += self._at
            self._text = self._text[self._at :] + block
            self._at = 0
        return bool(block)

    def _wrong(self, words: str) -> _Unreadable:
        cut = "it is cut: " if self._ended and self._at >= len(self._text) else ""
        return _Unreadable(f"{cut}{words} at character {self._before + self._at + 1}")
