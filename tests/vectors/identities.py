"""Vectors of identity documents and of revocations."""

import json
from typing import Any

from tests.vectors.signing import (
    ACCESS,
    IDENTITY,
    OLD_PUBLISH,
    PUBLISH,
    SAIGON,
    SAIGON_ACCESS,
    SAIGON_PUBLISH,
    FixedKey,
    Json,
    b64,
    compact,
    confused,
    spoilt,
    unsigned,
    with_payload,
)
from tests.vectors.vector import NOW, Vector, bad, good

TYP = "sistercity-identity"
DAY = ("2026-11-27T00:00:00Z", "2027-02-25T00:00:00Z")
"""When the documents are issued, and when they expire: 90 days."""


def online(key: FixedKey, use: str, start: str = "2026-11-27T00:00:00Z", end: str = "2027-05-26T00:00:00Z") -> Json:
    return {"use": use, "key": key.jwk, "not_before": start, "not_after": end}


def revoked(key: FixedKey, at: str = "2026-11-27T00:00:00Z") -> Json:
    return {"kid": key.thumbprint, "revoked_at": at, "reason": "the disk was stolen"}


def document(**changed: Any) -> Json:
    """What the identity document of Isfahan says; `version` 3, unless changed."""
    return {
        "format": 1,
        "city": "isfahan",
        "name": "اصفهان",
        "addresses": ["https://exchange.isfahan.example"],
        "contact": "exchange@isfahan.example",
        "version": 3,
        "issued_at": DAY[0],
        "expires_at": DAY[1],
        "identity_key": IDENTITY.jwk,
        "keys": [
            online(OLD_PUBLISH, "publish", "2026-05-01T00:00:00Z", "2026-11-28T00:00:00Z"),
            online(PUBLISH, "publish"),
            online(ACCESS, "access"),
        ],
        "revoked": [],
        **changed,
    }


def saigon_document() -> Json:
    keys = [online(SAIGON_PUBLISH, "publish"), online(SAIGON_ACCESS, "access")]
    changed = {"city": "ho-chi-minh-city", "name": "Thành phố Hồ Chí Minh", "identity_key": SAIGON.jwk, "keys": keys}
    return document(**changed, addresses=["https://exchange.hcmc.example"], contact="exchange@hcmc.example")


ISFAHANS = IDENTITY.sign(document(), TYP)
SAIGONS = SAIGON.sign(saigon_document(), TYP)
WITH_REVOKED_KEY = IDENTITY.sign(document(version=4, revoked=[revoked(PUBLISH)]), TYP)


def identities() -> list[Vector]:
    return [*_good(), *_badly_signed(), *_badly_written(), *_out_of_time(), *_dropping(), *_with_bad_keys()]


def _signed(**changed: Any) -> str:
    return IDENTITY.sign(document(**changed), TYP)


def _given(now: str = NOW, **more: object) -> Json:
    return {"now": now, "pinned": IDENTITY.thumbprint, **more}


def _good() -> list[Vector]:
    return [
        good("as it is first met", ISFAHANS, **_given()),
        good("with fields of a later version", _signed(sister={"of": [1]}), **_given()),
        good("with a revoked key", WITH_REVOKED_KEY, **_given(known=ISFAHANS)),
        good("the one that is known", ISFAHANS, **_given(known=ISFAHANS)),
        good("the next version", _signed(version=4), **_given(known=ISFAHANS)),
        good("issued 60 s ahead of the receiver's clock", ISFAHANS, **_given("2026-11-26T23:59:00Z")),
        good("expired 59 s ago", ISFAHANS, **_given("2027-02-25T00:00:59Z")),
        good("with milliseconds", _signed(issued_at="2026-11-27T00:00:00.001Z"), **_given()),
        good("without online keys", _signed(keys=[]), **_given()),
        good("32 levels deep", _signed(later=_nested(31)), **_given()),
    ]


