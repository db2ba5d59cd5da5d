"""JSON of unknown origin, with limits on what it can cost."""

import json

MOST_VALUES = 4_000_000
"""Values in one document: each costs up to a hundred bytes of memory, however few bytes it is written with."""


def load(content: bytes) -> object:
    """The document's value. Raises `ValueError` for what is not JSON, or is nested too deeply, or has too many values.

    Numbers must be finite. The charset is UTF-8, or UTF-16 or UTF-32 if its first bytes say so.
    """
    # In front of every value but the first of its container stands a comma, in front of that one a bracket.
    if content.count(b",") + content.count(b"[") + content.count(b"{") >= MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number")
