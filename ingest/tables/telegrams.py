"""Telegrams of a meter's P1 port (DSMR and what follows it) as rows of a table: a column for each OBIS reference.

/ISk5\\2MT382-1000
0-0:1.0.0(260701120000S)
1-0:1.8.1(000123.456*kWh)
!1A2B
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ingest.files.reading import KEPT_BYTES, NotSuchFile
from ingest.tables.fields import EvenFields
from ingest.tables.text import TableRows, lines

LONGEST = 16 << 10
"""Bytes of one telegram; those of three phases and four other meters have 2,000."""
_ROWS = 2_000
_VALUE = re.compile(rb"(\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})\(([^()]*)\)", re.ASCII)
_TIME = re.compile(r"(\d{12})([SW])", re.ASCII)
_OFFSETS = {"S": "+0200", "W": "+0100"}
_END = re.compile(rb"!([0-9A-Fa-f]{4})?", re.ASCII)


def telegram_rows(path: Path, columns: Sequence[str]) -> Iterator[TableRows]:
    """A row for each telegram, whose number is that of its first line. A column is a reference, such as `1-0:1.8.1`.

    What stands in its first brackets is its text, without the unit; the unit is the text of the same column with `*`
    at its end, and so is the mark of summer and winter time, `S` or `W`. With `+` at its end, a time has the offset
    that its mark means in Central Europe: in Sweden meters have winter time all year. A telegram that is cut, or whose
    checksum is another, is unreadable. Raises `NotSuchFile` if there is none, or if none has one of the columns.
    """
    met: set[str] = set()
    read = _Telegrams(columns, met)
    count = 0
    with path.open("rb") as file:
        for chunk in lines(file, LONGEST):
            for number, line in enumerate(chunk.contents, chunk.first):
                read.add(number, line.rstrip(b"\r"))
            if len(read.numbers) + len(read.unreadable) >= _ROWS:
                count += len(read.numbers)
                yield read.taken()
    read.end()
    count += len(read.numbers)
    if not read.begun:
        raise NotSuchFile(f"{path.name}: there is no telegram in it: no line begins with /")
    if count and (absent := [column for column in columns if column not in met]):
        raise NotSuchFile(f"{path.name}: none of its {count} telegrams has {', '.join(absent)}")
    yield read.taken()


class _Telegrams:
    """Collects the lines of telegrams; `met` gets the columns that some telegram has."""

    def __init__(self, columns: Sequence[str], met: set[str]) -> None:
        self._columns, self._met = columns, met
        self._held: list[bytes] = []
        self._first = self._size = 0
        self.begun = False
        self._clear()

    def _clear(self) -> None:
        self.numbers: list[int] = []
        self._texts: list[str] = []
        self._originals: list[bytes] = []
        self.unreadable: list[tuple[int, bytes]] = []

    def add(self, number: int, line: bytes) -> None:
        if line.startswith(b"/"):
            self.end()
            self.begun = True
            self._first = number
        elif not self._held:
            if line.strip():
                self.unreadable.append((number, line[:KEPT_BYTES]))
            return
        self._held.append(line)
        self._size += len(line)
        if self._size > LONGEST:
            self.end()
        elif line.startswith(b"!"):
            self._whole()

    def end(self) -> None:
        """What is held is cut."""
        if self._held:
            self.unreadable.append((self._first, b"\n".join(self._held)[:KEPT_BYTES]))
        self._held, self._size = [], 0

    def taken(self) -> TableRows:
        """What has been collected, which is forgotten."""
        fields = EvenFields(self._texts, max(1, len(self._columns)))
        taken = TableRows(self.numbers, fields, self._originals, self.unreadable, None)
        self._clear()
        return taken

    def _whole(self) -> None:
        values = _values(self._held)
        if values is None:
            self.end()
            return
        self.numbers.append(self._first)
        self._met.update(values)
        self._texts += [values.get(column, "") for column in self._columns]
        self._originals.append(b"\n".join(self._held)[:KEPT_BYTES])
        self._held, self._size = [], 0


def _values(held: Sequence[bytes]) -> Mapping[str, str] | None:
    """The texts of a telegram by column; None if its checksum is wrong, or a reference is there twice."""
    end = _END.fullmatch(held[-1].rstrip())
    # The checksum is that of the meter's line ends, whatever has become of them.
    if end is None or (end[1] and int(end[1], 16) != checksum(b"\r\n".join([*held[:-1], b"!"]))):
        return None
    values: dict[str, str] = {}
    for line in held[1:-1]:
        match = _VALUE.match(line)
        if match is None:
            continue
        name, text = match[1].decode(), match[2].decode("latin-1")
        if name in values:
            return None
        of_time = _TIME.fullmatch(text)
        if of_time:
            values[name], values[f"{name}*"] = of_time[1], of_time[2]
            values[f"{name}+"] = of_time[1] + _OFFSETS[of_time[2]]
        else:
            values[name], _, values[f"{name}*"] = text.partition("*")
    return values


def checksum(content: bytes) -> int:
    """CRC-16/ARC, as the P1 companion standard has it: x^16 + x^15 + x^2 + 1, least bit first, from 0."""
    found = 0
    for byte in content:
        found = (found >> 8) ^ _OF_BYTE[(found ^ byte) & 0xFF]
    return found


def _of_byte(found: int) -> int:
    for _ in range(8):
        found = (found >> 1) ^ (0xA001 if found & 1 else 0)
    return found


_OF_BYTE = tuple(map(_of_byte, range(256)))