def _badly_signed() -> list[Vector]:
    header, payload, signature = ISFAHANS.split(".")
    claimed = SAIGON.sign(document(), TYP, kid=IDENTITY.thumbprint)
    critical = IDENTITY.sign(document(), TYP, crit=["b64"], b64=True)
    saigons = SAIGON.sign(document(identity_key=SAIGON.jwk), TYP)
    return [
        bad("forged", "another signature", spoilt(ISFAHANS), **_given()),
        bad("forged", "another payload", with_payload(ISFAHANS, document(version=9)), **_given()),
        bad("forged", "signed by another key than it names", claimed, **_given()),
        bad("wrong-algorithm", "EdDSA", IDENTITY.sign(document(), TYP, alg="EdDSA"), **_given()),
        bad("wrong-algorithm", "none", unsigned(IDENTITY, document(), TYP), **_given()),
        bad("wrong-algorithm", "HS256", confused(IDENTITY, document(), TYP), **_given()),
        bad("wrong-type", "a head", IDENTITY.sign(document(), "sistercity-head"), **_given()),
        bad("wrong-type", "JWT", IDENTITY.sign(document(), "JWT"), **_given()),
        bad("malformed", "no typ", IDENTITY.sign(document(), TYP, typ=None), **_given()),
        bad("malformed", "no kid", IDENTITY.sign(document(), TYP, kid=None), **_given()),
        bad("malformed", "a key in the header", IDENTITY.sign(document(), TYP, jwk=IDENTITY.jwk), **_given()),
        bad("malformed", "critical headers", critical, **_given()),
        bad("malformed", "padding", f"{header}=.{payload}.{signature}", **_given()),
        bad("malformed", "a line's end", f"{ISFAHANS}\n", **_given()),
        bad("malformed", "two parts", f"{header}.{payload}", **_given()),
        bad("malformed", "no JWS", compact(document()), **_given()),
        bad("wrong-signer", "signed by an online key", PUBLISH.sign(document(), TYP), **_given()),
        bad("other-identity", "another identity than the agreement's", saigons, **_given()),
    ]


def _badly_written() -> list[Vector]:
    plain = compact(document())
    texts = {
        "a name twice": plain.replace(b'"version":3', b'"version":3,"version":4'),
        "a name twice deeper down": plain.replace(b'"use":"access"', b'"use":"publish","use":"access"'),
        "NaN": plain.replace(b'"version":3', b'"version":3,"later":NaN'),
        "a number beyond every limit": plain.replace(b'"version":3', b'"version":3,"later":1e999'),
        "not UTF-8": plain.replace(b"exchange@", b"\xff@"),
        "half a surrogate pair": plain.replace(b"exchange@", b"\\ud800@"),
        "a byte order mark": b"\xef\xbb\xbf" + plain,
        "33 levels deep": compact(document(later=_nested(32))),
        "no object": b"[]",
        "a version with a fraction": plain.replace(b'"version":3', b'"version":3.0'),
        "a version beyond 64 bits": plain.replace(b'"version":3', b'"version":9223372036854775808'),
    }
    fields: dict[str, Json] = {
        "no contact": {key: value for key, value in document().items() if key != "contact"},
        "version 0": document(version=0),
        "a version as text": document(version="3"),
        "a version that is true": document(version=True),
        "a control character in its name": document(name="Isfahan\n"),
        "a name whose text runs backwards": document(name="Isfahan\u202e"),
        "an empty name": document(name=""),
        "a time with an offset": document(issued_at="2026-11-27T03:30:00+03:30"),
        "a time without a zone": document(issued_at="2026-11-27T00:00:00"),
        "a day that is not": document(issued_at="2026-11-31T00:00:00Z"),
        "an address that is no text": document(addresses=[7]),
    }
    return [
        *(bad("malformed", name, IDENTITY.sign(text, TYP), **_given()) for name, text in texts.items()),
        *(bad("malformed", name, IDENTITY.sign(content, TYP), **_given()) for name, content in fields.items()),
        bad("unknown-format", "a later format", _signed(format=2), **_given()),
        bad("unknown-format", "a format as text", _signed(format="1"), **_given()),
        bad("unknown-format", "a format that is true", _signed(format=True), **_given()),
        bad("unknown-format", "no format", IDENTITY.sign({**_without_format()}, TYP), **_given()),
    ]


def _without_format() -> Json:
    return {key: value for key, value in document().items() if key != "format"}


def _out_of_time() -> list[Vector]:
    too_long = _signed(expires_at="2027-02-25T00:00:00.001Z")
    backwards = _signed(expires_at="2026-11-27T00:00:00Z")
    return [
        bad("expired", "expired 60 s ago", ISFAHANS, **_given("2027-02-25T00:01:00Z")),
        bad("not-yet-valid", "issued 61 s ahead", ISFAHANS, **_given("2026-11-26T23:58:59Z")),
        bad("too-long", "good for more than 90 days", too_long, **_given()),
        bad("too-long", "expires when it is issued", backwards, **_given()),
        bad("lower-version", "a lower version", _signed(version=2), **_given(known=ISFAHANS)),
        bad(
            "other-document", "another one of a version", _signed(contact="x@isfahan.example"), **_given(known=ISFAHANS)
        ),
    ]


