"""The tables of the package as forms of files, by their profiles."""

from functools import cache
from zoneinfo import ZoneInfo

from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table

_UTC = ZoneInfo("UTC")
_profile = cache(load_profile)


def profiled(name: str, said: Said | None = None, city: ZoneInfo = _UTC) -> Table:
    """A table of the package's profile, in a city of this zone."""
    return Table(_profile(name), said or Said(), city)


def solar(unit: str | None = None, interval_ms: int | None = None, column: str | None = None) -> Table:
    return profiled("solar", Said(unit=unit, interval_ms=interval_ms, column=column))


def household(zone: ZoneInfo, unit: str | None = None, interval_ms: int | None = None) -> Table:
    return profiled("household", Said(zone=zone.key, unit=unit, interval_ms=interval_ms))


def trash_wheel(city: ZoneInfo, unit: str | None = None) -> Table:
    return profiled("trash-wheel", Said(unit=unit), city)


def dsny(city: ZoneInfo, unit: str | None = None) -> Table:
    return profiled("dsny", Said(unit=unit), city)
