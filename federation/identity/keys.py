"""Private keys in files: one key a file, which says what the key is for and whose it is."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from errors import OperatorError
from federation.jose import BadSignature, public_key, thumbprint
from federation.strict_json import BadJson, dumps, loads

Use = Literal["identity", "publish", "access"]
"""What a key signs: the identity document and agreements; heads; access assertions."""

_WORDS = {
    "identity": "Private key of a city's identity. Keep it away from every server, in two places.",
    "publish": "Private key that signs what a city publishes. It lies only where the publisher runs.",
    "access": "Private key with which a city asks its partners. It lies only where the puller runs.",
}
_LONGEST = 10_000


class KeyFileError(OperatorError):
    """A file of a private key can't be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a file of a private key holds. `city` is the id of the city whose key it is."""

    use: Use
    city: str
    key: OKPKey


def write_key(path: Path, key: OKPKey, use: Use, city: str) -> None:
    """Write a private key to a new file that its owner alone can read (0600), and to the disk.

    Raises `KeyFileError` if the file exists: a key is never overwritten.
    """
    text = {"what": _WORDS[use], "use": use, "city": city, "kid": thumbprint(key), "key": key.as_dict(private=True)}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists, and a key is never overwritten: move it away first") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(dumps(text) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path, use: Use) -> OKPKey:
    """The private key in a file. Raises `KeyFileError` if it is for another use, or if others may read the file."""
    found = read_key_file(path)
    if found.use != use:
        raise KeyFileError(f"{path} holds a key for {found.use}, and one for {use} is needed here")
    return found.key


def held_keys(path: Path, use: Use) -> list[OKPKey]:
    """The private key in a file, and the one before it if a rotation left that beside it (`old_file`).

    None at all if neither file exists. Raises `KeyFileError`. `Identity.signing_key` says which one signs.
    """
    return [read_key(file, use) for file in (path, old_file(path)) if file.exists()]


def old_file(path: Path) -> Path:
    """Where the key lies that the one in `path` replaces, until its time is over."""
    return path.with_name(f"{path.name}.old")


def read_key_file(path: Path) -> KeyFile:
    """What a file of a private key holds. Raises `KeyFileError`, also if others than its owner may read the file."""
    try:
        with path.open("rb") as file:
            if wrong := readable_by_others(path, os.fstat(file.fileno()).st_mode):
                raise KeyFileError(wrong)
            content = file.read(_LONGEST)
    except OSError as error:
        raise KeyFileError(f"the key in {path} can't be read: {error.strerror}") from None
    return _parsed(path, content)


def readable_by_others(path: Path, mode: int) -> str | None:
    """What is wrong with the mode of a key's file, and what to do; None if its owner alone has access."""
    open_to_others = stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO)
    return f"others may read or write {path}, which holds a private key: chmod 600 {path}" if open_to_others else None


def _parsed(path: Path, content: bytes) -> KeyFile:
    try:
        found = loads(content)
        use, city, jwk = found["use"], found["city"], found["key"]
        if use not in get_args(Use) or not isinstance(city, str):
            raise ValueError
        key = OKPKey.import_key(jwk)
        public = public_key({name: jwk[name] for name in ("kty", "crv", "x")}).public_key
        if key.private_key is None or key.private_key.public_key() != public:
            raise ValueError  # the public half is another key's
    except (BadJson, BadSignature, JoseError, KeyError, TypeError, ValueError):
        raise KeyFileError(f"{path} holds no private key that `sistercity identity` made") from None
    return KeyFile(use, city, key)
