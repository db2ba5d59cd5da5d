"""The fields of an identity document and of its revocation, as JSON holds them (docs/wire.md)."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from addresses import is_safe_on_its_way
from federation.wire import Format, Instant, Name, Text

MOST_KEYS = 500
MOST_ADDRESSES = 8


def check_address(address: str) -> str:
    """An address of a node. Raises `ValueError` unless it is https://, or http:// to the machine itself, and no more
    than scheme, host, port and path."""
    parts = urlsplit(address)
    if not address.isascii() or any(character <= " " for character in address) or not parts.hostname:
        raise ValueError("an address is ASCII, without blanks, and names a host")
    if not is_safe_on_its_way(parts):
        raise ValueError("an address begins with https:// (http:// only to the machine itself)")
    if "@" in parts.netloc or "?" in address or "#" in address or "\\" in address:
        raise ValueError("an address has no user, query or fragment")
    if parts.port == 0:  # reading it raises ValueError for a port that is none
        raise ValueError("0 is no port")
    return address


CityId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Thumbprint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
NodeAddress = Annotated[str, StringConstraints(max_length=200), AfterValidator(check_address)]
Jwk = dict[str, object]


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class OnlineKeyFields(_Fields):
    """An online key as the document lists it."""

    use: Literal["publish", "access"]
    key: Jwk
    not_before: Instant
    not_after: Instant


class RevokedKeyFields(_Fields):
    """An online key that is revoked, as the document lists it."""

    kid: Thumbprint
    revoked_at: Instant
    reason: Text


class IdentityFields(_Fields):
    """The payload of an identity document."""

    format: Format
    city: CityId
    name: Name
    addresses: list[NodeAddress] = Field(max_length=MOST_ADDRESSES)
    contact: Name
    version: int = Field(ge=1, lt=2**31)
    issued_at: Instant
    expires_at: Instant
    identity_key: Jwk
    keys: list[OnlineKeyFields] = Field(max_length=MOST_KEYS)
    revoked: list[RevokedKeyFields] = Field(max_length=MOST_KEYS)


class RevocationFields(_Fields):
    """The payload of a revocation of an identity."""

    format: Format
    city: CityId
    identity_key: Jwk
    revoked_at: Instant
    reason: Text
