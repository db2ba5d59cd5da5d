"""A city's identity document, and the statement that revokes an identity (docs/wire.md). Pure: time is a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeVar

from joserfc.jwk import OKPKey
from pydantic import BaseModel, ValidationError

from errors import OperatorError
from federation import jose
from federation.identity.fields import IdentityFields, OnlineKeyFields, RevocationFields, RevokedKeyFields
from federation.strict_json import BadJson, dumps, loads
from federation.wire import instant, rfc3339

LONGEST_VALIDITY_MS = 90 * 86_400_000
LEEWAY_MS = 60_000
"""How far two cities' clocks may be apart."""

_LONGEST = 2**18

F = TypeVar("F", bound=BaseModel)


class BadIdentity(OperatorError):
    """An identity document or a revocation is refused. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """A public key of one use: from `not_before` up to, not including, `not_after` (ms). `kid` is its thumbprint."""

    use: Literal["publish", "access"]
    kid: str
    not_before: int
    not_after: int
    key: OKPKey = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """An online key that is revoked, by its thumbprint; since when (ms), and why in words."""

    kid: str
    revoked_at: int
    reason: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A city, as its identity document says. Times in ms since 1970 UTC; `document` is the compact JWS itself.

    `thumbprint` names `identity_key`, the key that signed the document, and is the city's identity.
    """

    city: str
    name: str
    thumbprint: str
    addresses: tuple[str, ...]
    contact: str
    version: int
    issued_at: int
    expires_at: int
    keys: tuple[OnlineKey, ...]
    revoked: tuple[RevokedKey, ...]
    document: str
    identity_key: OKPKey = field(compare=False, repr=False)

    def key_for(self, use: Literal["publish", "access"], kid: str, at_ms: int) -> OKPKey | None:
        """The key of this use that is valid at `at_ms`, with a minute of leeway, and not revoked."""
        for listed in self.keys:
            if (listed.use, listed.kid) == (use, kid) and not self.is_revoked(kid):
                valid = listed.not_before - LEEWAY_MS <= at_ms < listed.not_after + LEEWAY_MS
                return listed.key if valid else None
        return None

    def key_ever(self, use: Literal["publish", "access"], kid: str) -> OKPKey | None:
        """The key of this use, whatever its time, unless it is revoked: for what was received before."""
        found = [listed.key for listed in self.keys if (listed.use, listed.kid) == (use, kid)]
        return found[0] if found and not self.is_revoked(kid) else None

    def signing_key(self, use: Literal["publish", "access"], held: Sequence[OKPKey], at_ms: int) -> OKPKey | None:
        """Which of our own private keys signs at `at_ms`: the oldest that the document lists for it, and not revoked.

        The oldest, since after a rotation there are partners who have not seen the newer one yet.
        """
        private = {jose.thumbprint(key): key for key in held}
        valid = [
            listed
            for listed in self.keys
            if (listed.use, listed.kid in private) == (use, True)
            and listed.not_before <= at_ms < listed.not_after
            and not self.is_revoked(listed.kid)
        ]
        return private[min(valid, key=lambda listed: listed.not_before).kid] if valid else None

    def is_revoked(self, kid: str) -> bool:
        """Whether an online key is revoked. What it signed is refused then, whatever time it bears."""
        return any(revoked.kid == kid for revoked in self.revoked)


@dataclass(frozen=True, slots=True)
class Revocation:
    """The end of an identity: nothing under `thumbprint` counts any more. `revoked_at` in ms; `statement`: the JWS."""

    city: str
    thumbprint: str
    revoked_at: int
    reason: str
    statement: str


