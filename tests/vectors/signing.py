"""Fixed test keys, and JWS made by hand: whatever header a test wants, also one that must be refused.

Nothing of the product is used here, so that the vectors are a second reading of docs/wire.md.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Json = dict[str, Any]


def b64(content: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    """JSON in one line without blanks, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@dataclass(frozen=True)
class FixedKey:
    """A key that follows from its name, the same in every run. The whole world knows it."""

    name: str

    @cached_property
    def seed(self) -> bytes:
        return sha256(f"sistercity test key, never to be used: {self.name}".encode()).digest()

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def jwk(self) -> Json:
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}

    @cached_property
    def thumbprint(self) -> str:
        """RFC 7638: the SHA-256 of the members that are required, in the order of their names."""
        return b64(sha256(compact(dict(sorted(self.jwk.items())))).digest())

    def header(self, typ: str, /, **changed: object) -> Json:
        """The protected header of a good signature, and what is changed of it; None leaves a member out."""
        whole = {"alg": "Ed25519", "typ": typ, "kid": self.thumbprint, **changed}
        return {name: value for name, value in whole.items() if value is not None}

    def signature(self, header: str, payload: str) -> str:
        return b64(self.private.sign(f"{header}.{payload}".encode()))

    def sign(self, payload: bytes | Json, typ: str, /, **changed: object) -> str:
        """A compact JWS."""
        header = b64(compact(self.header(typ, **changed)))
        text = b64(payload if isinstance(payload, bytes) else compact(payload))
        return f"{header}.{text}.{self.signature(header, text)}"


def unsigned(key: FixedKey, payload: Json, typ: str) -> str:
    """A JWS that says that it is not signed."""
    return f"{b64(compact(key.header(typ, alg='none')))}.{b64(compact(payload))}."


def confused(key: FixedKey, payload: Json, typ: str) -> str:
    """A JWS whose HMAC has the public key as its secret: whoever lets the header choose the algorithm accepts it."""
    text = f"{b64(compact(key.header(typ, alg='HS256')))}.{b64(compact(payload))}"
    return f"{text}.{b64(hmac.digest(key.private.public_key().public_bytes_raw(), text.encode(), 'sha256'))}"


def with_payload(text: str, payload: bytes | Json) -> str:
    """The JWS with another payload and the same signature."""
    header, _, signature = text.split(".")
    return f"{header}.{b64(payload if isinstance(payload, bytes) else compact(payload))}.{signature}"


def spoilt(text: str) -> str:
    """The JWS with one bit of its signature changed, and that in canonical base64url."""
    head, _, signature = text.rpartition(".")
    return f"{head}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"


IDENTITY = FixedKey("isfahan, identity")
PUBLISH = FixedKey("isfahan, publish")
OLD_PUBLISH = FixedKey("isfahan, publish, before")
ACCESS = FixedKey("isfahan, access")
SAIGON = FixedKey("ho-chi-minh-city, identity")
SAIGON_ACCESS = FixedKey("ho-chi-minh-city, access")
SAIGON_PUBLISH = FixedKey("ho-chi-minh-city, publish")
STRANGER = FixedKey("stranger, identity")

KEYS = (IDENTITY, PUBLISH, OLD_PUBLISH, ACCESS, SAIGON, SAIGON_ACCESS, SAIGON_PUBLISH, STRANGER)
