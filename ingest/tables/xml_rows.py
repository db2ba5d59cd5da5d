"""Records of XML as rows of a table: elements at a path, with what stands around them.

A document is read as a stream, and has any size; what is not the profile's is passed over without being kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ingest.files.markup import feed
from ingest.files.reading import KEPT_BYTES, NotSuchFile
from ingest.tables.fields import EvenFields
from ingest.tables.profile import XmlPart
from ingest.tables.text import TableRows

MOST_HELD = 16 << 20
"""Characters of records that wait for the end of the element around them."""
_ROWS = 2_000


def xml_rows(path: Path, part: XmlPart, columns: Sequence[str], optional: frozenset[str]) -> Iterator[TableRows]:
    """The records with these columns: paths of names below the outer element, joined by dots; `@name` is an attribute.

    What a record does not have, and what is not around it, is an empty text. Raises `NotSuchFile` for what is not XML,
    or breaks its limits, or has no outer element, or has none of a column that is not `optional`.
    """
    records = _Records(path.name, part, columns)
    first = 1
    for _ in feed(path, records):
        while len(records.ready) >= _ROWS:
            yield _rows(records.ready[:_ROWS], first, columns)
            del records.ready[:_ROWS]
            first += _ROWS
    if not records.outer_met:
        raise NotSuchFile(f"{path.name}: there is no element {part.records[0]} in it")
    count = first - 1 + len(records.ready)
    absent = [column for column, met in zip(columns, records.met, strict=True) if not met and column not in optional]
    if count and absent:
        raise NotSuchFile(f"{path.name}: none of its {count} records has {', '.join(absent)}")
    yield _rows(records.ready, first, columns)


def _rows(records: Sequence[Sequence[str]], first: int, columns: Sequence[str]) -> TableRows:
    texts = [text for record in records for text in record]
    originals = [
        "; ".join(map("=".join, zip(columns, record, strict=True))).encode()[:KEPT_BYTES] for record in records
    ]
    numbers = list(range(first, first + len(records)))
    return TableRows(numbers, EvenFields(texts, max(1, len(columns))), originals, [], None)


class _Records:
    """Implements `ingest.files.markup.Events`: collects the columns of each record.

    What stands outside a record's own branch may follow it: if columns do, records wait for the outer element's end.
    """

    def __init__(self, name: str, part: XmlPart, columns: Sequence[str]) -> None:
        self._name = name
        self._outer, self._record = part.records[0], ".".join(part.records[1:])
        self.outer_met = False
        self.met = [False] * len(columns)
        self.ready: list[list[str]] = []
        self._values = [""] * len(columns)
        self._texts: dict[str, list[int]] = {}
        self._attributes: dict[str, list[tuple[str, int]]] = {}
        for place, column in enumerate(columns):
            element, is_attribute, attribute = column.rpartition("@")
            if is_attribute:
                self._attributes.setdefault(element.removesuffix("."), []).append((attribute, place))
            else:
                self._texts.setdefault(column, []).append(place)
        branch = part.records[1] if len(part.records) > 1 else None
        self._around = [place for place, column in enumerate(columns) if column.split(".")[0] != branch]
        self._below = _below([*self._texts, *self._attributes], columns)
        self._paths: list[str] = []
        """Paths below the outer element of the elements that are open, that of the outer one first; empty outside."""
        self._waiting: list[list[str]] = []
        self._held = 0

    def start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        del at
        local = name.rpartition(" ")[2]
        if not self._paths:
            if local != self._outer:
                return
            self.outer_met = True
            self._values = [""] * len(self._values)
            path = ""
        else:
            path = f"{self._paths[-1]}.{local}" if self._paths[-1] else local
            for place in self._below.get(path, ()):
                self._values[place] = ""
        self._paths.append(path)
        for attribute, place in self._attributes.get(path, ()):
            self._take(place, next((text for key, text in attributes.items() if _local(key) == attribute), None))

    def end(self, name: str, text: str, at: int) -> None:
        del name, at
        if not self._paths:
            return
        path = self._paths.pop()
        for place in self._texts.get(path, ()):
            self._take(place, text.strip())
        if path == self._record and not self._around:
            self.ready.append(self._values.copy())
        elif path == self._record:
            self._held += 100 + sum(map(len, self._values))
            if self._held > MOST_HELD:
                raise NotSuchFile(f"{self._name}: one {self._outer} has more records than are held at a time")
            self._waiting.append(self._values.copy())
        if not self._paths:
            for record in self._waiting:
                for place in self._around:
                    record[place] = self._values[place]
            self.ready += self._waiting
            self._waiting, self._held = [], 0

    def _take(self, place: int, text: str | None) -> None:
        self._values[place] = text or ""
        self.met[place] |= text is not None


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _below(elements: Sequence[str], columns: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """Of each element on the way to a column: the places of the columns at it and below, void when it begins anew."""
    found: dict[str, list[int]] = {}
    for element in set(elements):
        names = element.split(".")
        for depth in range(1, len(names) + 1):
            path = ".".join(names[:depth])
            found[path] = [place for place, column in enumerate(columns) if f"{column}.".startswith(f"{path}.")]
    return found
