"""Identity documents: what a receiver reads in one, and every way in which one is refused."""

import json

import pytest
from joserfc.jwk import OKPKey

from federation import jose
from federation.identity.document import (
    BadIdentity,
    RevokedKey,
    newer,
    open_identity,
    open_revocation,
    sign_revocation,
)
from federation.wire import rfc3339
from tests.federation.forging import header, jws
from tests.federation.identity.cities import DAY, NOW, SigningCity, online

CITY, STRANGER = SigningCity(), SigningCity("elsewhere")
TYP = "sistercity-identity"
SECOND = 1_000


def payload(**changed) -> dict:
    """The payload of CITY's document, with changes."""
    return json.loads(jose.claimed_payload(CITY.document())) | changed


def signed(content: dict | bytes, key=CITY.identity, typ: str = TYP, **head) -> str:
    """A document as an attacker, or a city that errs, would sign it."""
    written = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    return jws(header(key, typ, **head), written, key)


def refusal(document: str, pinned: str | None = CITY.thumbprint, now_ms: int | None = NOW) -> str:
    with pytest.raises(BadIdentity) as caught:
        open_identity(document, pinned=pinned, now_ms=now_ms)
    return caught.value.reason


def entry(key=CITY.publish, use: str = "publish", **changed) -> dict:
    """An online key as the document lists it."""
    jwk = jose.jwk_of(key) if isinstance(key, OKPKey) else key
    as_it_is = {"use": use, "key": jwk, "not_before": rfc3339(NOW), "not_after": rfc3339(NOW + DAY)}
    return as_it_is | changed


def test_a_receiver_reads_what_the_city_signed():
    opened = open_identity(CITY.document(), pinned=CITY.thumbprint, now_ms=NOW)
    assert (opened.city, opened.name, opened.version) == ("isfahan", "Isfahan", 1)
    assert opened.addresses == ("https://exchange.isfahan.example",)
    assert (opened.issued_at, opened.expires_at) == (NOW, NOW + 90 * DAY)
    assert opened == open_identity(opened.document, pinned=None, now_ms=None)


def test_a_key_is_for_its_use_and_its_time_and_is_found_whatever_the_time_for_what_is_old():
    old = online("publish", CITY.publish, NOW - DAY, NOW)
    opened = open_identity(CITY.document(keys=[old, online("access", CITY.access)]), pinned=None, now_ms=NOW)
    kid = jose.thumbprint(CITY.publish)
    times = [NOW - DAY - 61 * SECOND, NOW - DAY - 60 * SECOND, NOW, NOW + 59 * SECOND, NOW + 60 * SECOND]
    assert [opened.key_for("publish", kid, at) is not None for at in times] == [False, True, True, True, False]
    assert opened.key_ever("publish", kid) is not None
    assert opened.key_for("access", kid, NOW) is opened.key_ever("access", kid) is None
    assert opened.key_ever("publish", jose.thumbprint(CITY.identity)) is None


def test_a_revoked_key_verifies_nothing_whatever_time_it_bears():
    kid = jose.thumbprint(CITY.publish)
    revoked = CITY.document(version=2, revoked=[RevokedKey(kid, NOW, "lost")])
    opened = open_identity(revoked, pinned=CITY.thumbprint, now_ms=NOW)
    assert opened.is_revoked(kid)
    assert [opened.key_for("publish", kid, at) for at in (NOW - DAY, NOW, NOW + DAY)] == [None] * 3
    assert opened.key_ever("publish", kid) is None
    assert opened.key_for("access", jose.thumbprint(CITY.access), NOW) is not None


def test_after_a_rotation_the_old_key_signs_until_its_time_is_over_or_it_is_revoked():
    new = SigningCity()
    keys = [online("access", CITY.access, NOW - DAY, NOW + DAY), online("access", new.access, NOW)]
    held = [new.access, CITY.access]
    rotated = open_identity(CITY.document(keys=keys), pinned=None, now_ms=NOW)
    assert rotated.signing_key("access", held, NOW) is CITY.access
    assert rotated.signing_key("access", held, NOW + DAY) is new.access
    assert rotated.signing_key("access", held[:1], NOW) is new.access
    assert rotated.signing_key("publish", held, NOW) is rotated.signing_key("access", [], NOW) is None
    revoked = [RevokedKey(jose.thumbprint(CITY.access), NOW, "lost")]
    without = open_identity(CITY.document(keys=keys, revoked=revoked), pinned=None, now_ms=NOW)
    assert without.signing_key("access", held, NOW) is new.access


