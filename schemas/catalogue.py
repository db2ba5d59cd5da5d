"""The metric catalogue, read once from `metrics.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Window = Literal["hour"]
Kind = Literal["sum"]

MINUTE_MS = 60_000
WINDOW_MS: Mapping[Window, int] = {"hour": 60 * MINUTE_MS}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric's definition. Amounts are whole numbers of `smallest_unit`; times are milliseconds."""

    name: str
    title: str
    definition: str
    dataset: str
    unit: str
    smallest_unit: str
    smallest_per_unit: int
    kind: Kind
    contributor: str
    classes: tuple[str, ...]
    window: Window
    lateness_ms: int
    minimum: int
    maximum: int
    rule: str

    @property
    def window_ms(self) -> int:
        """Nominal width of a window; a change of clocks can make a single one shorter."""
        return WINDOW_MS[self.window]


def _metric(name: str, entry: dict[str, Any]) -> Metric:
    entry = dict(entry)
    return Metric(
        name=name,
        lateness_ms=entry.pop("lateness_minutes") * MINUTE_MS,
        classes=tuple(entry.pop("classes")),
        **entry,
    )


@cache
def catalogue() -> Mapping[str, Metric]:
    """Every metric by name, in the file's order."""
    text = resources.files("schemas").joinpath("metrics.toml").read_text(encoding="utf-8")
    return {name: _metric(name, entry) for name, entry in tomllib.loads(text).items()}


def metrics_of(dataset: str) -> tuple[Metric, ...]:
    """The metrics that are computed from one dataset (`energy.readings`)."""
    return tuple(metric for metric in catalogue().values() if metric.dataset == dataset)
