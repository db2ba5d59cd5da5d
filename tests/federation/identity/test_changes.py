"""The next version of an identity document."""

import pytest

from federation import jose
from federation.identity.changes import listed, next_version, revoked, rotated, usable
from federation.identity.document import BadIdentity, newer, open_identity
from tests.federation.identity.cities import DAY, NOW, SigningCity, online

CITY, NEW = SigningCity(), SigningCity()
FIRST = open_identity(CITY.document(), pinned=CITY.thumbprint, now_ms=NOW)
PUBLISH, ACCESS = FIRST.keys


def test_the_next_version_says_the_same_but_for_what_is_given_and_is_newer():
    made = open_identity(next_version(CITY.identity, FIRST, NOW + DAY, name="Esfahan"), pinned=None, now_ms=NOW + DAY)
    assert newer(FIRST, made)
    assert (made.version, made.name, made.keys, made.contact) == (2, "Esfahan", FIRST.keys, FIRST.contact)
    assert (made.issued_at, made.expires_at) == (NOW + DAY, NOW + 91 * DAY)
    with pytest.raises(BadIdentity, match="not the one"):
        next_version(NEW.identity, FIRST, NOW)


def test_a_rotation_ends_the_key_of_its_use_alone_and_never_later_than_it_would_have_ended():
    new = online("access", NEW.access, NOW + DAY)
    assert rotated(FIRST, new, 7 * DAY) == [PUBLISH, online("access", CITY.access, NOW, NOW + 8 * DAY), new]
    assert rotated(FIRST, new, 1000 * DAY) == [PUBLISH, ACCESS, new]


def test_a_key_is_revoked_once_and_only_if_it_is_listed():
    once = open_identity(
        next_version(CITY.identity, FIRST, NOW, revocations=revoked(FIRST, [ACCESS.kid], NOW, "lost")),
        pinned=None,
        now_ms=NOW,
    )
    assert [(each.kid, each.reason) for each in once.revoked] == [(ACCESS.kid, "lost")]
    assert revoked(once, [ACCESS.kid], NOW + DAY, "again") == list(once.revoked)
    assert (usable(once, "access", NOW), usable(once, "publish", NOW)) == ([], [PUBLISH.kid])
    assert usable(FIRST, "publish", PUBLISH.not_after) == []
    with pytest.raises(BadIdentity, match="lists no key"):
        revoked(FIRST, [jose.thumbprint(NEW.access)], NOW, "lost")


def test_a_document_lists_no_private_half():
    assert listed("access", CITY.access, NOW).key.is_private is False
    with pytest.raises(BadIdentity, match="listed twice"):
        next_version(CITY.identity, FIRST, NOW, keys=[*FIRST.keys, listed("access", CITY.identity, NOW)])
