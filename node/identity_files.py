"""This machine's identity keys, identity document and prepared revocation: where they lie, and how they are changed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from node.settings import settings
from node.wiring import CommandError

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

    from federation.identity.document import Identity

_MOST_BYTES = 2**19


def identity_folder() -> Path:
    """The folder of `sistercity identity`: keys, and the newest document that was made here."""
    return settings().home / "identity"


def identity_key_path() -> Path:
    """Where `sistercity identity create` puts the identity key, which is to be kept elsewhere."""
    return identity_folder() / "identity.key"


def document_path() -> Path:
    """The newest identity document that was made here."""
    return identity_folder() / "identity.jws"


def revocation_path() -> Path:
    """The statement that ends the identity: signed in advance, for the safe."""
    return identity_folder() / "revocation.jws"


def key_path(use: Literal["publish", "access"]) -> Path:
    """The file of this machine's online key of a use."""
    named = settings().publish_key if use == "publish" else settings().access_key
    return named or identity_folder() / f"{use}.key"


def online_keys(use: Literal["publish", "access"]) -> "list[OKPKey]":
    """This machine's private keys of a use; none if it has none. Raises `KeyFileError`.

    A file that a setting names must be there.
    """
    from federation.identity.keys import KeyFileError, held_keys

    path = key_path(use)
    found = held_keys(path, use)
    if not found and path.parent != identity_folder():
        raise KeyFileError(f"SISTERCITY_{use.upper()}_KEY names {path}, and there is no such file")
    return found


def read_document() -> "Identity":
    """The identity in the folder, whatever its time. Raises `CommandError` and `BadIdentity`."""
    from federation.identity.document import open_identity

    path = document_path()
    if not path.exists():
        raise CommandError(
            f"there is no identity in {path.parent}: `sistercity identity create` makes one. Where the city has one,"
            " copy its newest identity.jws there; any node of the city gives it: GET /v1/identity"
        )
    return open_identity(read_text(path), pinned=None, now_ms=None)


def read_text(path: Path) -> str:
    """The text of a file that holds a signed object. Raises `CommandError`."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise CommandError(f"{path} is larger than any identity document")
        return content.decode("ascii").strip("\r\n")
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} holds no signed object") from None


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a signed object into a file, at once or not at all, and onto the disk."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def stage_key(key: "OKPKey", use: Literal["publish", "access"], known: "Identity") -> None:
    """Write a new online key beside the one in use: the document that lists it is to be on the disk before it is used.

    A staged key that no document lists is left from a command that failed, and goes.
    """
    from federation.identity.keys import write_key

    staged = _staged(use)
    staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged.unlink(missing_ok=True)
    write_key(staged, key, use, known.city)


def take_staged_key(use: Literal["publish", "access"], known: "Identity") -> None:
    """Put the staged key, if there is one and `known` lists it, in the place of the one in use, which ends in .old."""
    from federation.identity.keys import old_file, read_key
    from federation.jose import thumbprint

    staged, path = _staged(use), key_path(use)
    if not staged.exists() or known.key_ever(use, thumbprint(read_key(staged, use))) is None:
        return
    if path.exists():
        path.replace(old_file(path))
    staged.replace(path)


def _staged(use: Literal["publish", "access"]) -> Path:
    path = key_path(use)
    return path.with_name(f"{path.name}.new")
