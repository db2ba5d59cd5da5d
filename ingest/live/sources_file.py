"""The list of live sources: a TOML file."""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from errors import OperatorError
from ingest.codecs.device import Device, load_devices
from ingest.files.lorawan import LoraWan
from ingest.files.reading import FileFormat
from ingest.tables.keys import TomlKeys, WrongKey
from ingest.tables.profile import Profile, Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table

_CONTENT = ("profile", "source", "zone", "unit", "interval_s", "column", "devices")
_FOLDER = ("name", "path", "pattern", "settle_s", "silent_h", *_CONTENT)
_MOST_SOURCES = 1_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}", re.ASCII)


class SourcesFileError(OperatorError):
    """A list of sources that cannot be used; the message names the file, the source, and what is wrong."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """Content that is a table, by its profile. `source` is the id in the register, where the profile names none."""

    profile: Profile
    said: Said
    source: str | None


@dataclass(frozen=True, slots=True)
class DeviceContent:
    """Content that is uplinks of LoRaWAN devices, by their codecs."""

    devices: Sequence[Device]


SourceContent = TableContent | DeviceContent


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A watched folder: files whose names match `pattern`, whole when they have not changed for `settle_ms`."""

    name: str
    path: Path
    content: SourceContent
    pattern: str
    settle_ms: int
    silent_ms: int
    """After how long without a delivery it is silent; 0 for never."""


def form_of(content: SourceContent, zone: ZoneInfo, depth: Callable[[str, int], int | None]) -> FileFormat:
    """How content is read. `zone` is the city's; `depth` gives that of a container, as `LoraWan.registered` does."""
    if isinstance(content, DeviceContent):
        return LoraWan(registered=depth, devices=content.devices)
    return Table(content.profile, content.said, zone)


def load_sources(path: Path) -> Sequence[FolderSource]:
    """Read and check a list of sources. Paths in it are relative to its folder. Raises `SourcesFileError` and
    `ingest.tables.profile_file.ProfileError`, `ingest.codecs.device.DeviceError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourcesFileError(f"{path}: cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourcesFileError(f"{path}: is not TOML: {error}") from None
    try:
        top = TomlKeys("the list", document, ("folder",))
        sources = [_folder(keys, path.parent) for keys in top.tables("folder", _FOLDER)]
        if len(sources) > _MOST_SOURCES:
            raise WrongKey(f"the list has more than {_MOST_SOURCES} sources; divide it")
        if not sources:
            raise WrongKey("the list has no [[folder]]")
        for what in ("name", "path"):
            values = [str(getattr(source, what)) for source in sources]
            if twice := {value for value in values if values.count(value) > 1}:
                raise WrongKey(f"two sources have the {what} {twice.pop()}")
    except WrongKey as error:
        raise SourcesFileError(f"{path}: {error}") from None
    return sources


def _content(keys: TomlKeys, beside: Path) -> SourceContent:
    if "devices" in keys:
        if others := [key for key in _CONTENT if key in keys and key != "devices"]:
            raise WrongKey(f"{keys.label} has devices, and {others[0]}, which is for tables")
        names = keys.texts("devices")
        return DeviceContent(load_devices([beside / name if name.endswith(".toml") else name for name in names]))
    named = keys.text("profile")
    profile = load_profile(beside / named if named.endswith(".toml") else named)
    source = keys.text("source") if "source" in keys else None
    if (source is None) == (profile.source is None):
        words = "needs source: its profile names none" if source is None else "has source, but its profile names it"
        raise WrongKey(f"{keys.label} {words}")
    zone = keys.text("zone") if "zone" in keys else None
    try:
        if zone is not None:
            ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise keys.wrong("zone", 'it must be a zone such as "Europe/Oslo"') from None
    interval = keys.whole("interval_s", 1, 3_600 * 24 * 31) * 1_000 if "interval_s" in keys else None
    unit, column = (keys.text(key) if key in keys else None for key in ("unit", "column"))
    return TableContent(profile, Said(zone, unit, interval, column), source)


def _folder(keys: TomlKeys, beside: Path) -> FolderSource:
    name = keys.text("name")
    if not _NAME.fullmatch(name):
        raise keys.wrong("name", "it must be of small letters, digits and hyphens, at most 41")
    folder = (beside / keys.text("path")).resolve()
    if not folder.is_dir():
        raise keys.wrong("path", "there is no such folder")
    return FolderSource(
        name=name,
        path=folder,
        content=_content(keys, beside),
        pattern=keys.text("pattern", "*"),
        settle_ms=keys.whole("settle_s", 1, 86_400, 10) * 1_000,
        silent_ms=keys.whole("silent_h", 0, 8_784, 48) * 3_600_000,
    )
