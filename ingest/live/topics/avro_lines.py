"""Values of Avro as lines of JSON, with the fields that a profile reads."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

_NO_VALUE: tuple[str, ...] = ()
"""Stands for what is not a single value: the line is then refused."""

_Tree = Mapping[str, Any]
"""Fields by their names, each with those within it; of a field that is read itself, none."""


class AvroLines:
    """Makes a line of each message: `read` gives its value, `columns` are paths of keys and places, joined by dots.

    `each` is a path of keys to an array whose elements are all kept. A time is written in ISO 8601 with milliseconds, a
    decimal with its digits, an enum as its symbol, bytes in hexadecimal digits.
    """

    def __init__(self, read: Callable[[bytes], object], columns: Sequence[str], each: Sequence[str] = ()) -> None:
        self._read = read
        self._each = tuple(each)
        self._tree: dict[str, Any] = {}
        for column in columns:
            into = self._tree
            for key in column.split("."):
                into = into.setdefault(key, {})

    def __call__(self, content: bytes) -> bytes:
        """The line. Raises what `read` does."""
        return json.dumps(self._kept(self._read(content), self._tree, ())).encode()

    def _kept(self, value: object, tree: _Tree, path: tuple[str, ...]) -> object:
        """A value with the fields of a tree, which begins at a path."""
        if not tree:
            return _written(value)
        if isinstance(value, dict):
            return {key: self._kept(value[key], within, (*path, key)) for key, within in tree.items() if key in value}
        if isinstance(value, list) and path and path == self._each:
            return [self._kept(item, tree, ()) for item in value]
        if isinstance(value, list):
            places = {key: int(key) for key in tree if key.isascii() and key.isdigit() and len(key) < 10}
            there = {key: value[place] for key, place in places.items() if place < len(value)}
            return {key: self._kept(item, tree[key], (*path, key)) for key, item in there.items()}
        return _written(value) if value is None else _NO_VALUE


def _written(value: object) -> object:
    """A value for JSON. Numbers keep their digits as texts, which a profile reads alike."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | UUID):
        return str(value)
    if isinstance(value, float | Decimal):
        return f"{Decimal(repr(value)) if isinstance(value, float) else value:f}"
    if isinstance(value, datetime | time):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else _NO_VALUE
