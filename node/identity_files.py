"""Where this machine's identity keys and identity document lie, by the settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from node.settings import settings

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey


def identity_folder() -> Path:
    """The folder of `sistercity identity`: keys, and the newest document that was made here."""
    return settings().home / "identity"


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
