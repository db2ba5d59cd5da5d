"""When each listed source was last heard of, and which of them have been silent for too long."""

import logging
from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from store.moments import moment

LIVE_SOURCES = Gauge("sistercity_live_sources", "Listed sources, by whether they deliver or are silent", ["state"])
DELIVERIES = Counter("sistercity_live_deliveries", "What listed sources delivered, by what became of it", ["outcome"])
SENT, NOT_READ = "sent", "not-read"

logger = logging.getLogger(__name__)


class LastHeard:
    """Watches sources by name. `silent_ms`: after how long each is silent, 0 for never; `known` are the last times.

    Times are milliseconds since 1970; a source that was never heard of counts as heard at `now_ms`. One thread.
    """

    def __init__(self, silent_ms: Mapping[str, int], known: Mapping[str, int], now_ms: int) -> None:
        self._silent_ms = silent_ms
        self._last = {name: known.get(name, now_ms) for name in silent_ms}
        self._silent: frozenset[str] = frozenset()
        self.show(now_ms)

    def hear(self, name: str, time_ms: int) -> None:
        """The source has delivered something."""
        self._last[name] = max(self._last[name], time_ms)

    def show(self, now_ms: int) -> None:
        """Show the numbers, and log each source that has become silent, or delivers again."""
        silent = frozenset(
            name for name, limit in self._silent_ms.items() if limit and now_ms - self._last[name] > limit
        )
        for name in sorted(silent - self._silent):
            logger.warning("%s: silent since %s", name, f"{moment(self._last[name]):%Y-%m-%d %H:%M} UTC")
        for name in sorted(self._silent - silent):
            logger.info("%s: delivers again", name)
        self._silent = silent
        LIVE_SOURCES.labels("silent").set(len(silent))
        LIVE_SOURCES.labels("delivering").set(len(self._silent_ms) - len(silent))
