"""JSON that every implementation reads alike: no name twice in an object, no NaN, no number beyond the doubles, no half
of a surrogate pair, bounded depth."""

import json
import re
from math import isinf
from typing import Any, NoReturn

_DEEPEST = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class BadJson(ValueError):
    """The bytes are not JSON as it is exchanged."""


def loads(content: bytes, *, deepest: int = _DEEPEST) -> Any:
    """The value of JSON in UTF-8. Raises `BadJson`."""
    try:
        found = _DECODER.decode(content.decode())
        if _SURROGATE.search(content):
            dumps(found)  # raises UnicodeEncodeError, which is a ValueError, if the other half is missing
    except BadJson:
        raise
    except (ValueError, RecursionError):
        raise BadJson("not JSON in UTF-8") from None
    _check_depth(found, deepest)
    return found


def dumps(value: object) -> bytes:
    """A value as JSON in UTF-8, in one line without blanks."""
    return _ENCODER.encode(value).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a name is twice in an object")
    return found


def _constant(text: str) -> NoReturn:
    raise BadJson(f"{text} is no number")


def _fraction(text: str) -> float:
    found = float(text)
    if isinf(found):
        raise BadJson("a number is too large")
    return found


def _check_depth(value: Any, left: int) -> None:
    level = [value]
    while level:
        if left == 0:
            raise BadJson("too deep")
        left -= 1
        level = [
            item
            for holder in level
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction)