def sign_identity(
    key: OKPKey,
    *,
    city: str,
    name: str,
    addresses: Sequence[str],
    contact: str,
    version: int,
    issued_at: int,
    expires_at: int,
    keys: Sequence[OnlineKey],
    revoked: Sequence[RevokedKey] = (),
) -> str:
    """An identity document, signed by the identity key. Raises `BadIdentity` if a receiver would refuse it."""
    content = {
        "format": 1,
        "city": city,
        "name": name,
        "addresses": list(addresses),
        "contact": contact,
        "version": version,
        "issued_at": rfc3339(issued_at),
        "expires_at": rfc3339(expires_at),
        "identity_key": jose.jwk_of(key),
        "keys": [
            {
                "use": listed.use,
                "key": jose.jwk_of(listed.key),
                "not_before": rfc3339(listed.not_before),
                "not_after": rfc3339(listed.not_after),
            }
            for listed in keys
        ],
        "revoked": [
            {"kid": each.kid, "revoked_at": rfc3339(each.revoked_at), "reason": each.reason} for each in revoked
        ],
    }
    document = jose.sign(dumps(content), key, "sistercity-identity")
    open_identity(document, pinned=jose.thumbprint(key), now_ms=issued_at)
    return document


def open_identity(document: str, *, pinned: str | None, now_ms: int | None) -> Identity:
    """The identity that a document describes, if it is signed by the key that it names and is valid at `now_ms`.

    `pinned` is the thumbprint that it must have, None for a city that nobody has vouched for yet. Without `now_ms` its
    time is not checked: for documents that were accepted when they came. Raises `BadIdentity`: "malformed", "bad-key",
    "wrong-type", "wrong-algorithm", "forged", "wrong-signer", "other-identity", "two-uses", "too-long", "expired" or
    "not-yet-valid".
    """
    opened = _verified(document)
    _check_pinned(opened.thumbprint, pinned, "sistercity-identity")
    _check_times(opened, now_ms)
    return opened


@lru_cache(maxsize=64)
def _verified(document: str) -> Identity:
    """Kept, since a node opens the same documents with every request for a token, and one may list many keys."""
    fields, key = _opened(document, "sistercity-identity", IdentityFields)
    opened = Identity(
        city=fields.city,
        name=fields.name,
        thumbprint=jose.thumbprint(key),
        addresses=tuple(fields.addresses),
        contact=fields.contact,
        version=fields.version,
        issued_at=instant(fields.issued_at),
        expires_at=instant(fields.expires_at),
        keys=tuple(_online_key(listed) for listed in fields.keys),
        revoked=tuple(_revoked_key(revoked) for revoked in fields.revoked),
        document=document,
        identity_key=key,
    )
    _check_keys(opened)
    if not 0 < opened.expires_at - opened.issued_at <= LONGEST_VALIDITY_MS:
        raise BadIdentity("too-long", f"the identity document of {opened.city} must be valid for at most 90 days")
    return opened


def newer(known: Identity | None, received: Identity) -> bool:
    """Whether `received` is to take the place of what is known of this city; False if it is the very same document.

    Raises `BadIdentity`: "other-identity", "other-city", "lower-version", "other-document" of the same version, or
    "keys-dropped" if it no longer lists a key, or a revocation, that was listed.
    """
    if known is None:
        return True
    if received.thumbprint != known.thumbprint:
        raise BadIdentity("other-identity", f"{known.city} is known by another identity key than the document's")
    if received.city != known.city:
        raise BadIdentity("other-city", f"the identity of {known.city} claims to be {received.city} now")
    if received.version < known.version:
        words = f"version {received.version} of {known.city}'s identity document came after version {known.version}"
        raise BadIdentity("lower-version", words)
    if received.version == known.version:
        if jose.claimed_payload(received.document) != jose.claimed_payload(known.document):
            words = f"{known.city} has signed two identity documents of version {known.version}: call its contact"
            raise BadIdentity("other-document", words)
        return False
    kept = {(listed.use, listed.kid, listed.not_before) for listed in received.keys}
    lost = [listed.kid for listed in known.keys if (listed.use, listed.kid, listed.not_before) not in kept]
    lost += [revoked.kid for revoked in known.revoked if not received.is_revoked(revoked.kid)]
    if lost:
        words = f"version {received.version} of {known.city}'s identity document no longer lists {', '.join(lost)}"
        raise BadIdentity("keys-dropped", words)
    return True


