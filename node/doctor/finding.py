"""One thing that was looked at, and looking that takes no longer than it may."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How something stands: well, not well but at work, or not at work. `words` say what is wrong and what to do."""

    level: Level
    what: str
    words: str


class Look(Generic[T]):
    """A look at one part of the node, begun at once in a thread of its own."""

    def __init__(self, what: str, seconds: float, look: Callable[[], T]) -> None:
        self._what = what
        self._seconds = seconds
        self._seen: T | None = None
        self._failed: Finding | None = None
        self._thread = threading.Thread(target=self._run, args=(look,), daemon=True)
        self._thread.start()

    def result(self) -> tuple[T | None, Finding | None]:
        """What was seen, or why nothing was. Waits for as long as the look may take."""
        self._thread.join(self._seconds)
        if self._thread.is_alive():
            return None, Finding("fail", self._what, f"no answer within {self._seconds:.0f} s")
        return self._seen, self._failed

    def _run(self, look: Callable[[], T]) -> None:
        try:
            self._seen = look()
        except ModuleNotFoundError as error:
            self._failed = Finding("warn", self._what, f"{error.name} is not installed: the extra [node] brings it")
        except Exception as error:  # whatever is wrong with one part must not hide the others
            self._failed = Finding("fail", self._what, _in_words(error))


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def judge_clock(what: str, whose: str, clock_ms: int, asked_ms: int, told_ms: int) -> Finding:
    """Compare a clock with this machine's: `asked_ms` before the question, `told_ms` after the answer."""
    behind = max(asked_ms - clock_ms, 0) - max(clock_ms - told_ms, 0)
    seconds = abs(behind) / 1000
    if seconds <= WARN_S:
        return Finding("ok", what, f"within {WARN_S} s of this machine's")
    direction = "behind" if behind > 0 else "ahead of"
    level: Level = "warn" if seconds <= FAIL_S else "fail"
    return Finding(level, what, f"{whose} is {seconds:,.0f} s {direction} this machine's clock; set both by NTP")


WARN_S = 5
FAIL_S = 60
"""How far two clocks may differ. Readings more than 5 minutes ahead of Kafka's clock are rejected (R4)."""
