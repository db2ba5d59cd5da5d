"""What a file says of itself: where its columns are, the unit of its values, and the length of its intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from ingest.files.reading import NotSuchFile
from ingest.files.spacing import Spacing, Times, UnclearInterval
from ingest.tables.faults import LEAST
from ingest.tables.fields import Fields
from ingest.tables.profile import Profile, Said
from ingest.tables.text import TableRows, folded
from ingest.tables.times import Clock
from ingest.tables.units import unit_in

_LEAST_SHARE = 1 / 30
_ALIKE = 0.5
"""The share of a column's name that another has in common if it may be meant."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """The columns of one file, in its order. Case, accents, and _ for a blank make no difference in their names."""

    name: str
    names: Sequence[str]
    where: str = "the first line"

    def has(self, column: str) -> bool:
        return folded(column) in map(folded, self.names)

    def require(self, columns: Sequence[str]) -> None:
        """Raises `NotSuchFile` for columns that the file does not have."""
        if missing := [column for column in dict.fromkeys(columns) if not self.has(column)]:
            wanted = ", ".join(map(self._with_nearest, missing))
            raise NotSuchFile(f"{self.name}: {self.where} must name the columns {wanted}")

    def _with_nearest(self, column: str) -> str:
        """A column that is missing, with the name that is most like it. Others stay unsaid: they may be a row's ids."""
        by_folded = {folded(name): name for name in self.names}
        near = get_close_matches(folded(column), by_folded, 1, _ALIKE)
        return f"{column} (not {by_folded[near[0]]})" if near else column

    def place(self, column: str) -> int:
        """The place of a column that the file has, from 0."""
        if column in self.names:
            return self.names.index(column)
        return [folded(name) for name in self.names].index(folded(column))


def value_column(layout: TableLayout, profile: Profile, said: Said) -> str:
    """The column of the amounts: the profile's, or the operator's. Raises `NotSuchFile` where several may be meant."""
    value = profile.value
    if said.column is not None:
        return said.column
    if not value.prefix:
        return value.column
    prefix, suffix = folded(value.prefix), folded(value.suffix)
    found = [name for name in layout.names if (n := folded(name)).startswith(prefix) and n.endswith(suffix)]
    if len(found) > 1:
        raise NotSuchFile(
            f"{layout.name}: has several columns of values ({', '.join(found)}): choose one with --column"
        )
    return found[0] if found else value.prefix + (f" ... {value.suffix}" if value.suffix else "")


def unit_of(layout: TableLayout, profile: Profile, said: Said, column: str, measured: str | None) -> str:
    """The unit of the amounts; "" where each line says it. Raises `NotSuchFile` where it is not clear.

    `measured` is what columns of volts and amperes tell.
    """
    value = profile.value
    if value.unit_column:
        return ""
    named = unit_in(column, value.units) if value.unit_in_name else None
    told = measured or named
    if said.unit is not None:
        if said.unit not in (value.units or (value.unit,)):
            allowed = ", ".join(value.units or (value.unit,))
            raise NotSuchFile(f"{layout.name}: --unit {said.unit}: the profile {profile.name} knows {allowed}")
        if told is not None and told != said.unit:
            whose = " and ".join(value.volts_amperes) + f" say {told}, which" if measured else f"the column {column}"
            raise NotSuchFile(f"{layout.name}: {whose} contradicts --unit {said.unit}")
    unit = told or said.unit or value.unit
    if not unit:
        choices = " or in ".join(value.units)
        raise NotSuchFile(f"{layout.name}: does not say whether {column} is in {choices}: say it with --unit")
    return unit


@dataclass(slots=True)
class Survey:
    """What the whole of a file tells, before its first reading: the spacing of its times, and its power in VA."""

    layout: TableLayout
    profile: Profile
    said: Said
    clock: Clock

    def run(self, pieces: Iterator[TableRows], column: str) -> tuple[Spacing | None, str | None]:
        """The intervals, if they are the times' spacing, and the unit, if volts and amperes tell it."""
        factors = self._factors()
        spaced = self.profile.interval.kind == "spacing"
        if not spaced and not factors:
            return None, None
        times, active, apparent, unread = Times(), 0.0, 0.0, ""
        when = [self.layout.place(name) for name in self.profile.time.columns]
        power = self.layout.place(column)
        try:
            for rows in pieces:
                texts = joined(rows.fields, when)
                starts = self.clock.many(texts)
                known = starts[starts > LEAST]
                times.add_all(known if (np.diff(known) > 0).all() else np.unique(known))
                if not len(known) and not len(times):
                    unread = unread or next((text for text in texts if text.strip()), "")
                if factors:
                    for fields, start in zip(rows.fields, starts.tolist(), strict=True):
                        numbers = _numbers(fields, (power, *factors)) if start > LEAST else None
                        if numbers is not None:
                            active += numbers[0]
                            apparent += numbers[1] * numbers[2]
            if unread and not len(times):
                forms = " or ".join(self.profile.time.formats)
                words = f"{self.layout.name}: {unread[:40]} is no time of the form {forms}, nor is any other"
                raise NotSuchFile(other_order(self.layout, self.profile, self.clock) if self.clock.swapped else words)
            spacing = times.spacing(self.said.interval_ms) if spaced else None
        except UnclearInterval as error:
            raise NotSuchFile(f"{self.layout.name}: {error}") from None
        return spacing, _measured(active, apparent, self.profile.value.units)

    @property
    def measures(self) -> bool:
        """Whether the file has columns of volts and amperes."""
        return bool(self._factors())

    def _factors(self) -> tuple[int, ...]:
        columns = self.profile.value.volts_amperes
        if not columns or not all(map(self.layout.has, columns)):
            return ()
        return tuple(map(self.layout.place, columns))


def other_order(layout: TableLayout, profile: Profile, clock: Clock) -> str:
    """Why a file is refused in which a time has day and month in another order."""
    return (
        f"{layout.name}: {clock.swapped} has day and month in another order than the profile {profile.name}, and so "
        "may all others"
    )


def joined(fields: Fields, places: Sequence[int]) -> Sequence[str]:
    """The texts of one column, or of several with a blank between them."""
    if len(places) == 1:
        return fields.column(places[0])
    return list(map(" ".join, zip(*map(fields.column, places), strict=True)))


def _numbers(fields: Sequence[str], places: Sequence[int]) -> Sequence[float] | None:
    try:
        found = [float(fields[place]) for place in places]
    except ValueError:
        return None
    return found if all(map(np.isfinite, found)) else None


def _measured(active: float, apparent: float, units: Sequence[str]) -> str | None:
    """The unit in which the sum of active power fits the sum of volts times amperes, if one does.

    Active power is no more than apparent power, and a dwelling's is far more than a thirtieth of it.
    """
    watts = {"W": 1, "kW": 1_000, "MW": 1_000_000}
    fitting = [
        unit for unit in units if unit in watts and apparent > 0 and _LEAST_SHARE < active * watts[unit] / apparent < 3
    ]
    return fitting[0] if fitting else None
