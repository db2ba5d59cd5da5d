"""XML of unknown origin, read as a stream with limits on the memory that it can take.

A document type is refused: entity expansion and external entities need one, and data files do not.
"""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from ingest.files.reading import NotSuchFile

DEEPEST = 64
LONGEST_TEXT = 64 << 10
LONGEST_MARKUP = 256 << 10
"""Bytes of one tag or comment, which the parser holds in memory; it may exceed this by `_CHUNK`."""

CHARSETS = frozenset({"utf-8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "iso-8859-1"})

_CHUNK = 64 << 10


class Events(Protocol):
    """A receiver of elements. `at` is the offset in the file of the start tag's or the end tag's first byte."""

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        """An element begins. `name` is `namespace name`, or the bare name without a namespace."""

    def end(self, name: str, text: str, at: int) -> None:
        """An element ends; `text` is the text between the last tag before its end tag and that."""


def feed(path: Path, events: Events) -> Generator[None, None, None]:
    """Report the elements of the file to `events`, and yield after each chunk of it.

    Raises `NotSuchFile` for what is not XML from beginning to end, has a document type, or breaks a limit.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    stream = _Stream(parser, events)
    try:
        with path.open("rb") as file:
            fed = 0
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > LONGEST_MARKUP:
                    raise _Unacceptable(f"a tag or comment has more than {LONGEST_MARKUP} bytes")
                yield
            parser.Parse(b"", True)
            yield
    except (expat.ExpatError, _Unacceptable) as error:
        raise NotSuchFile(f"{path.name}: is not XML that can be read: {error}") from None
    finally:
        stream.close()


class _Unacceptable(Exception):
    """XML that this project refuses."""


class _Stream:
    """The handlers of the parser; checks the limits and reports to `events`."""

    def __init__(self, parser: expat.XMLParserType, events: Events) -> None:
        self._parser = parser
        self._events = events
        self._depth = 0
        self._text: list[str] = []
        self._length = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.XmlDeclHandler = self._declaration

    def close(self) -> None:
        """Break the reference cycle of parser and handlers, so that the parser's memory is released at once."""
        self._parser.StartElementHandler = None
        self._parser.EndElementHandler = None
        self._parser.CharacterDataHandler = None
        self._parser.StartDoctypeDeclHandler = None
        self._parser.XmlDeclHandler = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Unacceptable(f"elements lie more than {DEEPEST} deep")
        self._text, self._length = [], 0
        self._events.start(name, attributes, self._parser.CurrentByteIndex)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._events.end(name, "".join(self._text), self._parser.CurrentByteIndex)
        self._text, self._length = [], 0

    def _data(self, data: str) -> None:
        self._length += len(data)
        if self._length > LONGEST_TEXT:
            raise _Unacceptable(f"a text has more than {LONGEST_TEXT} characters")
        self._text.append(data)

    def _doctype(self, *about: object) -> None:
        del about
        raise _Unacceptable("it has a document type (DOCTYPE), which may hide entities")

    def _declaration(self, version: str, charset: str | None, standalone: int) -> None:
        del version, standalone
        if charset is not None and charset.lower() not in CHARSETS:
            raise _Unacceptable(f"the charset {charset} is none of {', '.join(sorted(CHARSETS))}")
