"""MJPEG over HTTP: pictures as parts of one endless answer (multipart/x-mixed-replace), read as they arrive.

Cameras deviate from RFC 2046: the delimiter may differ from the boundary of the header, lengths may be missing or
wrong, lines may end in a bare newline. After any such defect the next part is found again, in bounded memory.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ingest.cameras.live.protocol import ENDED, TOO_LARGE, CameraUnavailable

NO_BOUNDARY = "its stream has no boundary"
BAD_PART = "its stream is not made of parts"

_LONGEST_LINE = 4_096
_MOST_HEADERS = 64
_LONGEST_DELIMITER = 200
_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]*)"|([^\s";,]*))""", re.IGNORECASE)
_BREAKS = b"\r\n"
"""No picture begins with any of these bytes."""
_JPEG_END = b"\xff\xd9"
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers by lower-case name, and its bytes."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def boundary_of(content_type: str) -> str:
    """The boundary parameter of a Content-Type; empty without one."""
    match = _BOUNDARY.search(content_type)
    return "" if match is None else (match[1] or match[2] or "").strip()


def parts(chunks: Iterable[bytes], boundary: str, largest: int) -> Iterator[Part]:
    """The parts of a body that comes in chunks, each part of at most `largest` bytes.

    The delimiter is the body's first line if that begins with two hyphens. Otherwise it is made from `boundary`, and
    the body begins in the headers of a part. Raises `CameraUnavailable`, also when the body ends.
    """
    body = _Body(iter(chunks), largest)
    first = body.line()
    while not first.strip():
        first = body.line()
    if first.startswith(b"--"):
        delimiter, lines = first.strip()[:_LONGEST_DELIMITER], []
    else:
        delimiter, lines = b"--" + boundary.strip("-").encode("latin-1", "replace"), [first]
    if len(delimiter) <= 2:
        raise CameraUnavailable(NO_BOUNDARY)
    while True:
        headers = _headers(body, lines)
        length = _length(headers, largest)
        if length is None:
            yield Part(headers, body.until(b"\n" + delimiter).removesuffix(b"\r").lstrip(_BREAKS))
        else:
            yield Part(headers, body.picture(length))  # what follows it may arrive with the next picture only
            body.until(delimiter)
        if body.line().startswith(b"--"):
            raise CameraUnavailable(ENDED)
        lines = []


class _Body:
    """A body that arrives in chunks, read by lines, marks and lengths."""

    def __init__(self, chunks: Iterator[bytes], largest: int) -> None:
        self._chunks = chunks
        self._largest = largest
        self._buffer = bytearray()

    def line(self) -> bytes:
        """The bytes up to the next newline, without it; a carriage return before it stays."""
        return self._to(b"\n", _LONGEST_LINE, BAD_PART)

    def until(self, mark: bytes) -> bytes:
        """The bytes up to the mark, without it."""
        return self._to(mark, self._largest, TOO_LARGE)

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return self._out(count, 0)

    def picture(self, count: int) -> bytes:
        """So many bytes without line breaks before them, which some cameras count and others don't."""
        data = self.exactly(count)
        begun = data.lstrip(_BREAKS)
        whole = len(begun) == len(data) or begun.endswith(_JPEG_END)
        return begun if whole else begun + self.exactly(len(data) - len(begun))

    def _to(self, mark: bytes, most: int, reason: str) -> bytes:
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > most:
                raise CameraUnavailable(reason)
            searched = max(len(self._buffer) - len(mark) + 1, 0)
            self._more()
        if at > most:
            raise CameraUnavailable(reason)
        return self._out(at, len(mark))

    def _out(self, count: int, skipped: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[: count + skipped]
        return data

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise CameraUnavailable(ENDED)
        self._buffer += chunk


def _headers(body: _Body, lines: list[bytes]) -> Mapping[str, str]:
    """The headers of a part, up to the empty line; `lines` of them have been read already."""
    lines = list(lines)
    while True:
        line = body.line()
        if not line.strip():
            break
        lines.append(line)
        if len(lines) > _MOST_HEADERS:
            raise CameraUnavailable(BAD_PART)
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _length(headers: Mapping[str, str], largest: int) -> int | None:
    """The length of a part, if its headers hold one."""
    text = headers.get("content-length", "")
    if not _LENGTH.fullmatch(text) or not int(text):
        return None
    if int(text) > largest:
        raise CameraUnavailable(TOO_LARGE)
    return int(text)
