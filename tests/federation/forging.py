"""Compact JWS as an attacker writes them: any header, any payload, signed by a key or with any bytes."""

import json
from base64 import urlsafe_b64encode
from typing import Any

from joserfc.jwk import OKPKey

from federation.jose import ALGORITHM, thumbprint


def b64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def header(key: OKPKey, typ: str, **changed: object) -> dict[str, object]:
    """The protected header as it must be, with changes; a field that is changed to None is left out."""
    fields = {"alg": ALGORITHM, "typ": typ, "kid": thumbprint(key), **changed}
    return {name: value for name, value in fields.items() if value is not None}


def raw_signature(key: OKPKey, content: bytes) -> bytes:
    """The 64 bytes of an Ed25519 signature."""
    private: Any = key.private_key
    made: bytes = private.sign(content)
    return made


def jws(header: dict[str, object] | bytes, payload: bytes, key: OKPKey | None, signature: bytes = b"") -> str:
    """A compact JWS with a right signature by `key`; with `signature` if there is no key."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    signed = f"{b64(head)}.{b64(payload)}"
    made = signature if key is None else raw_signature(key, signed.encode())
    return f"{signed}.{b64(made)}"