@pytest.mark.parametrize(
    ("now_ms", "reason"),
    [
        (NOW - 61 * SECOND, "not-yet-valid"),
        (NOW - 60 * SECOND, None),
        (NOW + 90 * DAY + 59 * SECOND, None),
        (NOW + 90 * DAY + 60 * SECOND, "expired"),
    ],
)
def test_a_document_is_valid_in_its_time_with_a_minute_of_leeway(now_ms, reason):
    if reason is None:
        open_identity(CITY.document(), pinned=CITY.thumbprint, now_ms=now_ms)
    else:
        assert refusal(CITY.document(), now_ms=now_ms) == reason


@pytest.mark.parametrize(("issued", "expires"), [(0, 90 * DAY + 1), (0, 0), (DAY, 0), (0, 10_000 * DAY)])
def test_a_document_for_more_than_90_days_is_refused_at_any_time_and_never_signed(issued, expires):
    times = {"issued_at": rfc3339(NOW + issued), "expires_at": rfc3339(NOW + expires)}
    assert refusal(signed(payload(**times)), now_ms=None) == "too-long"
    with pytest.raises(BadIdentity):
        CITY.document(issued_at=NOW + issued, expires_at=NOW + expires)


def test_a_document_that_another_city_signed_is_refused_whatever_it_says():
    assert refusal(STRANGER.document()) == "other-identity"
    assert refusal(signed(payload(), STRANGER.identity)) == "wrong-signer"
    assert refusal(signed(payload(), STRANGER.identity, kid=CITY.thumbprint)) == "forged"
    assert refusal(signed(payload(), CITY.publish)) == "wrong-signer"
    head, _, signature = CITY.document().split(".")
    assert refusal(f"{head}.{CITY.document(version=2).split('.')[1]}.{signature}") == "forged"
    assert open_identity(STRANGER.document(), pinned=None, now_ms=NOW).thumbprint == STRANGER.thumbprint


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"alg": "none"}, "wrong-algorithm"),
        ({"alg": "EdDSA"}, "wrong-algorithm"),
        ({"crit": ["b64"], "b64": False}, "malformed"),
        ({"jwk": jose.jwk_of(STRANGER.identity)}, "malformed"),
        ({"jku": "https://elsewhere.example/"}, "malformed"),
    ],
)
def test_a_document_with_another_header_is_refused(head, reason):
    assert refusal(signed(payload(), **head)) == reason


@pytest.mark.parametrize("typ", ["sistercity-revocation", "sistercity-head", "sistercity-agreement", "JWT"])
def test_an_object_of_another_type_is_no_identity_document(typ):
    assert refusal(signed(payload(), typ=typ)) == "wrong-type"


