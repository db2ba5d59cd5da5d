"""An assertion is taken if the city that it names signed it for this city, now; nothing else is."""

from base64 import urlsafe_b64encode
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws

from federation.access.assertion import BadAssertion, assertion, check_assertion
from federation.jose import new_key, sign, thumbprint
from federation.strict_json import dumps, loads

NOW_MS = 1_795_737_600_000
NOW = NOW_MS // 1000
IDENTITY, ACCESS, PUBLISH, STRANGER = (new_key() for _ in range(4))
ISSUER = thumbprint(IDENTITY)
US = thumbprint(new_key())
TYPE: Final = "client-authentication+jwt"
CLAIMS = {"iss": ISSUER, "sub": ISSUER, "aud": US, "iat": NOW, "exp": NOW + 60, "jti": "once"}


def key_of(issuer, kid):
    return ACCESS if (issuer, kid) == (ISSUER, thumbprint(ACCESS)) else None


def checked(text, now_ms=NOW_MS):
    return check_assertion(text, audience=US, key_of=key_of, now_ms=now_ms)


def signed(key=ACCESS, **changed):
    return sign(dumps({name: value for name, value in (CLAIMS | changed).items() if value is not None}), key, TYPE)


def with_header(**changed):
    """The signature is right for what is signed: only the header is not what it must be."""
    header = {"alg": "Ed25519", "typ": TYPE, "kid": thumbprint(ACCESS)} | changed
    content = f"{base64url(dumps(header))}.{base64url(dumps(CLAIMS))}"
    private = ACCESS.private_key
    assert isinstance(private, Ed25519PrivateKey)
    return f"{content}.{base64url(private.sign(content.encode()))}"


def unsigned():
    return with_header(alg="none").rpartition(".")[0] + "."


def base64url(raw):
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_what_a_city_signs_for_another_is_taken_and_no_two_are_alike():
    texts = [assertion(ACCESS, ISSUER, US, NOW_MS) for _ in range(2)]
    found = [checked(text) for text in texts]
    assert [(taken.issuer, taken.text) for taken in found] == [(ISSUER, text) for text in texts]
    assert found[0].jti != found[1].jti


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (signed(aud=thumbprint(STRANGER)), "wrong-audience"),
        (signed(aud=[US]), "malformed"),
        (signed(iat=NOW - 120, exp=NOW - 60), "expired"),
        (signed(iat=NOW + 61, exp=NOW + 121), "not-yet-valid"),
        (signed(nbf=NOW + 61), "not-yet-valid"),
        (signed(exp=NOW + 61), "too-long"),
        (signed(exp=NOW), "malformed"),
        (signed(exp=None), "malformed"),
        (signed(iat=None), "malformed"),
        (signed(exp=NOW + 59.5), "malformed"),
        (signed(iat=True, exp=2), "malformed"),
        (signed(jti=None), "malformed"),
        (signed(jti="x" * 65), "malformed"),
        (signed(jti="a\0"), "malformed"),
        (signed(sub=US), "other-identity"),
        (signed(iss="x", sub="x"), "malformed"),
        (signed(STRANGER), "unknown-key"),
        (signed(PUBLISH), "unknown-key"),
        (signed(IDENTITY), "unknown-key"),
        (signed(iss=US, sub=US), "unknown-key"),
        (sign(dumps(CLAIMS), ACCESS, "sistercity-head"), "wrong-type"),
        (with_header(typ="JWT"), "wrong-type"),
        (with_header(alg="EdDSA"), "wrong-algorithm"),
        (with_header(kty="x"), "malformed"),
        (unsigned(), "wrong-algorithm"),
        (signed()[:-4] + "AAAA", "forged"),
        (signed(padding="x" * 4096), "malformed"),
        ("", "malformed"),
        ("é.é.é", "malformed"),
    ],
)
def test_nothing_else_is_taken(text, reason):
    with pytest.raises(BadAssertion) as refused:
        checked(text)
    assert refused.value.reason == reason


def test_clocks_may_be_a_minute_apart_and_not_a_second_more():
    text = assertion(ACCESS, ISSUER, US, NOW_MS)
    for taken_ms in (NOW_MS - 60_000, NOW_MS + 119_999):
        assert checked(text, taken_ms).issuer == ISSUER
    for late_ms in (NOW_MS - 61_000, NOW_MS + 120_000):
        with pytest.raises(BadAssertion):
            checked(text, late_ms)


def test_what_was_signed_can_be_read_by_whoever_implements_it_anew():
    text = assertion(ACCESS, ISSUER, US, NOW_MS)
    payload = jws.deserialize_compact(text, ACCESS, algorithms=["Ed25519"]).payload
    claims = loads(payload)
    assert claims | {"jti": "once"} == CLAIMS
