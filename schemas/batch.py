"""A message is a batch of readings: Avro in Confluent wire format, its rows viewed by numpy without copying.

Wire format: byte 0, the schema's id as four bytes big-endian, then the Avro body. The body is the batch's header
fields, then one array of records of fixed width. Avro writes such an array as a count, the rows' bytes as they are,
and a zero byte, so the rows of a message are a slice of it. Plate regions are such an array of their own before it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from schemas.registry import schemas

MAGIC = b"\x00"
PREFIX_BYTES = 5

ESTIMATED = 0
ACTUAL = 1

LAST_MS = 253_402_300_800_000
"""The first millisecond of the year 10000. Times from here on cannot be written as a date."""

ROW = np.dtype([("source", "<u4"), ("contributor", "<u4"), ("after", "<f4"), ("value", "<f8"), ("quality", "u1")])
"""A reading in the rows of a message: 21 bytes, little-endian, no padding. `after` is in
milliseconds from the batch's start."""

REGION = np.dtype([("x", "<u2"), ("y", "<u2"), ("w", "<u2"), ("h", "<u2"), ("score", "<f4"), ("form", "u1")])
"""The place of a plate in a picture, in pixels; `score` 0 to 1; `form` `FORM_UNKNOWN`, `ONE_LINE` or `TWO_LINES`."""

FORM_UNKNOWN = 0
ONE_LINE = 1
TWO_LINES = 2

LONGEST_FEEDER = 64
"""Characters in the name of a feeder, at most: processors store these names with their positions."""

_DEFAULTS = {"quality": ACTUAL, "score": 0, "form": FORM_UNKNOWN}
_FIXED: Mapping[tuple[str, int], str] = {("UInt32LE", 4): "<u4", ("UInt16LE", 2): "<u2", ("UInt8", 1): "u1"}
_PRIMITIVE: Mapping[str, str] = {"float": "<f4", "double": "<f8"}
_VARINT = "varint"
_STRING = "string"
_REGIONS = "regions"


class DecodeError(ValueError):
    """A message that can't be decoded. `reason` is one of a few fixed words, for counting; the text is for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded message.

    `interval` and `start` are milliseconds (`start` since 1970, UTC). `rows` holds `count` records of `ROW`.
    `viewed` is false if the rows had to be copied: another legal encoding, or a writer's layout that is not `ROW`.
    `regions` holds records of `REGION`, if the schema has them; `feeder` is empty if it has none. A batch without rows
    is a tick.
    """

    metric: str
    area: int
    class_: str
    interval: int
    start: int
    count: int
    rows: memoryview | bytes
    viewed: bool = True
    regions: bytes = b""
    feeder: str = ""

    def array(self) -> NDArray[np.void]:
        """The rows as an array of `ROW`, shape (count,), without copying."""
        return np.frombuffer(self.rows, ROW, self.count)


@dataclass(frozen=True, slots=True)
class Layout:
    """The byte layout of a writer's schema: its header fields in order, its row, and its region if it has one.

    A header field's kind is `varint`, `string` or `regions`.
    """

    parsed: Any
    header: tuple[tuple[str, str], ...]
    row: np.dtype[np.void]
    region: np.dtype[np.void] | None = None


def encode(
    schema_id: int,
    *,
    metric: str,
    area: int,
    class_: str,
    interval: int,
    start: int,
    rows: NDArray[np.void],
    regions: NDArray[np.void] | None = None,
    feeder: str | None = None,
) -> bytes:
    """Encode one message. `rows` has dtype `ROW`, shape (n,); n = 0 makes a tick.

    `interval` and `start` are milliseconds. `regions`, dtype `REGION`, shape (m,), and `feeder` are given if and only
    if the schema has them. Raises `TypeError` for rows of another dtype.
    """
    if rows.dtype != ROW:
        raise TypeError(f"rows must have dtype {ROW}, not {rows.dtype}")
    return b"".join(
        (
            MAGIC,
            schema_id.to_bytes(4, "big"),
            _text(metric),
            _varint(area),
            _text(class_),
            _varint(interval),
            _varint(start),
            b"" if feeder is None else _text(feeder),
            b"" if regions is None else _array(regions),
            _array(rows),
        )
    )


def _text(text: str) -> bytes:
    coded = text.encode()
    return _varint(len(coded)) + coded