def _dropping() -> list[Vector]:
    without_old = [listed for listed in document()["keys"] if listed["key"] != OLD_PUBLISH.jwk]
    return [
        bad("keys-dropped", "an old key is gone", _signed(version=4, keys=without_old), **_given(known=ISFAHANS)),
        bad("keys-dropped", "a revocation is gone", _signed(version=5), **_given(known=WITH_REVOKED_KEY)),
        bad("other-city", "the city has another name", _signed(version=4, city="hue"), **_given(known=ISFAHANS)),
    ]


def _with_bad_keys() -> list[Vector]:
    private = {**PUBLISH.jwk, "d": b64(PUBLISH.seed)}
    small = {**PUBLISH.jwk, "x": b64(bytes([1]) + bytes(31))}
    above = {**PUBLISH.jwk, "x": b64((2**255 - 1).to_bytes(32, "little"))}
    named = {**PUBLISH.jwk, "kid": PUBLISH.thumbprint}
    other_curve = {**PUBLISH.jwk, "crv": "X25519"}
    short = {**PUBLISH.jwk, "x": PUBLISH.jwk["x"][:-2]}
    loose = {**PUBLISH.jwk, "x": PUBLISH.jwk["x"][:-1] + _next(PUBLISH.jwk["x"][-1])}

    def holding(*keys: Json) -> str:
        return _signed(keys=list(keys))

    def with_jwk(jwk: Json) -> str:
        return holding({**online(PUBLISH, "publish"), "key": jwk})

    return [
        bad("bad-key", "a point of small order", with_jwk(small), **_given()),
        bad("bad-key", "a point above the field's prime", with_jwk(above), **_given()),
        bad("bad-key", "a private key", with_jwk(private), **_given()),
        bad("bad-key", "a key with more fields", with_jwk(named), **_given()),
        bad("bad-key", "a key of another curve", with_jwk(other_curve), **_given()),
        bad("bad-key", "a key that is too short", with_jwk(short), **_given()),
        bad("bad-key", "a key that is not canonical", with_jwk(loose), **_given()),
        bad("malformed", "a key of an unknown use", holding(online(PUBLISH, "all")), **_given()),
        bad(
            "two-uses", "a key with two uses", holding(online(ACCESS, "publish"), online(ACCESS, "access")), **_given()
        ),
        bad("two-uses", "the identity key online", holding(online(IDENTITY, "publish")), **_given()),
        bad("wrong-signer", "a kid that is not its identity key", _signed(identity_key=PUBLISH.jwk), **_given()),
    ]


def _next(last: str) -> str:
    """The next character of base64url: of the last one of 32 bytes, only the two bits that say nothing differ."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return letters[letters.index(last) + 1]


def _nested(levels: int) -> object:
    return json.loads("[" * levels + "]" * levels)


REVOCATION = "sistercity-revocation"


def statement(**changed: Any) -> Json:
    return {
        "format": 1,
        "city": "isfahan",
        "identity_key": IDENTITY.jwk,
        "revoked_at": "2026-11-30T00:00:00Z",
        "reason": "the key was copied",
        **changed,
    }


def revocations() -> list[Vector]:
    signed = IDENTITY.sign(statement(), REVOCATION)
    later = IDENTITY.sign(statement(revoked_at="2027-11-30T00:00:00Z"), REVOCATION)
    given = {"pinned": IDENTITY.thumbprint, "now": NOW}
    texts = {
        "a control character in its reason": statement(reason="copied\u0007"),
        "a time that is none": statement(revoked_at="yesterday"),
    }
    others = SAIGON.sign(statement(), REVOCATION)
    saigons = SAIGON.sign(statement(identity_key=SAIGON.jwk), REVOCATION)
    keyless = IDENTITY.sign(statement(identity_key=None), REVOCATION)
    return [
        good("a revocation", signed, **given),
        good("a revocation that names a later time holds at once", later, **given),
        good("with fields of a later version", IDENTITY.sign(statement(sister=1), REVOCATION), **given),
        bad("forged", "another signature", spoilt(signed), **given),
        bad("forged", "another reason", with_payload(signed, statement(reason="none")), **given),
        bad("wrong-type", "signed as an identity document", IDENTITY.sign(statement(), TYP), **given),
        bad("wrong-algorithm", "EdDSA", IDENTITY.sign(statement(), REVOCATION, alg="EdDSA"), **given),
        bad("wrong-signer", "signed by an online key", PUBLISH.sign(statement(), REVOCATION), **given),
        bad("wrong-signer", "of somebody else's identity", others, **given),
        bad("other-identity", "another identity than the agreement's", saigons, **given),
        bad("bad-key", "without its key", keyless, **given),
        bad("unknown-format", "a later format", IDENTITY.sign(statement(format=2), REVOCATION), **given),
        *(bad("malformed", name, IDENTITY.sign(text, REVOCATION), **given) for name, text in texts.items()),
    ]
