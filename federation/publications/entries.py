"""Entries and bodies: the two pieces of bytes that a publication is made of. Pure.

An *entry* is small and goes to everyone: it says what was published, and vouches for the body and for the entry before
by their SHA-256. A *body* holds the cells, and a salt, so that a value that was withdrawn can't be guessed back from
the hash. Both are JSON in one line; their bytes are what was hashed, and are kept and served as they are.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from federation.plain_text import plain
from federation.strict_json import loads
from federation.wire import instant, rfc3339
from store.publications import Header, Kind, PublishedCell, Window

FORMAT = 1

_HASH = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{3})?Z")
_LONGEST_TEXT = 5000

KINDS: tuple[Kind, ...] = ("publication", "correction", "withdrawal", "skip")
"""The kinds of entries. That the contents of one were lost is not in the entry: it is in the database."""

Json = dict[str, Any]


class BadEntry(ValueError):
    """The bytes are no entry of this format."""


@dataclass(frozen=True, slots=True)
class PublicationEntry:
    """What an entry says. `before` is the hash of the metric's entry before (None for the first), `body` that of the
    body, `catalogue` that of the metric's catalogue: SHA-256, as lower-case hex."""

    city: str
    header: Header
    before: str | None
    body: str
    catalogue: str


def digest(content: bytes) -> str:
    """SHA-256 as lower-case hex."""
    return sha256(content).hexdigest()


def entry_bytes(entry: PublicationEntry) -> bytes:
    """The entry as one line of JSON, without its end."""
    header = entry.header
    return _bytes(
        {
            "format": FORMAT,
            "city": entry.city,
            "position": header.position,
            "metric": header.metric,
            "sequence": header.sequence,
            "window": {"start": rfc3339(header.window.start), "end": rfc3339(header.window.end)},
            "revision": header.revision,
            "kind": header.kind,
            **_reason(header),
            "published_at": rfc3339(header.published_at),
            "before": entry.before,
            "body": entry.body,
            "catalogue": entry.catalogue,
        }
    )


def entry_of(line: bytes) -> PublicationEntry:
    """The inverse of `entry_bytes`. Raises `BadEntry`."""
    try:
        found = loads(line)
        if type(found["format"]) is not int or found["format"] != FORMAT:
            raise BadEntry(f"an entry of format {ascii(found['format'])[:20]}, of which this program knows nothing")
        window = Window(time_of(found["window"]["start"]), time_of(found["window"]["end"]))
        header = Header(
            *(unsigned(found["position"]), name_of(found["metric"]), unsigned(found["sequence"]), window),
            *(unsigned(found["revision"]), time_of(found["published_at"]), found["kind"]),
            None if found.get("reason") is None else text_of(found["reason"], _LONGEST_TEXT),
        )
        _check(header)
        before = None if found["before"] is None else hash_of(found["before"])
        city, body, catalogue = name_of(found["city"]), hash_of(found["body"]), hash_of(found["catalogue"])
        return PublicationEntry(city, header, before, body, catalogue)
    except (ValueError, KeyError, TypeError) as error:
        raise BadEntry(f"not an entry: {ascii(str(error))[:200]}") from None


def _check(header: Header) -> None:
    if header.kind not in KINDS:
        raise ValueError("its kind is none")
    if not header.position or not header.sequence or header.window.end <= header.window.start:
        raise ValueError("numbers begin with 1, and a window ends after its start")
    if (header.revision > 0) != (header.kind in ("correction", "withdrawal")):
        raise ValueError("corrections and withdrawals are revisions, and nothing else is one")
    if (header.reason is not None) != (header.kind == "withdrawal"):
        raise ValueError("a withdrawal has a reason, and nothing else has one")


def hash_of(text: object) -> str:
    """The text, if it is a SHA-256 as lower-case hex. Raises `ValueError`."""
    if not isinstance(text, str) or _HASH.fullmatch(text) is None:
        raise ValueError("not a hash")
    return text


def name_of(text: object) -> str:
    """The text, if it is a name. Raises `ValueError`."""
    return text_of(text, 200)


def text_of(text: object, longest: int) -> str:
    """The text, if it is one that can be shown, of 1 to `longest` characters. Raises `ValueError`."""
    if not isinstance(text, str) or not 0 < len(text) <= longest:
        raise ValueError("not a text of the right length")
    return plain(text)


@lru_cache(maxsize=1024)  # a window ends when the next begins, and a body repeats the times of its entry
def time_of(text: object) -> int:
    """Milliseconds since 1970 of a time as it is exchanged. Raises `ValueError`, and `TypeError` for a list."""
    if not isinstance(text, str) or _TIME.fullmatch(text) is None:
        raise ValueError("not a time")
    return instant(text)


def unsigned(number: object) -> int:
    """The number, if it is whole, not negative, and fits. Raises `ValueError`."""
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("not a whole number")
    return number


def body_bytes(header: Header, unit: str, cells: Sequence[PublishedCell], salt: str) -> bytes:
    """The body as one line of JSON: `federation.wire.Publication` and the salt."""
    return _bytes(
        {
            "format": FORMAT,
            "metric": header.metric,
            "unit": unit,
            "sequence": header.sequence,
            "revision": header.revision,
            "window": {"start": rfc3339(header.window.start), "end": rfc3339(header.window.end)},
            "published_at": rfc3339(header.published_at),
            "kind": header.kind,
            **_reason(header),
            "cells": [_cell(cell) for cell in sorted(cells, key=lambda cell: (cell.area, cell.class_))],
            "salt": salt,
        }
    )


def cells_of(body: bytes) -> tuple[PublishedCell, ...]:
    """The cells of a body that `body_bytes` has made."""
    return tuple(
        PublishedCell(
            *(cell["area"], cell["class"], cell.get("value"), cell.get("coverage"), cell["rule"]),
            incomplete=cell["status"] == "incomplete",
            withdrawn=cell["status"] == "withdrawn",
        )
        for cell in json.loads(body)["cells"]
    )


def _reason(header: Header) -> Json:
    return {} if header.reason is None else {"reason": header.reason}


def _cell(cell: PublishedCell) -> Json:
    shown = {} if cell.value is None else {"value": cell.value, "coverage": cell.coverage}
    return {"area": cell.area, "class": cell.class_, "status": cell.status, **shown, "rule": cell.rule}


def _bytes(content: Json) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
