"""Thieves write any date: what a stolen key signs is refused from when a receiver knows, whatever time it bears."""

import pytest

from federation import jose
from federation.access.assertion import BadAssertion, assertion, check_assertion
from federation.identity.changes import next_version, revoked, rotated
from federation.identity.document import Identity, open_identity
from federation.publications.chain import ChainEnd
from federation.publications.heads import LASTS_MS, BadHead, contradiction, open_head, sign_head
from tests.federation.identity.cities import DAY, NOW, SigningCity, online

CITY, NEW, RECEIVER = SigningCity(), SigningCity(), SigningCity("elsewhere")
LOG = "0b1f1f0e-6d7c-4a57-9f8e-1d3a5f0f8a11"
FIRST = open_identity(CITY.document(), pinned=CITY.thumbprint, now_ms=NOW)
WEEK = 7 * DAY


def changed(at: int, **changes) -> Identity:
    return open_identity(next_version(CITY.identity, FIRST, at, **changes), pinned=CITY.thumbprint, now_ms=at)


ROTATED = changed(
    NOW + WEEK,
    keys=rotated(FIRST, online("publish", NEW.publish, NOW + WEEK), WEEK),
)
REVOKED = changed(
    NOW + WEEK,
    keys=[*FIRST.keys, online("publish", NEW.publish, NOW + WEEK), online("access", NEW.access, NOW + WEEK)],
    revocations=revoked(FIRST, [key.kid for key in FIRST.keys], NOW + WEEK, "the disks were stolen"),
)


def head(at: int, key=CITY.publish, number: int = 1, digest: str = "a") -> str:
    ends = {"energy.import": ChainEnd(3, digest * 64)}
    return sign_head(key, city="isfahan", log=LOG, number=number, position=3, ends=ends, audit=None, now_ms=at)


def refusal(text: str, identity: Identity, now_ms: int | None) -> str | None:
    try:
        open_head(text, identity, now_ms)
    except BadHead as error:
        return error.reason
    return None


@pytest.mark.parametrize("dated", [NOW, NOW + WEEK - 1, NOW + WEEK, NOW + 2 * WEEK])
@pytest.mark.parametrize("kept", [False, True])
def test_a_head_by_a_revoked_key_is_refused_whatever_time_it_bears(dated, kept):
    text = head(dated)
    now = None if kept else dated
    assert refusal(text, REVOKED, now) == "unknown-key"
    assert refusal(text, FIRST, now) is None  # as long as the receiver does not know


def test_after_a_revocation_a_head_by_the_new_key_covers_what_was_there():
    before = open_head(head(NOW), FIRST, NOW)
    after = open_head(head(NOW + WEEK, NEW.publish, 2), REVOKED, NOW + WEEK)
    assert after.ends == before.ends
    assert contradiction(before, after) is None
    assert refusal(head(NOW + WEEK - 120_000, NEW.publish, 2), REVOKED, NOW + WEEK) == "unknown-key"  # not yet its time


def test_a_key_whose_time_is_over_signs_nothing_new_and_what_it_signed_is_verified_for_ever():
    end = NOW + 2 * WEEK  # a week of overlap
    assert refusal(head(end - 1), ROTATED, end - 1) is None
    assert refusal(head(end + 61_000), ROTATED, end + 61_000) == "unknown-key"
    assert refusal(head(NOW), ROTATED, None) is None
    assert refusal(head(NOW), changed(NOW + WEEK, keys=ROTATED.keys), None) is None


def test_an_old_key_that_is_found_is_good_for_a_back_dated_head_until_a_head_of_that_date_expires():
    """What docs/security.md says that remains: revoke a key that may have been copied, even an old one."""
    end = NOW + 2 * WEEK
    found = head(end - 1)
    assert refusal(found, ROTATED, end + LASTS_MS) is None
    assert refusal(found, ROTATED, end - 1 + LASTS_MS + 60_000) == "expired"
    kids = [FIRST.keys[0].kid]
    late = next_version(CITY.identity, ROTATED, end, revocations=revoked(ROTATED, kids, end, "found in a drawer"))
    assert refusal(found, open_identity(late, pinned=None, now_ms=end), end) == "unknown-key"


def asked(text: str, identity: Identity, now_ms: int) -> str | None:
    try:
        check_assertion(
            text,
            audience=RECEIVER.thumbprint,
            key_of=lambda issuer, kid: (
                identity.key_for("access", kid, now_ms) if issuer == identity.thumbprint else None
            ),
            now_ms=now_ms,
        )
    except BadAssertion as error:
        return error.reason
    return None


def test_a_revoked_key_asks_for_nothing_and_neither_does_a_key_of_another_use():
    now = NOW + WEEK
    by_old, by_new = (assertion(key, CITY.thumbprint, RECEIVER.thumbprint, now) for key in (CITY.access, NEW.access))
    assert (asked(by_old, FIRST, now), asked(by_old, REVOKED, now)) == (None, "unknown-key")
    assert (asked(by_new, FIRST, now), asked(by_new, REVOKED, now)) == ("unknown-key", None)
    for key in (CITY.publish, CITY.identity):
        assert asked(assertion(key, CITY.thumbprint, RECEIVER.thumbprint, now), FIRST, now) == "unknown-key"
    assert refusal(head(NOW, CITY.access), FIRST, NOW) == refusal(head(NOW, CITY.identity), FIRST, NOW) == "unknown-key"


def test_with_a_thiefs_head_a_city_is_not_accused_after_it_has_revoked_the_key():
    """A forged second head of a number would stop a metric at every partner; by a revoked key it is no head at all."""
    honest = open_head(head(NOW), FIRST, NOW)
    forged = head(NOW, digest="b")
    assert contradiction(honest, open_head(forged, FIRST, None)) is not None
    assert refusal(forged, REVOKED, None) == "unknown-key"
    assert jose.claimed_payload(forged) != honest.payload
