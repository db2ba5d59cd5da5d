"""The wall clock, as the rooms count time."""

from time import time


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return round(time() * 1000)
