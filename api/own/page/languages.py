"""The languages of a city's page: its texts, and how each writes numbers and times."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from store.moments import moment

CODES = ("en", "vi", "fa")
"""The languages (BCP 47); the first is the default."""

_ISOLATE, _POP = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Language:
    """One language. `direction` is HTML's `dir`; `sections` are the tables of its file in `api/own/locales`."""

    code: str
    name: str
    direction: str
    writing: Mapping[str, Any]
    sections: Mapping[str, Mapping[str, str]]

    def text(self, key: str, **values: str) -> str:
        """A sentence of the section `text` with `values` filled in, each isolated in its own direction of writing."""
        isolated = {name: f"{_ISOLATE}{value}{_POP}" for name, value in values.items()}
        return self.sections["text"][key].format(**isolated)

    def word(self, section: str, key: str, fallback: str) -> str:
        """The word for `key`; `fallback` if this file has none, as for a name that only a partner's catalogue has."""
        return self.sections[section].get(key, fallback)

    def number(self, number: float, decimals: int = 0) -> str:
        """The number with grouping and decimals, in the language's own digits."""
        return f"{number:,.{decimals}f}".translate(self._marks())

    def share(self, share: float) -> str:
        """A share of 0 to 1 in whole percent. Only 0 is shown as 0 %, and only 1 as 100 %."""
        percent = round(100 * share)
        return self.percent(min(99, max(1, percent)) if 0 < share < 1 else percent)

    def percent(self, number: float, decimals: int = 0) -> str:
        """A number of percent."""
        return str(self.writing["percent"]).format(number=self.number(number, decimals))

    def time(self, milliseconds: int, zone: str) -> str:
        """Day and minute in a zone, in the Gregorian calendar."""
        when = _local(milliseconds, zone)
        text = str(self.writing["time"]).format(
            day=when.day,
            month=self.writing["months"][when.month - 1],
            year=when.year,
            hour=f"{when.hour:02}",
            minute=f"{when.minute:02}",
        )
        return text.translate(self._digits())

    def _digits(self) -> dict[int, str]:
        return str.maketrans(dict(zip("0123456789", self.writing["digits"], strict=True)))

    def _marks(self) -> dict[int, str]:
        marks = {",": self.writing["group"], ".": self.writing["point"], "-": self.writing["minus"]}
        return str.maketrans(marks) | self._digits()


@cache
def languages() -> Mapping[str, Language]:
    """Every language by its code, in the order of `CODES`."""
    return {code: _read(code) for code in CODES}


def chosen(asked: str | None, accepted: str) -> Language:
    """The language `asked` for, else the first of an `Accept-Language` header (RFC 9110), else English.

    Regions are ignored: `fa-IR` is `fa`. Unknown languages and malformed parts are ignored too, never an error.
    """
    wanted = [] if asked is None else [_primary(asked)]
    for code in [*wanted, *_preferred(accepted)]:
        if code in languages():
            return languages()[code]
    return languages()[CODES[0]]


def _read(code: str) -> Language:
    text = resources.files("api.own").joinpath("locales", f"{code}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    writing = content.pop("writing")
    return Language(code, writing.pop("name"), writing.pop("direction"), writing, content)


def _local(milliseconds: int, zone: str) -> datetime:
    when = moment(milliseconds)
    try:
        return when.astimezone(ZoneInfo(zone))
    except OverflowError:  # a partner may send a window at the end of the year 9999, whose local time would be in 10000
        return when


def _primary(tag: str) -> str:
    return tag.strip().lower().split("-")[0]


def _preferred(accepted: str) -> Iterator[str]:
    weighed = []
    for part in accepted.split(","):
        tag, _, parameter = part.partition(";")
        weighed.append((_weight(parameter), _primary(tag)))
    yield from (code for weight, code in sorted(weighed, key=lambda pair: -pair[0]) if weight > 0)


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" and len(value) <= 5 else 0.0
    except ValueError:
        return 0.0
