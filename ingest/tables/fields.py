"""The fields of many lines, by line or by column."""

from collections.abc import Iterator, Sequence
from typing import Protocol


class Fields(Protocol):
    """Fields of lines that all have at least the columns that are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sequence[str]]: ...

    def line(self, number: int) -> Sequence[str]:
        """The fields of one line, from 0."""

    def column(self, place: int) -> Sequence[str]:
        """One field of each line."""

    def first(self, count: int) -> "Fields":
        """So many lines from the first on."""


class EvenFields:
    """Implements `Fields` for lines with `width` fields each, which follow each other in `texts`."""

    def __init__(self, texts: Sequence[str], width: int) -> None:
        self._texts = texts
        self._width = width

    def __len__(self) -> int:
        return len(self._texts) // self._width

    def __iter__(self) -> Iterator[Sequence[str]]:
        return map(self.line, range(len(self)))

    def line(self, number: int) -> Sequence[str]:
        return self._texts[number * self._width : (number + 1) * self._width]

    def column(self, place: int) -> Sequence[str]:
        return self._texts[place :: self._width]

    def first(self, count: int) -> "EvenFields":
        return EvenFields(self._texts[: count * self._width], self._width)


class UnevenFields:
    """Implements `Fields` for lines of any number of fields."""

    def __init__(self, lines: Sequence[Sequence[str]]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Sequence[str]]:
        return iter(self._lines)

    def line(self, number: int) -> Sequence[str]:
        return self._lines[number]

    def column(self, place: int) -> Sequence[str]:
        return [line[place] for line in self._lines]

    def first(self, count: int) -> "UnevenFields":
        return UnevenFields(self._lines[:count])


def fields_of(lines: Sequence[Sequence[str]], width: int | None) -> Fields:
    """Lines that have been taken apart, each into `width` fields, or any number."""
    return UnevenFields(lines) if width is None else EvenFields([text for line in lines for text in line], width)
