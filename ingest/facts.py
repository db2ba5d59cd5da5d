"""Facts of sources that the register may hold: what readings are computed with, and checked against."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

HOUSEHOLD = "residential"


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of the sources of `metrics`, by one column of the register file.

    It is stored as a whole number, of which `scale` are one of the column's unit: `least` to `most`, for a household
    (the class `residential`) to `most_of_household`.
    """

    column: str
    metrics: frozenset[str]
    scale: int
    least: int
    most: int
    most_of_household: int

    def parsed(self, text: str, class_: str, *, comma: bool) -> int:
        """The number that is stored; 0 for an empty field. `comma`: fields are separated by commas.

        Raises `ValueError` with what is wrong.
        """
        if not text:
            return 0
        amount = _number(text, comma=comma) * self.scale
        most = self.most_of_household if class_ == HOUSEHOLD else self.most
        if not self.least <= amount <= most:
            low, high = Fraction(self.least, self.scale), Fraction(most, self.scale)
            whose = f" of class {HOUSEHOLD}" if most != self.most else ""
            unit = self.column.rpartition("_")[2]
            raise ValueError(f"must be {float(low):g} to {float(high):,.0f} {unit} for a source{whose}")
        return round(amount)


POWER = Fact("power_kw", frozenset({"energy.import", "energy.solar"}), 1_000, 1, 4_000_000_000, 500_000)
"""The rated power of a plant, and what a meter's connection can carry; stored in watts."""
DEPTH = Fact("depth_mm", frozenset({"waste.fill"}), 1, 100, 20_000, 20_000)
"""From the sensor down to the floor of an empty container; stored in millimetres."""
FACTS: Mapping[str, Fact] = {fact.column: fact for fact in (POWER, DEPTH)}
"""By column of the register file."""

_PLAIN = re.compile(r"\d{1,12}(?:[.,]\d{1,9})?", re.ASCII)
_THOUSANDS = re.compile(r".*[.,]\d{3}", re.ASCII)


def fact_of(metric: str) -> Fact | None:
    """The fact that sources of a metric may have."""
    return next((fact for fact in FACTS.values() if metric in fact.metrics), None)


def _number(text: str, *, comma: bool) -> Fraction:
    """A number with a decimal point or comma. Three digits after it may be thousands: refused, unless it is certain."""
    text = text.replace("\u066b", ".")
    if not _PLAIN.fullmatch(text):
        raise ValueError("is not a number such as 5 or 5.25, without a unit and without signs between thousands")
    if _THOUSANDS.fullmatch(text) and not (comma and "." in text):
        raise ValueError("may be thousands or a fraction: write it with other than three digits after the sign")
    return Fraction(text.replace(",", "."))