PRIVATE = CITY.publish.as_dict(private=True)
WEAK = {"kty": "OKP", "crv": "Ed25519", "x": "AQ" + "A" * 41}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"identity_key": CITY.identity.as_dict(private=True)}, "bad-key"),
        ({"identity_key": WEAK}, "bad-key"),
        ({"identity_key": None}, "bad-key"),
        ({"identity_key": jose.jwk_of(STRANGER.identity)}, "wrong-signer"),
        ({"keys": [entry(key=PRIVATE)]}, "bad-key"),
        ({"keys": [entry(key=WEAK)]}, "bad-key"),
        ({"keys": [entry(key="x")]}, "malformed"),
        ({"keys": [entry(), entry(use="access")]}, "two-uses"),
        ({"keys": [entry(), entry(not_after=rfc3339(NOW + 2 * DAY))]}, "two-uses"),
        ({"keys": [entry(CITY.identity)]}, "two-uses"),
        ({"keys": [entry(use="identity")]}, "malformed"),
        ({"keys": {}}, "malformed"),
        ({"keys": [entry()] * 501}, "malformed"),
        ({"revoked": [{"kid": CITY.thumbprint, "revoked_at": rfc3339(NOW), "reason": ""}]}, "malformed"),
        ({"revoked": [{"kid": "short", "revoked_at": rfc3339(NOW), "reason": ""}]}, "malformed"),
        ({"format": 2}, "malformed"),
        ({"format": "1"}, "malformed"),
        ({"format": True}, "malformed"),
        ({"format": 1.0}, "malformed"),
        ({"version": 0}, "malformed"),
        ({"version": 2**31}, "malformed"),
        ({"version": 3.0}, "malformed"),
        ({"version": "3"}, "malformed"),
        ({"city": "../isfahan"}, "malformed"),
        ({"city": ""}, "malformed"),
        ({"city": "\u0438sfahan"}, "malformed"),
        ({"name": "Isfahan\u202e"}, "malformed"),
        ({"name": "Isfahan\u2067"}, "malformed"),
        ({"name": "Isfahan\u200f"}, "malformed"),
        ({"name": "Isfahan\u061c"}, "malformed"),
        ({"name": "Isfahan\n"}, "malformed"),
        ({"name": "Isfahan\u2028"}, "malformed"),
        ({"name": "Isfahan\x1b[2J"}, "malformed"),
        ({"name": "Isfahan\x9b"}, "malformed"),
        ({"name": "x" * 201}, "malformed"),
        ({"name": ""}, "malformed"),
        ({"contact": "a@b.example\r\nBcc: all"}, "malformed"),
        ({"revoked": [{"kid": "a" * 43, "revoked_at": rfc3339(NOW), "reason": "\u202d"}]}, "malformed"),
        ({"issued_at": "2026-11-27T00:00:00+01:00"}, "malformed"),
        ({"issued_at": "2026-11-27"}, "malformed"),
        ({"expires_at": "2026-13-01T00:00:00Z"}, "malformed"),
        ({"expires_at": 1_795_000_000}, "malformed"),
    ],
)
def test_a_document_that_is_not_as_it_must_be_is_refused(changed, reason):
    assert refusal(signed(payload(**changed))) == reason


@pytest.mark.parametrize(
    "address",
    [
        "http://exchange.isfahan.example",
        "http://10.0.0.1",
        "http://localhost.example",
        "ftp://exchange.isfahan.example",
        "javascript:alert(1)",
        "//exchange.isfahan.example",
        "https://",
        "https:///path",
        "https://user:word@exchange.isfahan.example",
        "https://exchange.isfahan.example@elsewhere.example",
        "https://exchange.isfahan.example\\@elsewhere.example",
        "https://exchange.isfahan.example\\.elsewhere.example",
        "https://exchange.isfahan.example?to=elsewhere",
        "https://exchange.isfahan.example#part",
        "https://exchange.isfahan.example:0",
        "https://exchange.isfahan.example:70000",
        "https://exchange.isfahan.example:port",
        "https://exchange.\u0438sfahan.example",
        "https://exchange.isfahan.example/a b",
        "https://[::1",
        "https://exchange.isfahan.example/" + "a" * 200,
    ],
)
def test_an_address_that_is_not_https_and_nothing_more_is_refused(address):
    assert refusal(signed(payload(addresses=[address]))) == "malformed"


def test_a_city_may_have_a_few_addresses_or_none_and_plain_http_only_to_itself():
    few = ["https://a.example", "https://b.example:8443/sub/path", "http://127.0.0.1:8001", "http://[::1]:1"]
    assert open_identity(CITY.document(addresses=few), pinned=None, now_ms=NOW).addresses == tuple(few)
    assert open_identity(CITY.document(addresses=[]), pinned=None, now_ms=NOW).addresses == ()
    assert refusal(signed(payload(addresses=["https://a.example"] * 9))) == "malformed"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff{}",
        b"[" * 100_000,
        b'{"identity_key":' + b'{"a":' * 40 + b"1" + b"}" * 41,
        json.dumps(payload()).replace('"format": 1', '"format": 1, "format": 1').encode(),
        json.dumps(payload()).replace('"version": 1', '"version": NaN').encode(),
        json.dumps(payload()).replace('"version": 1', '"version": 1e999').encode(),
        json.dumps(payload()).replace('"version": 1', '"version": ' + "9" * 5_000).encode(),
        json.dumps(payload()).replace('"Isfahan"', '"\\ud800"').encode(),
        json.dumps(payload()).replace('"Isfahan"', '"\\u0000"').encode(),
    ],
)
def test_what_every_implementation_does_not_read_alike_is_refused(content):
    assert refusal(signed(content)) in {"malformed", "bad-key"}


