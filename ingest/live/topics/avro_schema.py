"""Avro schemas that others wrote, with limits on what they and their messages may cost.

A few bytes may be a lot of memory by their schema: an array of nulls of any length, a record of a thousand records. So
it is worked out how many values a schema gives for a byte at most, and the length of its messages follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from typing import Any

import fastavro
from fastavro.read import LOGICAL_READERS

from eventlog.kafka.bounds import LONGEST_VALUE
from ingest.files.documents import load

LONGEST_SCHEMA = 1 << 20
"""Bytes of a schema, as JSON."""
DEEPEST = 40
"""Levels of JSON in a schema, and of types in each other."""
MOST_TYPES = 10_000
"""Fields and branches of a schema."""
_MEMORY = 128 << 20
_OF_A_VALUE = 100
"""Bytes of memory of a value in Python, about; a record takes as much as two."""
_OF_A_RECORD = 2
_DECIMAL = "sistercity-decimal"
"""What decimals are read as: the time that fastavro's own reader takes grows with the square of their length."""
_LONGEST_DECIMAL = 32
_LARGEST_SCALE = 100
_LEAST: Mapping[str, int] = {
    **{"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "enum": 1},
}


class UnusableSchema(Exception):
    """A schema that is none, or beyond the limits; the text says what is wrong."""


class NotInSchema(Exception):
    """A message that is not as its schema says."""


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A schema by which messages of at most `longest` bytes are read."""

    parsed: Any
    longest: int

    def read(self, content: bytes) -> object:
        """The value of a message. Raises `NotInSchema`."""
        if len(content) > self.longest:
            raise NotInSchema(f"it has more than {self.longest} bytes")
        file = BytesIO(content)
        try:
            value: object = fastavro.schemaless_reader(file, self.parsed)
        except Exception as error:  # each type's decoder, and each logical type's, raises errors of its own
            raise NotInSchema(f"{type(error).__name__}: {error}") from None
        if file.tell() != len(content):
            raise NotInSchema(f"{len(content) - file.tell()} bytes follow it")
        return value


@dataclass(frozen=True, slots=True)
class _Cost:
    """What values of a type take: `least` bytes; `values` of one that takes no byte, else at most `rate` a byte.

    `deep` is how many types are in each other.
    """

    least: int
    values: int
    rate: Fraction
    deep: int = 1


def avro_schema(content: bytes, referenced: Sequence[bytes] = ()) -> AvroSchema:
    """A schema from its JSON; `referenced` are those of the types that it names, each after what it names itself.

    Raises `UnusableSchema`.
    """
    named: dict[str, Any] = {}
    parsed: Any = None
    for text in (*referenced, content):
        document = _document(text)
        try:
            parsed = fastavro.parse_schema(_with_decimals(document), named_schemas=named)
        except Exception as error:  # a schema that is none fails anywhere
            raise UnusableSchema(f"it is no Avro schema: {type(error).__name__}: {error}"[:300]) from None
    try:
        cost = _Costs(named).of(parsed, ())
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # parsing leaves much unexamined
        raise UnusableSchema(f"it is no Avro schema: {type(error).__name__}: {error}"[:300]) from None
    if cost.values > MOST_TYPES or cost.rate > MOST_TYPES:
        raise UnusableSchema(f"a byte of it may be more than {MOST_TYPES} values")
    longest = min(LONGEST_VALUE, int(Fraction(_MEMORY // _OF_A_VALUE) / max(cost.rate, Fraction(1, 10))))
    return AvroSchema(parsed, longest)


def _document(text: bytes) -> Any:
    if len(text) > LONGEST_SCHEMA:
        raise UnusableSchema(f"it has more than {LONGEST_SCHEMA >> 20} MB")
    try:
        document = load(text)
    except ValueError as error:
        raise UnusableSchema(f"it is not JSON: {error}") from None
    level: list[object] = [document]
    for _ in range(DEEPEST):
        level = [item for value in level for item in _within(value)]
        if not level:
            return document
    raise UnusableSchema(f"it is nested more than {DEEPEST} levels deep")


def _with_decimals(value: Any) -> Any:
    """The schema, whose decimals are read with limits, and without fastavro's own marks of what it has examined."""
    if isinstance(value, list):
        return [_with_decimals(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_decimals(item) for key, item in value.items() if not key.startswith("__")}
    return {**found, "logicalType": _DECIMAL} if found.get("logicalType") == "decimal" else found


def _decimal(data: bytes, writer: dict[Any, Any] | None = None, reader: dict[Any, Any] | None = None) -> Decimal:
    del reader
    scale = (writer or {}).get("scale", 0)
    if len(data) > _LONGEST_DECIMAL or not isinstance(scale, int) or not 0 <= scale <= _LARGEST_SCALE:
        raise ValueError(f"a decimal has more than {_LONGEST_DECIMAL} bytes, or an unusable scale")
    return Decimal(f"{int.from_bytes(data, 'big', signed=True)}E-{scale}")


LOGICAL_READERS[f"bytes-{_DECIMAL}"] = LOGICAL_READERS[f"fixed-{_DECIMAL}"] = _decimal


def _within(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


class _Costs:
    """The costs of types; `named` are the parsed ones by their full names."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, _Cost] = {}
        self._count = 0

    def of(self, schema: Any, within: tuple[str, ...]) -> _Cost:
        """The cost of a parsed type; `within` are the named types around it."""
        self._count += 1
        if self._count > MOST_TYPES:
            raise UnusableSchema(f"it has more than {MOST_TYPES} types")
        cost = self._of(schema, within) if len(within) <= DEEPEST else None
        if cost is None or cost.deep > DEEPEST:
            raise UnusableSchema(f"its types are nested more than {DEEPEST} levels deep")
        return cost

    def _of(self, schema: Any, within: tuple[str, ...]) -> _Cost:
        if isinstance(schema, list):
            return self._union(schema, within)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in ("record", "error"):
            return self._record(schema, within)
        if kind in ("array", "map"):
            inner = self.of(schema["items" if kind == "array" else "values"], (*within, ""))
            return self._array(inner) if kind == "array" else self._map(inner)
        if kind in _LEAST or kind == "fixed":
            return _leaf(int(schema["size"]) if kind == "fixed" else _LEAST[kind])
        return self._name(kind, within)

    def _name(self, name: str, within: tuple[str, ...]) -> _Cost:
        if name in within:
            raise UnusableSchema(f"{name} has itself within it")
        if name not in self._known:
            if not isinstance(self._named.get(name), dict):
                raise UnusableSchema(f"it has the unknown type {name}")
            self._known[name] = self.of(self._named[name], within)
        return self._known[name]

    def _record(self, schema: Mapping[str, Any], within: tuple[str, ...]) -> _Cost:
        name = schema["name"]
        if name in within:
            raise UnusableSchema(f"{name} has itself within it")
        if name not in self._known:
            fields = [self.of(field["type"], (*within, name)) for field in schema["fields"]]
            least = sum(field.least for field in fields)
            values = _OF_A_RECORD + sum(field.values for field in fields if not field.least)
            rates = [field.rate for field in fields if field.least]
            rate = Fraction(values, least) + max(rates) if rates else Fraction(0)
            self._known[name] = _Cost(least, values if not least else 0, rate, _around(fields))
        return self._known[name]

    def _union(self, branches: Sequence[Any], within: tuple[str, ...]) -> _Cost:
        costs = [self.of(branch, within) for branch in branches]
        if not costs:
            raise UnusableSchema("it has a union of nothing")
        rate = max(cost.rate if cost.least else Fraction(cost.values) for cost in costs)
        return _Cost(1 + min(cost.least for cost in costs), 0, rate, _around(costs))

    @staticmethod
    def _array(items: _Cost) -> _Cost:
        if not items.least:
            raise UnusableSchema("it has an array of values that take no byte, so that a few bytes are any number")
        return _Cost(1, 0, max(Fraction(1), items.rate), _around([items]))

    @staticmethod
    def _map(values: _Cost) -> _Cost:
        rate = values.rate if values.least else Fraction(values.values)
        return _Cost(1, 0, 1 + rate, _around([values]))


def _around(costs: Sequence[_Cost]) -> int:
    return 1 + max((cost.deep for cost in costs), default=0)


def _leaf(least: int) -> _Cost:
    if least < 0:
        raise UnusableSchema("it has a fixed of a negative size")
    return _Cost(least, 0 if least else 1, Fraction(1, least) if least else Fraction(0))
