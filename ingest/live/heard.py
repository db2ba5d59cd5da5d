"""When each listed source was last heard of, and which of them have been silent for too long."""

import logging
import threading
from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from store.moments import moment

LIVE_SOURCES = Gauge("sistercity_live_sources", "Listed sources, by whether they deliver or are silent", ["state"])
DELIVERIES = Counter("sistercity_live_deliveries", "What listed sources delivered, by what became of it", ["outcome"])
SENT, NOT_READ = "sent", "not-read"

logger = logging.getLogger(__name__)


class LastHeard:
    """Watches sources by name. `silent_ms`: after how long each is silent, 0 for never; `known` are the last times.

    Times are milliseconds since 1970; a source that was never heard of counts as heard at `now_ms`. Many threads.
    """

    def __init__(self, silent_ms: Mapping[str, int], known: Mapping[str, int], now_ms: int) -> None:
        self._silent_ms = silent_ms
        self._begun_ms = now_ms
        self._last: dict[str, int] = {}
        self._silent: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        for name, time_ms in known.items():
            self.hear(name, time_ms)
        self.show(now_ms)

    def hear(self, name: str, time_ms: int) -> None:
        """The source has delivered something."""
        with self._lock:
            self._last[name] = max(self._last.get(name, 0), time_ms)

    def show(self, now_ms: int) -> None:
        """Show the numbers, and log each source that has become silent, or delivers again."""
        with self._lock:
            self._show(now_ms)

    def _show(self, now_ms: int) -> None:
        last = {name: self._last.get(name, self._begun_ms) for name in self._silent_ms}
        silent = frozenset(name for name, limit in self._silent_ms.items() if limit and now_ms - last[name] > limit)
        for name in sorted(silent - self._silent):
            logger.warning("%s: silent since %s", name, f"{moment(last[name]):%Y-%m-%d %H:%M} UTC")
        for name in sorted(self._silent - silent):
            logger.info("%s: delivers again", name)
        self._silent = silent
        LIVE_SOURCES.labels("silent").set(len(silent))
        LIVE_SOURCES.labels("delivering").set(len(self._silent_ms) - len(silent))
