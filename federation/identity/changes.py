"""The next version of a city's identity document: made, renewed, with a key rotated or revoked. Pure."""

from collections.abc import Sequence
from typing import Literal

from joserfc.jwk import OKPKey

from federation import jose
from federation.identity.document import (
    LONGEST_VALIDITY_MS,
    BadIdentity,
    Identity,
    OnlineKey,
    RevokedKey,
    sign_identity,
)

KEY_VALIDITY_MS = 366 * 86_400_000
"""How long a new online key is valid, unless it is rotated before."""

OnlineUse = Literal["publish", "access"]


def listed(use: OnlineUse, key: OKPKey, now_ms: int) -> OnlineKey:
    """A new online key as the document lists it, from now on; only its public half."""
    public = jose.public_key(jose.jwk_of(key))
    return OnlineKey(use, jose.thumbprint(key), now_ms, now_ms + KEY_VALIDITY_MS, public)


def rotated(known: Identity, new: OnlineKey, overlap_ms: int) -> list[OnlineKey]:
    """The keys with a new one: those of its use end `overlap_ms` after it begins, if they would not end before."""
    ends = new.not_before + overlap_ms
    return [*(_ending(key, ends) if key.use == new.use else key for key in known.keys), new]


def _ending(key: OnlineKey, ends: int) -> OnlineKey:
    return OnlineKey(key.use, key.kid, key.not_before, min(key.not_after, ends), key.key)


def revoked(known: Identity, kids: Sequence[str], now_ms: int, reason: str) -> list[RevokedKey]:
    """The revocations with new ones of these keys. Raises `BadIdentity` ("unknown-key") if one is not listed."""
    unknown = set(kids) - {key.kid for key in known.keys}
    if unknown:
        words = f"{known.city}'s identity document lists no key {', '.join(sorted(unknown))}"
        raise BadIdentity("unknown-key", words)
    added = [RevokedKey(kid, now_ms, reason) for kid in kids if not known.is_revoked(kid)]
    return [*known.revoked, *added]


def usable(known: Identity, use: OnlineUse, now_ms: int) -> list[str]:
    """The kids of the keys of a use that may sign now or later, and are not revoked."""
    return [
        key.kid for key in known.keys if key.use == use and now_ms < key.not_after and not known.is_revoked(key.kid)
    ]


def next_version(
    key: OKPKey,
    known: Identity,
    now_ms: int,
    *,
    name: str | None = None,
    addresses: Sequence[str] | None = None,
    contact: str | None = None,
    keys: Sequence[OnlineKey] | None = None,
    revocations: Sequence[RevokedKey] | None = None,
) -> str:
    """The next version of a document, valid for 90 days from now on, signed by the identity key.

    What is not given stays. Raises `BadIdentity`, also if `key` is not the key that the document names.
    """
    if jose.thumbprint(key) != known.thumbprint:
        raise BadIdentity("other-identity", f"this identity key is not the one that {known.city}'s document names")
    return sign_identity(
        key,
        city=known.city,
        name=known.name if name is None else name,
        addresses=known.addresses if addresses is None else addresses,
        contact=known.contact if contact is None else contact,
        version=known.version + 1,
        issued_at=now_ms,
        expires_at=now_ms + LONGEST_VALIDITY_MS,
        keys=known.keys if keys is None else keys,
        revoked=known.revoked if revocations is None else revocations,
    )
