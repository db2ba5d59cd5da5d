"""A device: its codec, and which of the codec's fields are readings. A TOML file, of the package or of the operator."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from errors import OperatorError
from ingest.codecs import shipped
from ingest.codecs.sandbox import LONGEST_SOURCE, Codec
from ingest.tables.keys import TomlKeys, WrongKey
from ingest.tables.units import is_rate, scale, units_of
from schemas.catalogue import Metric, catalogue

FILL = "waste.fill"
LENGTHS: Mapping[str, Fraction] = {"mm": Fraction(1), "cm": Fraction(10), "m": Fraction(1_000)}
"""Units of a distance from a sensor to the surface below it, in millimetres."""

_TOP = ("title", "codec", "devices", "ports", "reading")
_READING = ("metric", "field", "unit", "least", "most", "source", "interval_s", "estimated_field", "estimated_is")


class DeviceError(OperatorError):
    """A device file that cannot be used; the message names the file, the key, and what is allowed."""


@dataclass(frozen=True, slots=True)
class FieldReading:
    """A field that is a reading. `path` leads to it in the codec's data; `unit` is one of the metric, or of `LENGTHS`.

    What is outside `least` and `most`, in that unit, is a fault of the sensor. `source` holds `{device}`. A reading is
    an estimate where the field at `estimated_path` is `estimated_is`. An interval ends when the uplink was received.
    """

    metric: Metric
    path: Sequence[str]
    unit: str
    least: int | None
    most: int | None
    source: str
    interval_ms: int
    estimated_path: Sequence[str]
    estimated_is: str

    def value(self, number: Fraction) -> int:
        """Smallest units of the metric, halves to even; of a distance, use `level`."""
        return round(number * scale(self.metric, self.unit, self.interval_ms))


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device: `patterns` of EUIs in lower case, the ports of its uplinks (none: all of them)."""

    name: str
    title: str
    codec: Codec
    patterns: Sequence[str]
    ports: Sequence[int]
    readings: Sequence[FieldReading]

    @property
    def dataset(self) -> str:
        """The dataset of all its metrics."""
        return self.readings[0].metric.dataset

    def fits(self, device: str) -> bool:
        """Whether a device with this EUI is of this kind."""
        return any(fnmatchcase(device, pattern) for pattern in self.patterns)


def at(data: object, path: Sequence[str]) -> Any:
    """The value at a path; None if there is none."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def shipped_devices() -> Sequence[str]:
    """The names that `load_device` knows, in alphabetical order."""
    found = (Path(entry.name) for entry in files(shipped).iterdir())
    return sorted(name.stem for name in found if name.suffix == ".toml")


def load_device(name_or_path: str | Path) -> Device:
    """Read and check a device file: one of `shipped_devices()`, or the path of a TOML file. Raises `DeviceError`."""
    path = Path(name_or_path)
    if not isinstance(name_or_path, Path) and path.suffix != ".toml":
        return _shipped(name_or_path)
    return _read(path, str(name_or_path))


def load_devices(names_or_paths: Sequence[str | Path]) -> Sequence[Device]:
    """Read and check the devices of one source, whose metrics must be of one dataset.

    Raises `DeviceError`, and `ingest.codecs.sandbox.CodecError` for a codec that cannot be loaded.
    """
    devices = [load_device(name) for name in names_or_paths]
    for device in devices:
        device.codec.check()
    if len({device.dataset for device in devices}) > 1:
        words = ", ".join(f"{device.name}: {device.dataset}" for device in devices)
        raise DeviceError(f"the devices of one source must be of one dataset ({words}); make a source of each")
    return devices


@cache
def _shipped(name: str) -> Device:
    if name not in shipped_devices():
        known = ", ".join(shipped_devices())
        raise DeviceError(f"{name}: no such device is shipped; give {known} or the path of a .toml file")
    return _read(Path(str(files(shipped).joinpath(f"{name}.toml"))), name)


def _read(path: Path, where: str) -> Device:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        keys = TomlKeys("the device", document, _TOP)
        code = path.parent / keys.text("codec")
        if code.stat().st_size > LONGEST_SOURCE:
            raise keys.wrong("codec", f"the file has more than {LONGEST_SOURCE} bytes")
        return _device(keys, path.stem, code.name, code.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"{where}: cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DeviceError(f"{where}: is not TOML: {error}") from None
    except WrongKey as error:
        raise DeviceError(f"{where}: {error}") from None


def _device(keys: TomlKeys, name: str, code: str, source: str) -> Device:
    readings = tuple(_reading(item) for item in keys.tables("reading", _READING))
    if not readings:
        raise WrongKey("the device has no [[reading]]")
    if len({reading.metric.dataset for reading in readings}) > 1:
        raise WrongKey("the readings are of metrics of two datasets; make a device of each")
    ports = keys.texts("ports", ())
    if not all(port.isascii() and port.isdigit() and 0 < int(port) < 256 for port in ports):
        raise keys.wrong("ports", 'they must be texts of numbers from 1 to 255, such as ["85"]')
    patterns = tuple(pattern.lower() for pattern in keys.texts("devices", ("*",)))
    return Device(name, keys.text("title"), Codec(code, source), patterns, tuple(map(int, ports)), readings)


def _reading(keys: TomlKeys) -> FieldReading:
    known = [metric.name for metric in catalogue().values() if units_of(metric)]
    metric = catalogue()[keys.one_of("metric", known)]
    lengths = LENGTHS if metric.name == FILL else {}
    unit = keys.one_of("unit", [*units_of(metric), *lengths])
    has_interval = "interval_s" in keys
    if has_interval == (metric.reading == "moment"):
        raise WrongKey(
            f"{keys.label}: {metric.name} is of {metric.reading}s, so interval_s must be there only if of one"
        )
    if is_rate(unit):
        raise keys.wrong("unit", "a device's power is that of one moment; give a field with energy")
    interval = keys.whole("interval_s", 1, 3_600, 3_600) * 1_000 if has_interval else 0
    source = keys.text("source", "{device}")
    if source.count("{device}") != 1 or "{" in source.replace("{device}", ""):
        raise keys.wrong("source", 'it must hold {device} once, such as "{device}/2"')
    if ("estimated_field" in keys) != ("estimated_is" in keys):
        raise WrongKey(f"{keys.label} needs both estimated_field and estimated_is, or neither")
    limit = 10**12
    return FieldReading(
        metric=metric,
        path=tuple(keys.text("field").split(".")),
        unit=unit,
        least=keys.whole("least", -limit, limit) if "least" in keys else None,
        most=keys.whole("most", -limit, limit) if "most" in keys else None,
        source=source,
        interval_ms=interval,
        estimated_path=tuple(keys.text("estimated_field", "-").split(".")),
        estimated_is=keys.any_text("estimated_is", ""),
    )
