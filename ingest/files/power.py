"""Power, as tables write it, to the energy of an interval."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

PowerUnit = Literal["W", "kW"]

_MILLIJOULES: Mapping[PowerUnit, int] = {"W": 1, "kW": 1_000}
_IN_A_NAME = re.compile(r"(?:.*[_ (\[])?(k?w)[)\]]?", re.ASCII | re.IGNORECASE)


def millijoules(power: Fraction, unit: PowerUnit, interval_ms: int) -> int:
    """The energy of a power averaged over an interval; halves of a millijoule are rounded to even."""
    return round(power * _MILLIJOULES[unit] * interval_ms)


def unit_in(name: str) -> PowerUnit | None:
    """The unit that a column's name ends with: `ac_power_kw`, `Power (W)`."""
    match = _IN_A_NAME.fullmatch(name.strip())
    if match is None:
        return None
    return "kW" if match[1].lower() == "kw" else "W"
