"""How exact a figure leaves the city (P2): rounded values, coverage in three bands, in exact integers. Pure.

A value modulo a small unit tells whether one odd meter reported, and coverage in whole percent tells how many of a few
contributors did. So a value is rounded twice over, by its size and by its metric, and coverage has three bands.
"""

from typing import Literal

from store.publications import Window

CoverageBand = Literal["high", "medium", "low"]
"""The share of the window that the registered sources reported: at least 90 %, at least 50 %, or less."""

_MOST = 10_000
"""Four significant digits: the most steps from zero to a value."""


def rounded(value: int, base: int) -> int:
    """`value` as a multiple of `base` with four significant digits, halves to the even multiple. Both are amounts.

    The step is `base` times the least power of ten with which the value is at most 10,000 steps from zero; a base of 2
    or 5 (times a power of ten) counts as that many, so that 9,995 is the largest value in steps of 5.
    """
    step, most = base, _MOST // _lead(base)
    steps = _nearest(value, step)
    while abs(steps) > most:
        step *= 10
        steps = _nearest(value, step)
    return steps * step


def coverage_band(covered_ms: int, sources: int, window: Window) -> CoverageBand:
    """The band of a cell's coverage: `covered_ms` is what its sources reported of the window, added up.

    "low" where no source is registered: the complete amount of time is then unknown.
    """
    whole = sources * (window.end - window.start)
    if not whole or 2 * covered_ms < whole:
        return "low"
    return "high" if 10 * covered_ms >= 9 * whole else "medium"


def _nearest(value: int, step: int) -> int:
    """The number of steps that is nearest to `value`; of two, the even one."""
    steps, rest = divmod(value, step)
    return steps + (2 * rest > step or (2 * rest == step and steps % 2 == 1))


def _lead(base: int) -> int:
    """The leading digit of a base of 2 or 5 times a power of ten, else 1."""
    while base % 10 == 0:
        base //= 10
    return base if base in (2, 5) else 1
