"""An agreement: what two cities give each other, signed by the identity keys of both over the same bytes.

It travels as a file, by e-mail; no server takes part. Times are milliseconds since 1970, UTC.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes

from joserfc.jwk import OKPKey

from errors import OperatorError
from federation.agreements.payload import GrantFields, PartyFields, read_fields
from federation.jose import BadSignature, claimed_payload, jwk_of, public_key, sign, signer, thumbprint, verify
from federation.strict_json import BadJson, dumps, loads
from federation.wire import instant, rfc3339

DAY_MS = 86_400_000
LONGEST_MS = 366 * DAY_MS
LONGEST_FILE = 256 * 1024
"""Bytes of a file."""
_BACK_MS = DAY_MS
"""How long before its signature an agreement may begin: proposing and accepting take their time."""


class BadAgreement(OperatorError):
    """This is no agreement, or not one that may be signed or used. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Party:
    """A city as an agreement names it. `jwk` is the public part of its identity key."""

    city: str
    name: str
    jwk: tuple[tuple[str, str], ...]
    addresses: tuple[str, ...]
    contact: str

    @property
    def key(self) -> OKPKey:
        """The identity key."""
        return public_key(dict(self.jwk))

    @property
    def thumbprint(self) -> str:
        """The city's identity."""
        return thumbprint(self.key)


