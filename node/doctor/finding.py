"""What an examination finds, and examining a part of the node within a time limit."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from node.explain import with_settings

T = TypeVar("T")

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one thing: "ok", "warn" (it works, but not well) or "fail".

    `words` say what is wrong and what to do.
    """

    level: Level
    what: str
    words: str


class Examination(Generic[T]):
    """Reads the state of one part of the node, in a thread of its own that is started at once."""

    def __init__(self, what: str, seconds: float, read: Callable[[], T]) -> None:
        self._what = what
        self._seconds = seconds
        self._state: T | None = None
        self._failed: Finding | None = None
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True)
        self._thread.start()

    def result(self) -> tuple[T | None, Finding | None]:
        """The state, or a finding that says why it could not be read. Waits until the time limit at most."""
        self._thread.join(self._seconds)
        if self._thread.is_alive():
            return None, Finding("fail", self._what, f"no answer within {self._seconds:.0f} s")
        return self._state, self._failed

    def _run(self, read: Callable[[], T]) -> None:
        try:
            self._state = read()
        except ModuleNotFoundError as error:
            self._failed = Finding("warn", self._what, f"{error.name} is not installed: the extra [node] brings it")
        except Exception as error:  # an error in one part must not hide the others
            self._failed = Finding("fail", self._what, _in_words(error))


def _in_words(error: Exception) -> str:
    text = " ".join(with_settings(error).split())
    return text or type(error).__name__


def judge_clock(what: str, owner: str, clock_ms: int, asked_ms: int, answered_ms: int) -> Finding:
    """Compare a clock with this machine's, which showed `asked_ms` before the question and `answered_ms` after it.

    All three in milliseconds since 1970, UTC.
    """
    behind = max(asked_ms - clock_ms, 0) - max(clock_ms - answered_ms, 0)
    seconds = abs(behind) / 1000
    if seconds <= WARN_S:
        return Finding("ok", what, f"within {WARN_S} s of this machine's")
    direction = "behind" if behind > 0 else "ahead of"
    level: Level = "warn" if seconds <= FAIL_S else "fail"
    return Finding(level, what, f"{owner} is {seconds:,.0f} s {direction} this machine's clock; set both by NTP")


WARN_S = 5
FAIL_S = 60
"""How far two clocks may differ. Readings more than 5 minutes ahead of Kafka's clock are rejected (R4)."""
