"""Signed heads: what a city says, at a time, of the ends of all its chains. Pure.

One signature covers every entry whose chain leads to a hash that the head names, and through the entries their bodies
and catalogues. So it is signed once when something was published, and a partner can show it to others. Times are
milliseconds since 1970, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc.jwk import OKPKey

from errors import OperatorError
from federation import jose
from federation.identity.document import LEEWAY_MS, Identity
from federation.publications.chain import BrokenChain, ChainEnd
from federation.publications.entries import FORMAT, hash_of, name_of, time_of, unsigned
from federation.strict_json import dumps, loads
from federation.wire import rfc3339

LASTS_MS = 7 * 24 * 3_600_000
"""How long a head is valid, at most."""

_MOST_METRICS = 300


class BadHead(OperatorError):
    """A head that can't be accepted. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head whose signature was verified. `ends` by metric; `payload` is what was signed, `document` the compact JWS,
    `kid` the key's thumbprint; `audit` vouches for the audit chains (None: there is none)."""

    city: str
    log: str
    number: int
    position: int
    issued_at: int
    expires_at: int
    ends: Mapping[str, ChainEnd]
    audit: str | None
    kid: str
    payload: bytes
    document: str


def sign_head(
    key: OKPKey,
    *,
    city: str,
    log: str,
    number: int,
    position: int,
    ends: Mapping[str, ChainEnd],
    audit: str | None,
    now_ms: int,
) -> str:
    """A head as compact JWS, by a private key of use `publish`. Metrics without an entry are left out."""
    named = {metric: {"sequence": e.sequence, "hash": e.hash} for metric, e in sorted(ends.items()) if e.hash}
    content = {
        "format": FORMAT,
        "city": city,
        "log": log,
        "number": number,
        "position": position,
        "issued_at": rfc3339(now_ms),
        "expires_at": rfc3339(now_ms + LASTS_MS),
        "metrics": named,
        "audit": audit,
    }
    return jose.sign(dumps(content), key, "sistercity-head")


def open_head(text: str, identity: Identity, now_ms: int | None) -> SignedHead:
    """A head as its city signed it. `now_ms` is the present; None for one that is kept, and may have expired.

    Raises `BadHead`: "unknown-key" (also one of another use, one that is revoked, whatever time the head bears, and one
    whose time does not include the head's), "other-city", "expired", "not-yet-valid", "too-long", "unknown-format",
    "malformed", "wrong-type", "wrong-algorithm" or "forged".
    """
    try:
        kid = jose.signer(text, "sistercity-head")
        if identity.is_revoked(kid):
            raise BadHead("unknown-key", f"the head is signed by a key that {identity.city} has revoked")
        payload = jose.verify(text, "sistercity-head", lambda kid: identity.key_ever("publish", kid))
        head = _read(payload, text, kid)
    except jose.BadSignature as error:
        raise BadHead(error.reason, str(error)) from None
    if head.city != identity.city:
        raise BadHead("other-city", f"the head is of {head.city!r}, not of {identity.city!r}")
    if identity.key_for("publish", head.kid, head.issued_at) is None:
        raise BadHead("unknown-key", f"the key of the head was not valid at {rfc3339(head.issued_at)}")
    if now_ms is not None:
        if head.issued_at > now_ms + LEEWAY_MS:
            raise BadHead("not-yet-valid", f"the head is of {rfc3339(head.issued_at)}: a clock is wrong")
        if head.expires_at <= now_ms - LEEWAY_MS:
            raise BadHead("expired", f"the head of {head.city} expired at {rfc3339(head.expires_at)}")
    return head


def contradiction(one: SignedHead, other: SignedHead) -> str | None:
    """What two heads that one city signed can't both say, in words; None if both can be true."""
    if one.city != other.city:
        return None
    if one.number == other.number and one.payload != other.payload:
        return f"{one.city} has signed two heads of number {one.number}"
    earlier, later = sorted((one, other), key=lambda head: head.number)
    for metric, end in sorted(earlier.ends.items()):
        again = later.ends.get(metric)
        if again is not None and again.sequence == end.sequence and again.hash != end.hash:
            return f"{one.city} has signed two entries {end.sequence} of {metric}, in heads {_numbers(earlier, later)}"
        if again is None or again.sequence < end.sequence:
            return f"{one.city} has signed a head that goes back, of {metric}: heads {_numbers(earlier, later)}"
    return None


def covered(head: SignedHead, metric: str, end: ChainEnd) -> bool:
    """Whether the head vouches for the metric's chain up to this end; False while the chain must go on to the end that
    the head names. Raises `BrokenChain`: "other-history" or "uncovered" (the head names none, or an earlier one)."""
    named = head.ends.get(metric)
    if named is None or named.sequence < end.sequence:
        raise BrokenChain("uncovered", f"head {head.number} of {head.city} does not cover {metric} {end.sequence}")
    if named.sequence == end.sequence and named.hash != end.hash:
        raise BrokenChain(
            "other-history", f"entry {end.sequence} of {metric} is not the one that head {head.number} names"
        )
    return named.sequence == end.sequence


def _numbers(earlier: SignedHead, later: SignedHead) -> str:
    return f"{earlier.number} and {later.number}"


def _read(payload: bytes, text: str, kid: str) -> SignedHead:
    try:
        found = loads(payload)
        if not isinstance(found, dict):
            raise TypeError("no object")
        if type(found["format"]) is not int or found["format"] != FORMAT:
            raise BadHead("unknown-format", "the head is of a format of which this program knows nothing")
        metrics = found["metrics"]
        head = SignedHead(
            *(name_of(found["city"]), _uuid(found["log"]), unsigned(found["number"]), unsigned(found["position"])),
            *(time_of(found["issued_at"]), time_of(found["expires_at"])),
            {name_of(metric): _end(end) for metric, end in metrics.items()},
            audit=None if found["audit"] is None else hash_of(found["audit"]),
            kid=kid,
            payload=payload,
            document=text,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadHead("malformed", f"the head can't be read: {ascii(str(error))[:100]}") from None
    if head.expires_at > head.issued_at + LASTS_MS:
        raise BadHead("too-long", "a head is valid for seven days at most")
    if head.expires_at <= head.issued_at or not head.number:
        raise BadHead("malformed", "a head ends after it begins, and has a number above zero")
    if len(head.ends) > _MOST_METRICS:
        raise BadHead("malformed", f"a head names at most {_MOST_METRICS} metrics")
    return head


def _end(found: Any) -> ChainEnd:
    return ChainEnd(unsigned(found["sequence"]), hash_of(found["hash"]))


def _uuid(text: Any) -> str:
    if str(UUID(text)) != text:
        raise ValueError("not a UUID")
    return str(text)
