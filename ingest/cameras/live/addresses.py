"""The file of a city's running cameras: the address, the rate and the login of each.

    [[cameras]]
    source = "the camera's id in the register"
    url = "http://10.20.0.7/video.mjpg"
    rate = 2.0

Addresses and passwords are in this file and nowhere else: no error, no log and no `repr` shows them.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from errors import OperatorError
from ingest.cameras.sources import LEAST_RATE, MOST_RATE
from ingest.identity import LONGEST_ID, skeleton

Kind = Literal["mjpeg", "jpeg", "rtsp"]
MOST_CAMERAS = 100
"""Each has a thread; a process should not run more."""

_KEYS = frozenset({"source", "url", "rate", "kind", "user", "password", "password_file", "ca_file"})
_PORTS = {"http": 80, "https": 443, "rtsp": 554}
_LARGEST_FILE = 1 << 20
_LONGEST_URL = 2_000
_LONGEST_SECRET = 1_000


class CameraFileError(OperatorError):
    """A file of cameras that can't be used. The text names the camera by its number and the key, and no value."""


@dataclass(frozen=True, slots=True)
class Address:
    """A running camera: `number` is its place in the file, from 1, `rate` the pictures a second that it owes.

    `kind` is None if it follows from the camera's answer. `ca_file` holds the certificate authorities to trust.
    """

    number: int
    source: str = field(repr=False)
    url: str = field(repr=False)
    rate: float
    kind: Kind | None = None
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    ca_file: Path | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Name or IP address; an IPv6 address is without brackets."""
        return self._split.hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL, or the default of its scheme."""
        return self._split.port or _PORTS[self._split.scheme]

    @property
    def label(self) -> str:
        """The camera's name in logs: its number and its host; without the host if that contains the source's id."""
        if self.source.lower() in self.host.lower():
            return f"camera {self.number}"
        return f"camera {self.number} ({self.host}:{self.port})"

    @property
    def _split(self) -> SplitResult:
        return urlsplit(self.url)


class _Wrong(Exception):
    """What is wrong with one camera, before the file and the number are named."""


def load_cameras(path: Path) -> tuple[Address, ...]:
    """Read and check a file of cameras. Relative paths in it start at its folder. Raises `CameraFileError`."""
    try:
        cameras = _document(path).get("cameras")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:  # the parser's text may quote a password
        why = error.strerror if isinstance(error, OSError) else "it is not TOML"
        raise CameraFileError(f"{path}: cannot be read: {why}") from None
    if not isinstance(cameras, list) or not 1 <= len(cameras) <= MOST_CAMERAS:
        raise CameraFileError(f"{path}: there must be 1 to {MOST_CAMERAS} tables [[cameras]]")
    addresses = []
    for number, values in enumerate(cameras, start=1):
        try:
            addresses.append(_address(number, values, path.parent))
        except _Wrong as wrong:
            raise CameraFileError(f"{path}: camera {number}: {wrong}") from None
    [(source, times)] = Counter(skeleton(address.source) for address in addresses).most_common(1)
    if times > 1:
        twice = " and ".join(str(address.number) for address in addresses if skeleton(address.source) == source)
        raise CameraFileError(f"{path}: the cameras {twice} have the same source")
    return tuple(addresses)


def _document(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > _LARGEST_FILE:
        raise CameraFileError(f"{path}: is too large for a file of cameras")
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    if unknown := sorted(set(document) - {"cameras"}):
        raise CameraFileError(f"{path}: has the unknown key {unknown[0]}; it may hold [[cameras]] only")
    return document


def _address(number: int, values: object, folder: Path) -> Address:
    if not isinstance(values, dict):
        raise _Wrong("is not a table")
    if set(values) - _KEYS:
        raise _Wrong(f"has a key other than {', '.join(sorted(_KEYS))}")
    source = _text(values, "source", LONGEST_ID)
    url = _text(values, "url", _LONGEST_URL)
    user, password = _login(values, folder)
    return Address(
        number=number,
        source=source,
        url=url,
        rate=_rate(values),
        kind=_kind(values, _scheme(url)),
        user=user,
        password=password,
        ca_file=_file(values, "ca_file", folder),
    )


def _text(values: Mapping[str, object], key: str, longest: int) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise _Wrong(f"needs {key}, a printable text of at most {longest} characters")
    return value


def _rate(values: Mapping[str, object]) -> float:
    rate = values.get("rate")
    # `not <=` also rejects nan, which TOML allows.
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not LEAST_RATE <= rate <= MOST_RATE:
        raise _Wrong(f"needs rate, pictures a second, from {LEAST_RATE} to {MOST_RATE:.0f}")
    return float(rate)


def _scheme(url: str) -> str:
    try:
        split = urlsplit(url)
        usable = bool(split.hostname) and split.port != 0 and url.isascii() and " " not in url
    except ValueError:
        usable = False
    if not usable or split.scheme not in _PORTS or split.fragment:
        raise _Wrong("needs url, an address of http, https or rtsp, in ASCII")
    if "@" in split.netloc:
        raise _Wrong("has user or password in its url: give them as user and password")
    return split.scheme


def _kind(values: Mapping[str, object], scheme: str) -> Kind | None:
    kind: Any = values.get("kind")
    if kind is not None and kind not in get_args(Kind):
        raise _Wrong(f"has a kind other than {', '.join(get_args(Kind))}")
    if (kind == "rtsp") != (scheme == "rtsp") and not (kind is None and scheme == "rtsp"):
        raise _Wrong("has a kind that does not go with the scheme of its url")
    return "rtsp" if scheme == "rtsp" else kind


def _login(values: Mapping[str, object], folder: Path) -> tuple[str | None, str]:
    """User and password. A line break at the end of a password file is not part of the password."""
    if "user" not in values:
        if {"password", "password_file"} & set(values):
            raise _Wrong("has a password without a user")
        return None, ""
    user = _text(values, "user", _LONGEST_SECRET)
    if ":" in user:
        raise _Wrong("has a colon in its user, which no login can hold")
    if "password" in values and "password_file" in values:
        raise _Wrong("has both password and password_file")
    path = _file(values, "password_file", folder)
    if path is None:
        return user, _text(values, "password", _LONGEST_SECRET)
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n") if path.stat().st_size <= _LONGEST_SECRET else ""
    except (OSError, UnicodeDecodeError):
        password = ""
    return user, _text({"password": password}, "password", _LONGEST_SECRET)


def _file(values: Mapping[str, object], key: str, folder: Path) -> Path | None:
    if key not in values:
        return None
    path = folder / _text(values, key, _LONGEST_URL)
    if not path.is_file():
        raise _Wrong(f"has {key}, but there is no such file")
    return path
