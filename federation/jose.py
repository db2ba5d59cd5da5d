"""JWS as all signed objects use it: compact, Ed25519 (RFC 8037, named as in RFC 9864), exactly three header fields.

One algorithm and a `typ` for each kind of object, so that no signature can be taken for one of another kind. Keys are
named by their RFC 7638 thumbprint (SHA-256, base64url). The payload is bytes of JSON, which are kept as they came.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from errors import OperatorError
from federation.strict_json import BadJson, loads

ALGORITHM = "Ed25519"

Type = Literal[
    "sistercity-identity",
    "sistercity-revocation",
    "sistercity-agreement",
    "sistercity-head",
    "client-authentication+jwt",
]
"""What is signed. The last one is an access assertion (RFC 7523)."""

KeyOf = Callable[[str], OKPKey | None]
"""Gives the public key with a thumbprint, or None if it is not one that may sign here."""

_LONGEST = 2**20


class _Registry(jws.JWSRegistry):
    """joserfc refuses payloads above 128,000 bytes otherwise."""

    max_payload_length = _LONGEST


_REGISTRY = _Registry(algorithms=[ALGORITHM])

_FIELD = 2**255 - 19
_EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _EIGHTH, _FIELD - _EIGHTH})
"""The y of Ed25519's points whose order divides 8 (RFC 8032 section 5.1)."""


class BadSignature(OperatorError):
    """The object is not signed as it must be. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def new_key() -> OKPKey:
    """A new private key."""
    return OKPKey.generate_key("Ed25519", auto_kid=False)


def public_key(jwk: object) -> OKPKey:
    """The public key of a JWK: an object of exactly kty, crv and x. Raises `BadSignature` ("bad-key")."""
    wanted = {"kty": "OKP", "crv": "Ed25519"}
    if not isinstance(jwk, dict) or set(jwk) != {"kty", "crv", "x"} or {**jwk, **wanted, "x": str(jwk["x"])} != jwk:
        raise BadSignature("bad-key", "a key must be a JWK with kty OKP, crv Ed25519, x, and nothing else")
    try:
        _check_point(_unpadded(jwk["x"]))
        return OKPKey.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError):
        raise BadSignature("bad-key", "the x of a key is no Ed25519 public key") from None


def jwk_of(key: OKPKey) -> dict[str, str]:
    """The public part of a key, as `public_key` takes it."""
    found: dict[str, Any] = key.as_dict(private=False)
    return {name: str(found[name]) for name in ("kty", "crv", "x")}


def thumbprint(key: OKPKey) -> str:
    """The key's RFC 7638 thumbprint: 43 characters."""
    return str(key.thumbprint())


def sign(payload: bytes, key: OKPKey, typ: Type) -> str:
    """A compact JWS of `payload`, by a private key."""
    header = {"alg": ALGORITHM, "typ": typ, "kid": thumbprint(key)}
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


def verify(text: str, typ: Type, key_of: KeyOf, *, longest: int = _LONGEST) -> bytes:
    """The payload of a compact JWS of this type, if a key that `key_of` gives has signed it.

    Raises `BadSignature`: "malformed", "wrong-type", "wrong-algorithm", "unknown-key" or "forged".
    """
    key = key_of(signer(text, typ, longest=longest))
    if key is None:
        raise BadSignature("unknown-key", f"the {typ} is signed by a key that may not sign it")
    try:
        return jws.deserialize_compact(text, key, registry=_REGISTRY).payload
    except (JoseError, ValueError):
        raise BadSignature("forged", f"the signature of the {typ} is wrong") from None


def signer(text: str, typ: Type, *, longest: int = _LONGEST) -> str:
    """The thumbprint of the key that a compact JWS of this type claims to be signed by. Nothing is verified."""
    if len(text) > longest or not text.isascii() or text.count(".") != 2:
        raise BadSignature("malformed", f"a {typ} must be a compact JWS of at most {longest} characters")
    try:
        encoded, *others = text.split(".")
        header = loads(_unpadded(encoded))
        for part in others:
            _unpadded(part)  # joserfc reads several spellings of the same bytes
    except (ValueError, BadJson):
        raise BadSignature("malformed", f"the {typ} can't be read") from None
    return check_header(header, typ)


def claimed_payload(text: str, *, longest: int = _LONGEST) -> bytes:
    """The payload of a compact JWS, for one that holds the key that must have signed it. Nothing is verified.

    Raises `BadSignature` ("malformed").
    """
    if len(text) > longest or not text.isascii() or text.count(".") != 2:
        raise BadSignature("malformed", f"a compact JWS of at most {longest} characters is expected")
    try:
        return _unpadded(text.split(".")[1])
    except ValueError:
        raise BadSignature("malformed", "the payload of the JWS can't be read") from None


def check_header(header: object, typ: Type) -> str:
    """The `kid` of a protected header, which must hold exactly alg, typ and kid. Raises `BadSignature`."""
    if not isinstance(header, dict) or not {"alg", "typ", "kid"} <= set(header):
        raise BadSignature("malformed", f"the header of the {typ} must hold alg, typ and kid")
    if header["alg"] != ALGORITHM:
        raise BadSignature("wrong-algorithm", f"the {typ} must be signed with {ALGORITHM}, and with nothing else")
    if header["typ"] != typ:
        raise BadSignature("wrong-type", f"a {typ} is expected; this is something else")
    if set(header) != {"alg", "typ", "kid"} or not isinstance(header["kid"], str):
        raise BadSignature("malformed", f"the header of the {typ} must hold alg, typ and kid, and nothing else")
    return header["kid"]


def _check_point(x: bytes) -> None:
    """Raise `ValueError` unless `x` is 32 bytes, spelled canonically, and not one of the eight points of small order.

    Signatures can be made without any private key that such a point verifies for every message.
    """
    if len(x) != 32:
        raise ValueError("an Ed25519 key has 32 bytes")
    y = int.from_bytes(x, "little") % 2**255
    if y >= _FIELD or y in _SMALL_ORDER:
        raise ValueError("no key: this point verifies what nobody has signed")


def _unpadded(text: str) -> bytes:
    """base64url without padding, in its one canonical spelling. Raises `ValueError`."""
    raw = text.encode("ascii")
    try:
        found = urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if urlsafe_b64encode(found).rstrip(b"=") != raw:
        raise ValueError("not canonical")
    return found
