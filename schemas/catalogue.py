"""The metric catalogue, read once from `metrics.toml`."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

WindowLength = Literal["quarter-hour", "hour", "day", "month"]
Aggregation = Literal["sum", "count", "mean", "mean-of-last"]
"""How readings become a value. `sum` and `count` add them up; `mean` averages the means of the sources, `mean-of-last`
the last reading of each."""

Reading = Literal["interval", "moment"]
"""What a reading measures: the time of its interval (energy used), or its own moment (a level, a weighing)."""

MINUTE_MS = 60_000
_HOUR_MS = 60 * MINUTE_MS
LONGEST_MS: Mapping[WindowLength, int] = {
    "quarter-hour": 15 * MINUTE_MS,
    "hour": _HOUR_MS,
    "day": 25 * _HOUR_MS,
    "month": 31 * 24 * _HOUR_MS + _HOUR_MS,
}
"""The greatest width of a window, milliseconds, on a day when clocks are set back by an hour."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric's definition. Amounts are whole numbers of `smallest_unit`; times are milliseconds.

    A value leaves the city as a multiple of `base`; with `published` false it never leaves. Nor does it leave a city
    with sources of the metric `same_flow_as`: that is one flow, measured twice (P3). `formerly` is its name of before.

    A metric with `derived_from` has no messages of its own: it is computed from those of the metric named there, and
    shares its sources, areas and windows.
    """

    name: str
    title: str
    definition: str
    dataset: str
    unit: str
    smallest_unit: str
    smallest_per_unit: int
    base: int
    kind: Aggregation
    reading: Reading
    contributor: str
    classes: tuple[str, ...]
    window: WindowLength
    lateness_ms: int
    silence_ms: int
    margin_ms: int
    minimum: int
    maximum: int
    rule: str
    derived_from: str | None = None
    published: bool = True
    same_flow_as: str | None = None
    formerly: str | None = None

    @property
    def registered_as(self) -> str:
        """Name of the metric that its sources and areas are registered for."""
        return self.derived_from or self.name

    @property
    def adds_up(self) -> bool:
        """Whether a sum of its readings means something: they are amounts or numbers, no levels."""
        return self.kind in ("sum", "count")

    @property
    def delay_ms(self) -> int:
        """How long after its end a window is published, milliseconds (R12)."""
        return self.lateness_ms + self.margin_ms

    @property
    def longest_window_ms(self) -> int:
        """The greatest width of its windows, milliseconds."""
        return LONGEST_MS[self.window]


def _metric(name: str, entry: dict[str, Any]) -> Metric:
    entry = dict(entry)
    return Metric(
        name=name,
        lateness_ms=entry.pop("lateness_minutes") * MINUTE_MS,
        silence_ms=entry.pop("silence_minutes") * MINUTE_MS,
        margin_ms=entry.pop("margin_minutes") * MINUTE_MS,
        classes=tuple(entry.pop("classes")),
        **entry,
    )


@cache
def catalogue() -> Mapping[str, Metric]:
    """Every metric by name, in the file's order."""
    text = resources.files("schemas").joinpath("metrics.toml").read_text(encoding="utf-8")
    return {name: _metric(name, entry) for name, entry in tomllib.loads(text).items()}


def published() -> Mapping[str, Metric]:
    """The metrics that a city may publish, by name: what others may learn of the catalogue."""
    return {name: metric for name, metric in catalogue().items() if metric.published}


def leaving(metrics: Collection[Metric], registered: Collection[str]) -> tuple[Metric, ...]:
    """Those of `metrics` that leave a city with sources of the metrics `registered` (P3)."""
    return tuple(metric for metric in metrics if metric.published and metric.same_flow_as not in registered)


@cache
def current_name(name: str) -> str:
    """The name that a metric has now, for one that it had before; any other name stays as it is."""
    return next((metric.name for metric in catalogue().values() if metric.formerly == name), name)


def metrics_of(dataset: str) -> tuple[Metric, ...]:
    """The metrics that are computed from one dataset (`energy.readings`), derived ones included."""
    return tuple(metric for metric in catalogue().values() if metric.dataset == dataset)


def sent_in(dataset: str) -> tuple[Metric, ...]:
    """The metrics that a dataset's messages carry: those that are not derived from another."""
    return tuple(metric for metric in metrics_of(dataset) if metric.derived_from is None)


def silence_ms(dataset: str) -> int:
    """How long a feeder of a dataset's messages may be silent and is waited for, milliseconds (R16)."""
    return max(metric.silence_ms for metric in metrics_of(dataset))


def datasets() -> tuple[str, ...]:
    """The datasets that metrics are computed from, by name."""
    return tuple(sorted({metric.dataset for metric in catalogue().values()}))
