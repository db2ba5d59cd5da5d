"""Units of tables, as smallest units of the catalogue's metrics."""

import re
from collections.abc import Collection, Mapping
from fractions import Fraction

from schemas.catalogue import Metric

_ENERGY: Mapping[str, Fraction] = {
    **{"Wh": Fraction(3_600_000), "kWh": Fraction(3_600_000_000), "MWh": Fraction(3_600_000_000_000)},
    **{"J": Fraction(1_000), "kJ": Fraction(1_000_000), "MJ": Fraction(1_000_000_000)},
}
_POWER: Mapping[str, Fraction] = {"W": Fraction(1), "kW": Fraction(1_000), "MW": Fraction(1_000_000)}
"""Times milliseconds."""
_POUND = Fraction("453.59237")
_WEIGHT: Mapping[str, Fraction] = {
    **{"g": Fraction(1), "kg": Fraction(1_000), "t": Fraction(1_000_000)},
    **{"lb": _POUND, "short ton": 2_000 * _POUND, "long ton": 2_240 * _POUND},
}
_COUNT: Mapping[str, Fraction] = {"vehicles": Fraction(1)}
_RATE: Mapping[str, Fraction] = {"vehicles/h": Fraction(1, 3_600_000)}
"""Times milliseconds."""
_LEVEL: Mapping[str, Fraction] = {"%": Fraction(100), "tenths": Fraction(1_000), "share": Fraction(10_000)}
_BY_SMALLEST: Mapping[str, Mapping[str, Fraction]] = {
    **{"mJ": {**_ENERGY, **_POWER}, "g": _WEIGHT, "0.01 %": _LEVEL, "vehicle": {**_COUNT, **_RATE}},
}


def units_of(metric: Metric) -> Collection[str]:
    """The units that a table may have an amount of this metric in; none for a metric that is not of tables."""
    return _BY_SMALLEST.get(metric.smallest_unit, {}).keys()


def is_rate(unit: str) -> bool:
    """Whether an amount in this unit, of power or flow, is one only together with the length of its interval."""
    return unit in _POWER or unit in _RATE


def scale(metric: Metric, unit: str, interval_ms: int) -> Fraction:
    """Smallest units of the metric in one `unit`; for power and flow, averaged over an interval."""
    return _BY_SMALLEST[metric.smallest_unit][unit] * (interval_ms if is_rate(unit) else 1)


def known(text: str, metric: Metric) -> str | None:
    """The unit that a file names, in capital or small letters; but a small m is milli and not mega."""
    text = text.strip()
    return next((unit for unit in units_of(metric) if _is_unit(text, unit)), None)


def unit_in(name: str, units: Collection[str]) -> str | None:
    """The one of these units that a column's name ends with: `ac_power_kw`, `Power (W)`."""
    for unit in units:
        match = re.fullmatch(rf"(?:.*[_ (\[])?({re.escape(unit)})[)\]]?", name.strip(), re.IGNORECASE)
        if match is not None and _is_unit(match[1], unit):
            return unit
    return None


def _is_unit(text: str, unit: str) -> bool:
    return text.casefold() == unit.casefold() and not (unit.startswith("M") and text.startswith("m"))
