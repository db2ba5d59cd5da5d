"""Waiting for something that another thread, process or server does."""

import time
from collections.abc import Callable
from threading import Event

PAUSE_S = 0.05


def until(condition: Callable[[], object], what: str, seconds: float = 180, pause_s: float = PAUSE_S) -> None:
    """Return as soon as the condition holds; after `seconds`, fail with `what` was to happen."""
    pause, deadline = Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        pause.wait(pause_s)
