"""What Green Button's ReadingTypes say: unit, scale, direction of flow, accumulation, and what holds where a reading is
silent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ingest.files.reasons import ACCUMULATION, FLOW_DIRECTION, NO_TYPE, NOT_ELECTRICITY, QUALIFIER, UNIT

ESTIMATED_QUALITIES = frozenset({"8", "9", "12"})
"""Estimated by a reference day, estimated by interpolation, projected."""

OF_A_TYPE = frozenset(
    {
        *("uom", "commodity", "powerOfTenMultiplier", "flowDirection", "accumulationBehaviour"),
        *("dataQualifier", "intervalLength", "defaultQuality"),
    }
)

_WATT, _WATT_HOUR = "38", "72"
_ELECTRICITY = ("0", "1", "2")
"""Not applicable, secondary and primary metered."""
_OF_OTHER_COMMODITIES = frozenset({"42", "119", "128", "132", "134", "169"})
"""Cubic metres and feet, gallons, British thermal units, litres, therms."""
_DELTA, _INSTANTANEOUS, _NOT_APPLICABLE = "4", "12", "0"

_MILLIJOULES_PER_WATT_SECOND = 1_000
_POWER = re.compile(r"[+-]?\d{1,2}", re.ASCII)
_LARGEST_POWER = 12
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReadingType:
    """The scale of a ReadingType's readings; or in `reason`, why they can't be used.

    `power` tells watts, averaged over the interval, from watt-hours. `interval_s` is the length of an interval and
    `estimated` the quality of a reading that says none; both are the type's defaults.
    """

    reason: str | None
    power_of_ten: int = 0
    power: bool = False
    interval_s: int | None = None
    estimated: bool = False

    def factor(self, seconds: int) -> Fraction:
        """Millijoules per unit of the value, in an interval of so many seconds."""
        per_second = _MILLIJOULES_PER_WATT_SECOND * (seconds if self.power else 3_600)
        return per_second * Fraction(10) ** self.power_of_ten


UNKNOWN_TYPE = ReadingType(NO_TYPE)


def reading_type(fields: Mapping[str, str]) -> ReadingType:
    """The ReadingType with these fields, by their local names. 0 means "not applicable" in all of them."""
    power, uom = fields.get("powerOfTenMultiplier", "0"), fields.get("uom")
    if fields.get("commodity", "0") not in _ELECTRICITY or uom in _OF_OTHER_COMMODITIES:
        return ReadingType(NOT_ELECTRICITY)
    if uom not in (_WATT, _WATT_HOUR) or not _POWER.fullmatch(power) or abs(int(power)) > _LARGEST_POWER:
        return ReadingType(UNIT)
    accumulations = (_NOT_APPLICABLE, _DELTA, *((_INSTANTANEOUS,) if uom == _WATT else ()))
    reason = None
    if fields.get("flowDirection", "0") not in ("0", "1"):
        reason = FLOW_DIRECTION
    elif fields.get("accumulationBehaviour", _DELTA) not in accumulations:
        reason = ACCUMULATION
    elif fields.get("dataQualifier", "0") not in ("0", "2", "12"):  # absent, average, normal
        reason = QUALIFIER
    length = fields.get("intervalLength", "")
    interval = int(length) if _SECONDS.fullmatch(length) else 0
    estimated = fields.get("defaultQuality") in ESTIMATED_QUALITIES
    return ReadingType(reason, int(power), uom == _WATT, interval or None, estimated)