def sign_revocation(key: OKPKey, *, city: str, revoked_at: int, reason: str) -> str:
    """The statement that ends the identity of `key`. Raises `BadIdentity` if a receiver would refuse it."""
    content = {
        "format": 1,
        "city": city,
        "identity_key": jose.jwk_of(key),
        "revoked_at": rfc3339(revoked_at),
        "reason": reason,
    }
    statement = jose.sign(dumps(content), key, "sistercity-revocation")
    open_revocation(statement, pinned=None)
    return statement


def open_revocation(statement: str, *, pinned: str | None) -> Revocation:
    """The revocation in a statement, which holds whatever time it bears. Raises `BadIdentity` as `open_identity`."""
    fields, key = _opened(statement, "sistercity-revocation", RevocationFields)
    thumbprint = jose.thumbprint(key)
    _check_pinned(thumbprint, pinned, "sistercity-revocation")
    return Revocation(fields.city, thumbprint, instant(fields.revoked_at), fields.reason, statement)


def _opened(text: str, typ: jose.Type, model: type[F]) -> tuple[F, OKPKey]:
    """The fields of an object that holds the identity key which signed it, with that key."""
    try:
        kid = jose.signer(text, typ, longest=_LONGEST)
        claimed = loads(jose.claimed_payload(text, longest=_LONGEST))
        key = jose.public_key(claimed.get("identity_key") if isinstance(claimed, dict) else None)
        if jose.thumbprint(key) != kid:
            raise BadIdentity("wrong-signer", f"the {typ} is not signed by the identity key that it names")
        jose.verify(text, typ, lambda _: key, longest=_LONGEST)
        return model.model_validate(claimed), key
    except jose.BadSignature as error:
        raise BadIdentity(error.reason, str(error)) from None
    except BadJson as error:
        raise BadIdentity("malformed", f"the {typ} can't be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        words = ascii(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")[:300]
        raise BadIdentity("malformed", f"the {typ} is not as it must be: {words}") from None


def _check_pinned(thumbprint: str, pinned: str | None, typ: jose.Type) -> None:
    if pinned not in (None, thumbprint):
        raise BadIdentity("other-identity", f"the {typ} is signed by another identity key than was agreed on")


def _online_key(listed: OnlineKeyFields) -> OnlineKey:
    try:
        key = jose.public_key(listed.key)
    except jose.BadSignature as error:
        raise BadIdentity(error.reason, f"an online key of the identity document is none: {error}") from None
    not_before, not_after = instant(listed.not_before), instant(listed.not_after)
    return OnlineKey(listed.use, jose.thumbprint(key), not_before, not_after, key)


def _revoked_key(revoked: RevokedKeyFields) -> RevokedKey:
    return RevokedKey(revoked.kid, instant(revoked.revoked_at), revoked.reason)


def _check_keys(opened: Identity) -> None:
    kids = [opened.thumbprint, *(listed.kid for listed in opened.keys)]
    if len(set(kids)) != len(kids):
        raise BadIdentity("two-uses", f"a key of {opened.city} is listed twice: each has one use")
    if opened.is_revoked(opened.thumbprint):
        raise BadIdentity("malformed", "an identity key is revoked by a statement of its own, not in the document")


def _check_times(opened: Identity, now_ms: int | None) -> None:
    if now_ms is None:
        return
    if now_ms < opened.issued_at - LEEWAY_MS:
        words = f"the identity document of {opened.city} is valid from {rfc3339(opened.issued_at)} on: check the clocks"
        raise BadIdentity("not-yet-valid", words)
    if now_ms >= opened.expires_at + LEEWAY_MS:
        words = f"the identity document of {opened.city} expired at {rfc3339(opened.expires_at)}: ask for a newer one"
        raise BadIdentity("expired", words)
