"""From tons, as files write them, to grams."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

Ton = Literal["short", "metric"]

_GRAMS: Mapping[Ton, Fraction] = {"short": 2_000 * Fraction("453.59237"), "metric": Fraction(1_000_000)}
_TONS = re.compile(r"\d{1,12}(\.\d{1,24})?", re.ASCII)


def grams(tons: str, ton: Ton) -> int | None:
    """Whole grams, halves rounded to even; None for what is no amount. A short ton is 2,000 pounds of 453.59237 g."""
    return round(Fraction(tons) * _GRAMS[ton]) if _TONS.fullmatch(tons) else None