def party(city: str, name: str, key: OKPKey, addresses: Sequence[str], contact: str) -> Party:
    """A party, from its identity key, of which only the public part is taken."""
    return Party(city, name, tuple(sorted(jwk_of(key).items())), tuple(addresses), contact)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one city gives the other: metrics, windows that begin at `since` (ms) or later, and how fast."""

    giver: str
    receiver: str
    metrics: tuple[str, ...]
    since: int
    delay_seconds: int
    purpose: str
    retention_days: int
    requests_per_minute: int
    bytes_per_hour: int
    concurrent_requests: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """An agreement as it was signed. `payload` is what the signatures cover, `signers` are their thumbprints.

    `file` is the whole of it in one spelling: the same for the same payload and signatures.
    """

    id: str
    version: int
    supersedes: str | None
    parties: tuple[Party, Party]
    grants: tuple[Terms, ...]
    witness: bool
    valid_from: int
    valid_until: int
    payload: bytes
    signers: tuple[str, ...]
    file: bytes

    @property
    def hash(self) -> str:
        """SHA-256 of the payload, which the next version names."""
        return sha256(self.payload).hexdigest()

    def party(self, thumbprint: str) -> Party:
        """The party with this identity. Raises `BadAgreement` ("not-a-party")."""
        return self._parties(thumbprint)[0]

    def other(self, thumbprint: str) -> Party:
        """The party that has another identity than this one. Raises `BadAgreement` ("not-a-party")."""
        return self._parties(thumbprint)[1]

    def given_by(self, city: str) -> Terms | None:
        """What a city gives."""
        return next((terms for terms in self.grants if terms.giver == city), None)

    def received_by(self, city: str) -> Terms | None:
        """What a city gets."""
        return next((terms for terms in self.grants if terms.receiver == city), None)

    def _parties(self, thumbprint: str) -> tuple[Party, Party]:
        first, second = self.parties
        if thumbprint == first.thumbprint:
            return first, second
        if thumbprint == second.thumbprint:
            return second, first
        raise BadAgreement("not-a-party", "the agreement is between two other identities than this city's")


def propose(
    parties: tuple[Party, Party],
    grants: Sequence[Terms],
    *,
    witness: bool,
    valid_from: int,
    valid_until: int,
    key: OKPKey,
    now_ms: int,
    renews: Agreement | None = None,
) -> bytes:
    """A proposal, signed by `key`, the identity key of one of the parties: a file for the other one to countersign.

    With `renews` it is the next version of that agreement. Raises `BadAgreement`.
    """
    fields = {
        "format": 1,
        "id": _new_id() if renews is None else renews.id,
        "version": 1 if renews is None else renews.version + 1,
        "supersedes": None if renews is None else renews.hash,
        "parties": list(map(_party_fields, parties)),
        "grants": list(map(_grant_fields, grants)),
        "witness": witness,
        "valid_from": rfc3339(valid_from),
        "valid_until": rfc3339(valid_until),
    }
    return _with_signature(dumps(fields), [], key, now_ms)


def countersign(file: bytes, key: OKPKey, *, now_ms: int) -> bytes:
    """The agreement that a proposal becomes by the signature of its other party. Raises `BadAgreement`."""
    proposal = open_agreement(file, now_ms=now_ms, signatures=1)
    if thumbprint(key) in proposal.signers:
        raise BadAgreement("one-signature", "this city has proposed the agreement: the other one must accept it")
    return _with_signature(proposal.payload, _outer(file)[1], key, now_ms)


def open_agreement(file: bytes, *, now_ms: int | None, signatures: int = 2) -> Agreement:
    """The agreement in a file, if it is whole and signed by as many of its parties: 1 (a proposal) or 2.

    One whose time is over is refused, unless `now_ms` is None; one whose time has not begun is not. Raises
    `BadAgreement`: "malformed", "too-long", "one-signature", "expired", or a reason of `federation.jose.verify`.
    """
    payload, signed = _outer(file)
    if len(signed) < signatures:
        raise BadAgreement("one-signature", "the agreement bears one signature: the other city must accept it first")
    if len(signed) > signatures:
        raise BadAgreement("malformed", "this is an agreement that both cities have signed, and no proposal")
    found = _opened(payload, signed)
    if now_ms is not None and now_ms >= found.valid_until:
        raise BadAgreement("expired", f"the agreement ended at {rfc3339(found.valid_until)}; the cities need a new one")
    return found


_Signature = tuple[str, str]
"""The protected header and the signature, base64url."""


def _outer(file: bytes) -> tuple[str, list[_Signature]]:
    """The payload in base64url and the signatures of a general JSON JWS that has nothing else in it."""
    if len(file) > LONGEST_FILE:
        raise BadAgreement("malformed", f"an agreement has at most {LONGEST_FILE:,} bytes")
    try:
        outer = loads(file)
    except BadJson as error:
        raise BadAgreement("malformed", f"the file can't be read as an agreement: {error}") from None
    if not isinstance(outer, dict) or set(outer) != {"payload", "signatures"}:
        raise BadAgreement("malformed", "an agreement holds payload and signatures, and nothing else")
    payload, signatures = outer["payload"], outer["signatures"]
    if not isinstance(payload, str) or not isinstance(signatures, list) or not 1 <= len(signatures) <= 2:
        raise BadAgreement("malformed", "an agreement holds a payload and one or two signatures")
    for each in signatures:
        if not isinstance(each, dict) or set(each) != {"protected", "signature"}:
            raise BadAgreement("malformed", "a signature holds protected and signature, and nothing else")
        if not all(isinstance(text, str) for text in each.values()):
            raise BadAgreement("malformed", "protected and signature are texts in base64url")
    return payload, [(each["protected"], each["signature"]) for each in signatures]


def _opened(payload: str, signed: list[_Signature]) -> Agreement:
    try:
        content = claimed_payload(f"{signed[0][0]}.{payload}.{signed[0][1]}")
        fields = read_fields(loads(content))
    except (BadSignature, ValueError) as error:
        raise BadAgreement("malformed", f"the agreement can't be read: {error}") from None
    parties = _parties(fields.parties)
    grants = tuple(map(_terms, fields.grants))
    _check_grants(parties, grants)
    start, end = instant(fields.valid_from), instant(fields.valid_until)
    if end <= start:
        raise BadAgreement("malformed", "valid_until must be later than valid_from")
    if end > start + LONGEST_MS:
        raise BadAgreement("too-long", "valid_until must be at most 366 days after valid_from")
    if (fields.version == 1) != (fields.supersedes is None):
        raise BadAgreement("malformed", "version 1 supersedes nothing, and each later version the one before")
    signers = _verified(payload, signed, parties)
    return Agreement(
        *(fields.id, fields.version, fields.supersedes, parties, grants, fields.witness, start, end, content),
        signers=tuple(of.thumbprint for of in parties if of.thumbprint in signers),
        file=_file(payload, [signers[of.thumbprint] for of in parties if of.thumbprint in signers]),
    )


def _verified(payload: str, signed: list[_Signature], parties: tuple[Party, Party]) -> dict[str, _Signature]:
    """Signer -> its signature."""
    keys = {of.thumbprint: of.key for of in parties}
    found: dict[str, _Signature] = {}
    for protected, signature in signed:
        text = f"{protected}.{payload}.{signature}"
        try:
            by = signer(text, "sistercity-agreement")
            verify(text, "sistercity-agreement", keys.get)
        except BadSignature as error:
            raise BadAgreement(error.reason, f"{error}; only the two parties sign an agreement") from None
        if by in found:
            raise BadAgreement("one-signature", "both signatures are by the same city")
        found[by] = (protected, signature)
    return found


def _parties(given: Sequence[PartyFields]) -> tuple[Party, Party]:
    try:
        keys = [public_key(of.identity_key) for of in given]
    except BadSignature as error:
        raise BadAgreement(error.reason, str(error)) from None
    first, second = (
        party(of.city, of.name, key, of.addresses, of.contact) for of, key in zip(given, keys, strict=True)
    )
    if first.city.lower() == second.city.lower() or first.thumbprint == second.thumbprint:
        raise BadAgreement("malformed", "an agreement is between two cities, each with an identity of its own")
    return first, second


def _terms(fields: GrantFields) -> Terms:
    return Terms(
        *(fields.from_, fields.to, tuple(fields.metrics), instant(fields.since), fields.delay_seconds),
        *(fields.purpose, fields.retention_days),
        *(fields.requests_per_minute, fields.bytes_per_hour, fields.concurrent_requests),
    )


def _check_grants(parties: tuple[Party, Party], grants: tuple[Terms, ...]) -> None:
    cities = {of.city for of in parties}
    if any({terms.giver, terms.receiver} != cities for terms in grants):
        raise BadAgreement("malformed", "each grant must be from one of the two cities to the other")
    if len({terms.giver for terms in grants}) != len(grants):
        raise BadAgreement("malformed", "there must be at most one grant in each direction")
    if any(len(set(terms.metrics)) != len(terms.metrics) for terms in grants):
        raise BadAgreement("malformed", "a grant names a metric twice")


def _with_signature(content: bytes, signed: list[_Signature], key: OKPKey, now_ms: int) -> bytes:
    """The file with one more signature, if the agreement may still be signed at `now_ms`."""
    protected, payload, signature = sign(content, key, "sistercity-agreement").split(".")
    made = _opened(payload, [*signed, (protected, signature)])
    if made.valid_from < now_ms - _BACK_MS:
        raise BadAgreement("back-dated", "the agreement would begin before it is signed, by more than a day")
    if made.valid_until <= now_ms:
        raise BadAgreement("expired", f"the agreement would have ended at {rfc3339(made.valid_until)}")
    return made.file


def _file(payload: str, signed: list[_Signature]) -> bytes:
    signatures = [{"protected": protected, "signature": signature} for protected, signature in signed]
    return dumps({"payload": payload, "signatures": signatures}) + b"\n"


def _new_id() -> str:
    return urlsafe_b64encode(token_bytes(16)).rstrip(b"=").decode()


def _party_fields(of: Party) -> dict[str, object]:
    return {
        "city": of.city,
        "name": of.name,
        "identity_key": dict(of.jwk),
        "addresses": list(of.addresses),
        "contact": of.contact,
    }


def _grant_fields(terms: Terms) -> dict[str, object]:
    return {
        "from": terms.giver,
        "to": terms.receiver,
        "metrics": list(terms.metrics),
        "since": rfc3339(terms.since),
        "delay_seconds": terms.delay_seconds,
        "purpose": terms.purpose,
        "retention_days": terms.retention_days,
        "requests_per_minute": terms.requests_per_minute,
        "bytes_per_hour": terms.bytes_per_hour,
        "concurrent_requests": terms.concurrent_requests,
    }
