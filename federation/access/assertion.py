"""Access assertions: a JWT (RFC 7523) by which a city asks another for a token, signed with its `access` key.

Pure: who may sign is given as a function, and the time as a value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Final

from joserfc.jwk import OKPKey

from federation.jose import BadSignature, claimed_payload, sign, verify
from federation.strict_json import BadJson, dumps, loads

LIFE_S = 60
"""An assertion is good for at most this long."""
LEEWAY_S = 60
"""The clocks of two cities may be this far apart."""

_TYPE: Final = "client-authentication+jwt"
_LONGEST = 4096
_CLAIMS = ("iss", "sub", "aud", "jti")
_LONGEST_JTI = 64
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")

KeyOf = Callable[[str, str], OKPKey | None]
"""Gives the key for an issuer's thumbprint and a `kid`: an access key of that city, valid now; else None."""


class BadAssertion(Exception):
    """The assertion proves nothing. `reason` is a short, fixed word; the text says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Assertion:
    """A city has proven that it asks. `issuer` is its identity's thumbprint; `text` is what it signed."""

    issuer: str
    jti: str
    text: str


def assertion(key: OKPKey, issuer: str, audience: str, now_ms: int) -> str:
    """An assertion by the city with the thumbprint `issuer`, for the city with the thumbprint `audience`.

    `key` is a private key of use `access`. Good once, for a minute from `now_ms` (milliseconds since 1970, UTC).
    """
    now = now_ms // 1000
    claims = {
        "iss": issuer,
        "sub": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + LIFE_S,
        "jti": token_urlsafe(16),
    }
    return sign(dumps(claims), key, _TYPE)


def check_assertion(text: str, *, audience: str, key_of: KeyOf, now_ms: int) -> Assertion:
    """The assertion, if a city that `key_of` knows has signed it for `audience` and it is valid at `now_ms`.

    Whether its `jti` was used before is not known here. Raises `BadAssertion`: a reason of
    `federation.jose.BadSignature`, or "malformed", "other-identity", "wrong-audience", "expired",
    "not-yet-valid" or "too-long".
    """
    try:
        claimed = _claims(claimed_payload(text, longest=_LONGEST))
        verify(text, _TYPE, lambda kid: key_of(claimed["iss"], kid), longest=_LONGEST)
    except BadSignature as error:
        raise BadAssertion(error.reason, str(error)) from None
    if claimed["aud"] != audience:
        raise BadAssertion("wrong-audience", "the assertion is for another city")
    _check_times(claimed, now_ms / 1000)
    return Assertion(claimed["iss"], claimed["jti"], text)


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        found = loads(payload)
    except BadJson as error:
        raise BadAssertion("malformed", f"the claims are {error}") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _CLAIMS):
        raise BadAssertion("malformed", f"the claims must hold the texts {', '.join(_CLAIMS)}")
    if found["sub"] != found["iss"]:
        raise BadAssertion("other-identity", "iss and sub must both be the thumbprint of the city that asks")
    if not _THUMBPRINT.fullmatch(found["iss"]):
        raise BadAssertion("malformed", "iss must be a thumbprint: 43 letters, digits, hyphens or underscores")
    # PostgreSQL stores no NUL, and a jti is shown to operators.
    if not (0 < len(found["jti"]) <= _LONGEST_JTI and found["jti"].isascii() and found["jti"].isprintable()):
        raise BadAssertion("malformed", f"jti must have 1 to {_LONGEST_JTI} printable ASCII characters")
    if not all(_whole(found.get(name)) for name in ("iat", "exp")) or not _whole(found.get("nbf", 0)):
        raise BadAssertion("malformed", "iat and exp, and nbf if it is there, must be whole seconds since 1970")
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _check_times(claimed: dict[str, Any], now: float) -> None:
    issued, expires = claimed["iat"], claimed["exp"]
    if expires <= issued:
        raise BadAssertion("malformed", "exp must be later than iat")
    if expires > issued + LIFE_S:
        raise BadAssertion("too-long", f"an assertion is valid for at most {LIFE_S} s: exp lies that far after iat")
    if now >= expires + LEEWAY_S:
        raise BadAssertion("expired", "the assertion has expired; compare the two clocks")
    if max(issued, claimed.get("nbf", issued)) > now + LEEWAY_S:
        raise BadAssertion("not-yet-valid", "the assertion is from the future; compare the two clocks")
