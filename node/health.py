"""Whether a role does what it is for: when it last succeeded, and why not since.

Success is each role's own: a commit, a turn of publishing, an answer of the database. What runs and succeeds at nothing
is not healthy, and what waits for work is.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Lock

from prometheus_client import Gauge

LAST_SUCCESS = Gauge(
    "sistercity_last_success_timestamp_seconds", "When this role last succeeded at what it is for, Unix time", ["role"]
)
HEALTHY = Gauge("sistercity_healthy", "1 while the newest success is recent enough, else 0", ["role"])

SILENT_S = 60.0
FAILING_S = 30.0

ANSWER_S = 20.0
"""How long a role that has nothing to do waits for an answer: shorter than the time in which it must stop."""


@dataclass(frozen=True, slots=True)
class HealthState:
    """`last_success` in seconds since 1970, UTC; None before the first. `why_not`: a sentence if it is not healthy."""

    role: str
    healthy: bool
    last_success: float | None
    why_not: str | None

    def as_json(self) -> dict[str, object]:
        """What `/healthz` answers."""
        return asdict(self)


class RoleHealth:
    """Told of each success and failure of a role, from any thread.

    It is not healthy before the first success, `failing_s` seconds after the last one if a failure was reported since,
    and `silent_s` seconds after it in any case. `clock` gives seconds, `now` seconds since 1970.
    """

    def __init__(
        self,
        role: str,
        *,
        silent_s: float = SILENT_S,
        failing_s: float = FAILING_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._role = role
        self._silent_s = silent_s
        self._failing_s = min(failing_s, silent_s)
        self._clock = clock
        self._now = now
        self._lock = Lock()
        self._since = clock()
        self._success: float | None = None
        self._failure: str | None = None
        LAST_SUCCESS.labels(role).set(0)
        HEALTHY.labels(role).set_function(lambda: self.state().healthy)

    def report(self, failure: str | None) -> None:
        """The role has succeeded, or failed for the reason that `failure` names."""
        with self._lock:
            self._failure = failure
            if failure is None:
                self._since, self._success = self._clock(), self._now()
                LAST_SUCCESS.labels(self._role).set(self._success)

    def state(self) -> HealthState:
        """As it is now."""
        with self._lock:
            past_s, success, failure = self._clock() - self._since, self._success, self._failure
        limit_s = self._silent_s if failure is None else self._failing_s
        if success is not None and past_s <= limit_s:
            return HealthState(self._role, True, success, None)
        since = "its start" if success is None else "its last success"
        why = failure or "nothing was reported, neither a success nor a failure"
        return HealthState(self._role, False, success, f"no success since {since} {past_s:.0f} s ago: {why}")
