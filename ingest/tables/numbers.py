"""AmountColumns as tables write them, to whole numbers of the smallest unit."""

import re
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

import numpy as np

from ingest.files.reasons import MISSING, NUMBER
from ingest.tables.faults import Memo, Numbers, clamped, fault, numbers, repeat_enough
from ingest.tables.profile import Shape, ValuePart

BLANKS = " \t"
_MISSING, _NUMBER = fault(MISSING), fault(NUMBER)


class AmountsOf:
    """AmountColumns of one unit: text -> whole number of smallest units, halves rounded to even, or a fault.

    `scale` smallest units are one of the file's. Digits are ASCII's. Where the file separates thousands, each group
    must have three digits.
    """

    def __init__(self, shape: Shape, value: ValuePart, scale: Fraction) -> None:
        self._number = _number(shape, value)
        self._missing: Collection[str] = value.missing
        self._up, self._down = scale.numerator, scale.denominator
        self._factor = float(scale)
        self._decimal = shape.decimal
        mark = re.escape(shape.decimal)
        plain = rf"{'-?' if value.signed else ''}(?:[0-9]{{1,9}}(?:{mark}[0-9]{{1,9}})?+|{mark}[0-9]{{1,9}})"
        self._plain = re.compile(rf"(?:{plain}\n)*+").fullmatch
        self.texts = Memo(self._decode)

    def many(self, texts: Sequence[str]) -> Numbers:
        """The amounts of a column, or faults, shape (len(texts),).

        A column of plain numbers is multiplied as floats where that can't change the result: the product of a number
        and the scale, both rounded once, is off by less than 0.1 below 2^48, so one nearer than 0.4 to a whole number
        has that one for its nearest.
        """
        if repeat_enough(texts):
            return numbers(self.texts, texts)
        joined = "\n".join(texts)
        if not self._plain(joined + "\n"):
            return numbers(self.texts, texts)
        plain = joined.replace(self._decimal, ".").split("\n") if self._decimal != "." else texts
        exact = np.fromiter(map(float, plain), np.float64, len(plain)) * self._factor
        nearest = np.rint(exact)
        unsure = (np.abs(exact - nearest) >= 0.4) | (np.abs(exact) >= 2**48)
        found = np.where(unsure, 0, nearest).astype(np.int64)
        for row in np.flatnonzero(unsure).tolist():
            found[row] = self.texts[texts[row]]
        return found

    def _decode(self, text: str) -> int:
        text = text.strip(BLANKS)
        if text in self._missing:
            return _MISSING
        number = self._number(text)
        if number is None:
            return _NUMBER
        digits, places = number
        dividend, divisor = digits * self._up, self._down
        if places >= 0:
            divisor *= 10**places
        else:
            dividend *= 10**-places
        whole, rest = divmod(dividend, divisor)
        if rest * 2 > divisor or (rest * 2 == divisor and whole % 2):
            whole += 1
        return clamped(whole)


def _number(shape: Shape, value: ValuePart) -> Callable[[str], tuple[int, int] | None]:
    """Text -> digits as one number, and how many of them are decimals."""
    grouped = rf"\d{{1,3}}(?:{re.escape(shape.thousands)}\d{{3}})+|" if shape.thousands else ""
    whole = rf"(?:{grouped}\d{{1,12}}|(?={re.escape(shape.decimal)}))"
    sign = "[+-]?" if value.signed else ""
    power = r"(?:[eE]([+-]?\d{1,2}))?" if value.exponent else "()"
    form = re.compile(rf"({sign}{whole})(?:{re.escape(shape.decimal)}(\d{{1,24}}))?{power}", re.ASCII)
    thousands = shape.thousands

    def number(text: str) -> tuple[int, int] | None:
        match = form.fullmatch(text)
        if match is None:
            return None
        front, decimals, exponent = match.groups()
        if thousands:
            front = front.replace(thousands, "")
        decimals = decimals or ""
        return int(front + decimals), len(decimals) - int(exponent or 0)

    return number
