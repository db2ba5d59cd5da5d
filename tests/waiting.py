"""Waiting for something that another thread, process or server does."""

import time
from collections.abc import Callable
from threading import Event

PAUSE_S = 0.1


def until(condition: Callable[[], object], what: str, seconds: float = 180, pause_s: float = PAUSE_S) -> None:
    """Return as soon as the condition holds; after `seconds`, fail with `what` was to happen.

    Between two questions it waits for `pause_s`, and up to half a second where a question itself takes long: many ask a
    server over a new connection, and what they wait for needs the same cores.
    """
    pause, deadline = Event(), time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        pause.wait(max(pause_s, min(8 * (time.monotonic() - asked), 0.5)))