def test_a_document_that_is_too_large_is_refused():
    assert refusal(signed(payload(later=["x" * 1_000] * 300))) == "malformed"


def test_a_hundred_years_of_keys_fit_into_a_document():
    """A key of each use a year, and each of them revoked."""
    keys = [online(use, jose.new_key()) for use in ("publish", "access") for _ in range(100)]
    revoked = [RevokedKey(key.kid, NOW, "as every year, the disk on which it lay was thrown away") for key in keys]
    document = CITY.document(keys=keys, revoked=revoked)
    assert open_identity(document, pinned=CITY.thumbprint, now_ms=NOW).keys == tuple(keys)


def test_fields_of_a_later_version_are_ignored_and_persian_names_are_read():
    opened = open_identity(signed(payload(later={"a": [1]}, name="مى\u200cخواهم")), pinned=None, now_ms=NOW)
    assert opened.name == "مى\u200cخواهم"


def opened(document: str):
    return open_identity(document, pinned=None, now_ms=NOW)


def not_newer(known: str, received: str) -> str:
    with pytest.raises(BadIdentity) as caught:
        newer(opened(known), opened(received))
    return caught.value.reason


def test_a_higher_version_takes_the_place_of_a_lower_one_and_nothing_else_does():
    first, second = CITY.document(1), CITY.document(2)
    assert newer(opened(first), opened(second))
    assert not newer(opened(second), opened(CITY.document(2)))
    assert not_newer(second, first) == "lower-version"
    assert not_newer(second, CITY.document(2, name="Esfahan")) == "other-document"
    assert not_newer(second, STRANGER.document(3)) == "other-identity"
    assert not_newer(second, CITY.document(3, city="elsewhere")) == "other-city"


def test_a_city_can_neither_drop_a_key_nor_take_back_a_revocation():
    lost = RevokedKey(jose.thumbprint(SigningCity().publish), NOW, "lost")
    keys = [online("publish", CITY.publish), online("access", CITY.access)]
    known = CITY.document(2, keys=keys, revoked=[lost])
    assert not_newer(known, CITY.document(3, keys=keys[:1], revoked=[lost])) == "keys-dropped"
    assert not_newer(known, CITY.document(3, keys=keys)) == "keys-dropped"
    ended = [online("publish", CITY.publish, NOW, NOW + DAY), keys[1], online("publish", SigningCity().publish)]
    assert newer(opened(known), opened(CITY.document(3, keys=ended, revoked=[lost])))


def test_a_revocation_says_who_ends_and_only_that_identitys_key_can_sign_it():
    statement = sign_revocation(CITY.identity, city="isfahan", revoked_at=NOW, reason="the key was stolen")
    found = open_revocation(statement, pinned=CITY.thumbprint)
    assert (found.city, found.thumbprint, found.revoked_at) == ("isfahan", CITY.thumbprint, NOW)
    content = json.loads(jose.claimed_payload(statement))
    for wrong, reason in [
        (signed(content, STRANGER.identity, "sistercity-revocation"), "wrong-signer"),
        (signed(content, STRANGER.identity, "sistercity-revocation", kid=CITY.thumbprint), "forged"),
        (sign_revocation(STRANGER.identity, city="isfahan", revoked_at=NOW, reason=""), "other-identity"),
        (CITY.document(), "wrong-type"),
        (signed({**content, "format": 2}, typ="sistercity-revocation"), "malformed"),
        (signed({**content, "reason": "\u202e"}, typ="sistercity-revocation"), "malformed"),
    ]:
        with pytest.raises(BadIdentity) as caught:
            open_revocation(wrong, pinned=CITY.thumbprint)
        assert caught.value.reason == reason


def test_nothing_is_signed_that_a_receiver_would_refuse():
    for changed in ({"name": "\u202e"}, {"keys": [online("publish", CITY.publish), online("access", CITY.publish)]}):
        with pytest.raises(BadIdentity):
            CITY.document(**changed)
    with pytest.raises(BadIdentity):
        sign_revocation(CITY.identity, city="isfahan", revoked_at=NOW, reason="\x00")
