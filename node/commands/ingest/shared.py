"""Look-ups in the register for the commands of `sistercity ingest`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.catalogue import Metric
    from store.database import Connection
    from store.resolution import Resolved

_FRESH_MS = 60_000


def resolver(connection: "Connection", source: str | None = None) -> "Callable[[Metric, int], Resolved]":
    """The register at a time: all sources of a metric, or one."""
    return partial(_resolved, connection, source)


def _resolved(connection: "Connection", source: str | None, metric: "Metric", at_ms: int) -> "Resolved":
    from store.resolution import resolve

    return resolve(connection, metric.name, at_ms, metric.classes, source)


def for_a_while(resolve: "Callable[[Metric, int], Resolved]") -> "Callable[[Metric, int], Resolved]":
    """What `resolve` gives, to be asked for again after a minute: a register may be loaded meanwhile."""

    def resolved(metric: "Metric", at_ms: int) -> "Resolved":
        found = resolve(metric, at_ms)
        return replace(found, holds_until_ms=min(found.holds_until_ms, at_ms + _FRESH_MS))

    return resolved