def _array(records: NDArray[np.void]) -> bytes:
    return _varint(len(records)) + records.tobytes() + b"\x00" if len(records) else b"\x00"


def decode(message: bytes | None, layouts: Mapping[int, "Layout"] | None = None) -> Batch:
    """View one message. Raises `DecodeError` for anything that is not exactly one legal batch of a committed schema.

    `layouts` are keyed by schema id; by default those of all committed schemas.
    """
    if message is None or len(message) < PREFIX_BYTES:
        raise DecodeError("cut", f"{len(message or b'')} bytes are too few for a message")
    if message[:1] != MAGIC:
        raise DecodeError("not-confluent", f"the first byte is {message[0]}, not 0")
    schema_id = int.from_bytes(message[1:PREFIX_BYTES], "big")
    layout = (_layouts() if layouts is None else layouts).get(schema_id)
    if layout is None:
        raise DecodeError("unknown-schema", f"no committed schema has the id {schema_id}")
    batch = _view(layout, message)
    return batch if batch is not None else _read(layout, message)


def _varint(value: int) -> bytes:
    """Avro's variable-length zig-zag coding of a whole number of 64 bits."""
    coded = (value << 1) ^ (value >> 63)
    out = bytearray()
    while coded > 0x7F:
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    out.append(coded)
    return bytes(out)


def _view(layout: Layout, message: bytes) -> Batch | None:
    """The batch as a view, or None if the bytes need a full Avro reader."""
    fields: dict[str, Any] = {}
    at = PREFIX_BYTES
    try:
        for name, kind in layout.header:
            at, number = read_varint(message, at)
            if kind == _VARINT:
                fields[name] = number
            elif kind == _REGIONS:
                at, fields[name] = _view_regions(layout, message, at, number)
            else:
                end = at + number
                if number < 0 or end > len(message):
                    return None
                fields[name] = message[at:end].decode()
                at = end
        at, count = read_varint(message, at)
    except (IndexError, UnicodeDecodeError):
        return None
    size = count * layout.row.itemsize
    if count < 0 or at + size + (count > 0) != len(message) or message[-1] != 0:
        return None
    rows = memoryview(message)[at : at + size]
    if layout.row != ROW:
        return _batch(fields, count, _converted(np.frombuffer(rows, layout.row, count), ROW), viewed=False)
    return _batch(fields, count, rows, viewed=True)


def _view_regions(layout: Layout, message: bytes, at: int, count: int) -> tuple[int, bytes]:
    """Position after an array of regions in one block, and its records. Raises IndexError for any other encoding."""
    assert layout.region is not None
    end = at + count * layout.region.itemsize
    if count < 0 or (count and message[end]):
        raise IndexError
    regions = message[at:end]
    if layout.region != REGION:
        regions = _converted(np.frombuffer(regions, layout.region, count), REGION)
    return end + (count > 0), regions


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Position after the number at `at`, and the number. Raises IndexError past the end or past ten bytes."""
    byte = message[at]
    if byte < 0x80:
        return at + 1, (byte >> 1) ^ -(byte & 1)
    coded, shift = byte & 0x7F, 7
    while byte & 0x80:
        if shift > 63:
            raise IndexError
        at += 1
        byte = message[at]
        coded |= (byte & 0x7F) << shift
        shift += 7
    return at + 1, (coded >> 1) ^ -(coded & 1)


def _read(layout: Layout, message: bytes) -> Batch:
    """The batch by a full Avro reader, which takes any number of blocks and tells what is wrong with a bad message."""
    body = io.BytesIO(message[PREFIX_BYTES:])
    try:
        record: Any = fastavro.schemaless_reader(body, layout.parsed, None)
    except Exception as error:  # fastavro raises exceptions of many types
        reason = "cut" if isinstance(error, EOFError | IndexError) else "not-avro"
        raise DecodeError(reason, f"{type(error).__name__}: {error}") from error
    if body.tell() != len(message) - PREFIX_BYTES:
        raise DecodeError("trailing", f"{len(message) - PREFIX_BYTES - body.tell()} bytes follow the batch")
    items = record.pop("rows")
    if layout.region is not None:
        record[_REGIONS] = _converted(_records(record[_REGIONS], layout.region), REGION)
    return _batch(record, len(items), _converted(_records(items, layout.row), ROW), viewed=False)


def _records(items: list[dict[str, Any]], kind: np.dtype[np.void]) -> NDArray[np.void]:
    """Records of a full Avro reader as an array of dtype `kind`, shape (n,)."""
    records = np.zeros(len(items), kind)
    for name in kind.names or ():
        column = [item[name] for item in items]
        fixed = column and isinstance(column[0], bytes)
        records[name] = np.frombuffer(b"".join(column), kind[name]) if fixed else column
    return records


def _converted(records: NDArray[np.void], to: np.dtype[np.void]) -> bytes:
    """Records of any layout as bytes of dtype `to`. A field that the writer lacks takes the reader's default."""
    out = np.zeros(len(records), to)
    present = records.dtype.names or ()
    for name in to.names or ():
        out[name] = records[name] if name in present else _DEFAULTS[name]
    return out.tobytes()


