"""Vectors of access: assertions and audit lines."""

from datetime import datetime
from typing import Any

from tests.vectors.agreements import ID
from tests.vectors.identities import SAIGONS
from tests.vectors.publications import METRIC
from tests.vectors.signing import (
    ACCESS,
    IDENTITY,
    SAIGON,
    SAIGON_ACCESS,
    SAIGON_PUBLISH,
    STRANGER,
    Json,
    compact,
    digest,
    spoilt,
    unsigned,
    with_payload,
)
from tests.vectors.vector import NOW, Vector, bad, good

TYP = "client-authentication+jwt"
SECOND = int(datetime.fromisoformat(NOW).timestamp())


def claims(**changed: Any) -> Json:
    """Ho Chi Minh City asks Isfahan for a token. None leaves a claim out."""
    whole = {
        "iss": SAIGON.thumbprint,
        "sub": SAIGON.thumbprint,
        "aud": IDENTITY.thumbprint,
        "iat": SECOND,
        "exp": SECOND + 60,
        "jti": "c0ffee00-0000-4000-8000-000000000001",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def assertions() -> list[Vector]:
    given: Json = {"now": NOW, "identity": SAIGONS, "audience": IDENTITY.thumbprint, "used": []}
    signed = SAIGON_ACCESS.sign(claims(), TYP)
    used = {**given, "used": [claims()["jti"]]}

    def made(**changed: Any) -> str:
        return SAIGON_ACCESS.sign(claims(**changed), TYP)

    return [
        good("an assertion", signed, **given),
        good("whose clock is 60 s ahead", made(iat=SECOND + 60, exp=SECOND + 120), **given),
        good("that expired 59 s ago", made(iat=SECOND - 119, exp=SECOND - 59), **given),
        good("with a jti of 64 characters", made(jti="x" * 64), **given),
        good("with claims of others", made(scope="x", client="y"), **given),
        bad("replayed", "used before", signed, **used),
        bad("forged", "another signature", spoilt(signed), **given),
        bad("forged", "other claims", with_payload(signed, claims(jti="2")), **given),
        bad("wrong-algorithm", "EdDSA", SAIGON_ACCESS.sign(claims(), TYP, alg="EdDSA"), **given),
        bad("wrong-algorithm", "none", unsigned(SAIGON_ACCESS, claims(), TYP), **given),
        bad("wrong-type", "JWT", SAIGON_ACCESS.sign(claims(), TYP, typ="JWT"), **given),
        bad("unknown-key", "signed by a key for publishing", SAIGON_PUBLISH.sign(claims(), TYP), **given),
        bad("unknown-key", "signed by the identity key", SAIGON.sign(claims(), TYP), **given),
        bad("unknown-key", "signed by the receiver's own key", ACCESS.sign(claims(), TYP), **given),
        bad("unknown-key", "signed by a stranger", STRANGER.sign(claims(), TYP), **given),
        *(bad(why, name, made(**changed), **given) for name, (why, changed) in _bad_claims().items()),
        bad(
            "malformed",
            "a claim twice",
            SAIGON_ACCESS.sign(compact(claims()).replace(b'"jti":', b'"jti":"2","jti":'), TYP),
            **given,
        ),
    ]


def _bad_claims() -> dict[str, tuple[str, Json]]:
    return {
        "for somebody else": ("wrong-audience", {"aud": STRANGER.thumbprint}),
        "for its own issuer": ("wrong-audience", {"aud": SAIGON.thumbprint}),
        "for an address": ("wrong-audience", {"aud": "https://exchange.isfahan.example/v1/token"}),
        "for several": ("wrong-audience", {"aud": [IDENTITY.thumbprint]}),
        "for nobody": ("wrong-audience", {"aud": None}),
        "of another issuer": ("other-identity", {"iss": STRANGER.thumbprint}),
        "of another subject": ("other-identity", {"sub": STRANGER.thumbprint}),
        "expired 60 s ago": ("expired", {"iat": SECOND - 120, "exp": SECOND - 60}),
        "issued 61 s ahead": ("not-yet-valid", {"iat": SECOND + 61, "exp": SECOND + 121}),
        "good for 61 s": ("too-long", {"exp": SECOND + 61}),
        "that expires when it is issued": ("malformed", {"exp": SECOND}),
        "without an end": ("malformed", {"exp": None}),
        "without a beginning": ("malformed", {"iat": None}),
        "with fractions of a second": ("malformed", {"iat": SECOND + 0.5}),
        "with an end as text": ("malformed", {"exp": str(SECOND + 60)}),
        "without a jti": ("malformed", {"jti": None}),
        "with an empty jti": ("malformed", {"jti": ""}),
        "with a jti of 65 characters": ("malformed", {"jti": "x" * 65}),
        "with a jti that is a number": ("malformed", {"jti": 7}),
    }


PAGE = b'{"format":1}\n'


def line(**changed: Any) -> Json:
    return {
        "format": 1,
        "agreement": ID,
        "sequence": 1,
        "at": "2026-12-01T11:59:59.250Z",
        "before": None,
        "request": "6f1c0a52b7e94d21",
        "path": "/v1/bodies",
        "metric": METRIC,
        "first": 1,
        "last": 2,
        "status": 200,
        "page": digest(PAGE),
        "bytes": len(PAGE),
        **changed,
    }


def audit_lines() -> list[Vector]:
    first = compact(line())
    end = {"sequence": 1, "hash": digest(first)}
    given: Json = {"agreement": ID, "end": end}
    following: Json = {"sequence": 2, "before": digest(first)}
    plain: Json = {"path": "/v1/head", "metric": None, "first": None, "last": None}

    def made(**changed: Any) -> bytes:
        return compact(line(**{**following, **changed}))

    return [
        good("the first", first, agreement=ID, end=None),
        good("the next", made(), **given),
        good("of no metric", made(**plain), **given),
        good("with fields of a later version", made(sister=1), **given),
        bad("broken-chain", "one is missing", made(sequence=3), **given),
        bad("broken-chain", "one comes again", first, **given),
        bad("broken-chain", "another line before", made(before=digest(b"tampered")), **given),
        bad("broken-chain", "no hash of the line before", made(before=None), **given),
        bad("broken-chain", "a first that is not", made(), agreement=ID, end=None),
        bad("other-agreement", "another agreement's", made(agreement="b3RoZXItYWdyZWVtZW50LQ"), **given),
        bad("unknown-format", "a later format", made(format=2), **given),
        *(bad("malformed", name, made(**changed), **given) for name, changed in _bad_lines().items()),
    ]


def _bad_lines() -> dict[str, Json]:
    return {
        "a sequence as text": {"sequence": "2"},
        "a time that is none": {"at": "now"},
        "a page that is no hash": {"page": "0"},
        "fewer bytes than none": {"bytes": -1},
        "a status that is none": {"status": 7},
        "only the first of its sequences": {"last": None},
        "sequences that run backwards": {"first": 3, "last": 2},
    }