def _batch(fields: dict[str, Any], count: int, rows: memoryview | bytes, *, viewed: bool) -> Batch:
    area, interval, start = fields["area"], fields["interval"], fields["start"]
    if not (0 <= area < 2**31 and 0 <= interval < 2**32 and 0 <= start < LAST_MS):
        raise DecodeError("out-of-range", f"area {area}, interval {interval} or start {start} is out of range")
    feeder = fields.get("feeder", "")
    check_feeder(feeder)
    regions = fields.get(_REGIONS, b"")
    return Batch(fields["metric"], area, fields["class"], interval, start, count, rows, viewed, regions, feeder)


def check_feeder(feeder: str) -> None:
    """Raise `DecodeError` for a name that can't be stored and shown."""
    if len(feeder) > LONGEST_FEEDER or not feeder.isprintable():
        raise DecodeError("out-of-range", f"a feeder has {LONGEST_FEEDER} printable characters at most")


@cache
def _layouts() -> Mapping[int, Layout]:
    return {number: layout_of(schema.definition) for number, schema in schemas().items() if schema.is_batch}


def layout_of_message(message: bytes) -> Layout | None:
    """The layout of the committed schema that a message names, None if it names none."""
    return _layouts().get(int.from_bytes(message[1:PREFIX_BYTES], "big")) if message[:1] == MAGIC else None


def layout_of(definition: Mapping[str, Any]) -> Layout:
    """The byte layout of messages of this schema.

    Raises `ValueError` if they can't be viewed (R9): a header field that is neither a whole number nor a string, a row
    with a union or a variable-length field, or rows that are not the last field.
    """
    *header, last = definition["fields"]
    if last["name"] != "rows":
        raise ValueError("the array of rows must be a batch's last field")
    named: dict[str, str] = {}
    kinds = tuple((field["name"], _header_kind(field)) for field in header)
    region = next((_record(field, named) for field in header if field["name"] == _REGIONS), None)
    row = _record(last, named)
    plain = {**definition, "fields": [{**field, "type": _plain(field["type"])} for field in header] + [last]}
    return Layout(fastavro.parse_schema(plain), kinds, row, region)


def _record(field: Mapping[str, Any], named: dict[str, str]) -> np.dtype[np.void]:
    """The dtype of a field that is an array of records."""
    return np.dtype([(column["name"], _row_type(column["type"], named)) for column in field["type"]["items"]["fields"]])


def _plain(kind: Any) -> Any:
    """A header field's type without its logical type, so that times are read as whole numbers."""
    return kind["type"] if isinstance(kind, dict) and "logicalType" in kind else kind


def _header_kind(field: Mapping[str, Any]) -> str:
    kind = _plain(field["type"])
    if kind in ("int", "long"):
        return _VARINT
    if kind == "string":
        return _STRING
    if field["name"] == _REGIONS:
        return _REGIONS
    raise ValueError(f"a header field of type {kind!r} can't be viewed")


def _row_type(kind: Any, named: dict[str, str]) -> str:
    if isinstance(kind, dict) and kind.get("type") == "fixed":
        named[kind["name"]] = _FIXED[kind["name"], kind["size"]]
        return named[kind["name"]]
    if isinstance(kind, str) and kind in named:
        return named[kind]
    if isinstance(kind, str) and kind in _PRIMITIVE:
        return _PRIMITIVE[kind]
    raise ValueError(f"a row field of type {kind!r} has no fixed width")
