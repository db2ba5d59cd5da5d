"""What a pull makes of a partner's identity: rotated, revoked and old documents, and a thief with a revoked key."""

import asyncio
from dataclasses import replace

import pytest

from federation.identity.changes import next_version, revoked, rotated
from federation.identity.document import BadIdentity, Identity, open_identity
from federation.partners.identities import accepted
from federation.partners.partner import PullResult
from federation.partners.pulling import Pulled, pull
from store.database import connect
from store.identities import identity_of, revocation_of
from tests.federation.identity.cities import DAY, NOW, SigningCity, online
from tests.federation.talking import AGREEMENT, TalkingCity, agree, agreed, pulling, talking

pytestmark = pytest.mark.services

NEW = SigningCity("hue")


def run(database_url: str) -> Pulled:
    [pulled] = asyncio.run(pull(pulling(database_url)))
    return pulled


def counts(database_url: str) -> tuple[int, int]:
    """How many entries and bodies of the partner are stored."""
    with connect(database_url) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM partner_entries), (SELECT count(*) FROM partner_bodies)")
        entries, bodies = row.fetchone()
    return entries, bodies


def known(database_url: str, city: TalkingCity) -> Identity:
    with connect(database_url) as connection:
        return open_identity(identity_of(connection, city.keys.thumbprint), pinned=None, now_ms=None)


def change(city: TalkingCity, **changes) -> None:
    """The city signs the next version of its identity document."""
    before = open_identity(city.identity, pinned=None, now_ms=None)
    city.identity = next_version(city.keys.identity, before, NOW, **changes)


def revoke_publish_key(city: TalkingCity) -> None:
    before = open_identity(city.identity, pinned=None, now_ms=None)
    kids = [key.kid for key in before.keys if key.use == "publish" and not before.is_revoked(key.kid)]
    new = [*before.keys, online("publish", NEW.publish, NOW)]
    change(city, keys=new, revocations=revoked(before, kids, NOW, "the disk was stolen"))


def test_a_rotated_key_takes_over_and_an_older_document_is_refused(database_url: str) -> None:
    hue = TalkingCity()
    hue.say(0)
    first = hue.identity
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        run(database_url)
        change(hue, keys=rotated(open_identity(first, pinned=None, now_ms=NOW), online("publish", NEW.publish), DAY))
        hue.publish(1)
        hue.sign(key=NEW.publish)
        assert run(database_url).result == PullResult("hue", 1, 1, {})
        hue.identity = first
        hue.say(2)
        assert "version 1 of hue's identity document came after version 2" in run(database_url).failure
    assert (counts(database_url), known(database_url, hue).version) == ((2, 2), 2)


def test_a_thief_with_a_revoked_key_gets_nothing_in_whatever_date_it_writes(database_url: str) -> None:
    hue = TalkingCity()
    hue.say(0)
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        run(database_url)
        revoke_publish_key(hue)
        honest = list(hue.published)
        hue.publish(1, value=999)
        hue.sign(now_ms=NOW - DAY + 1)  # by the key that was stolen, dated before it was
        refused = run(database_url)
        assert "a key that hue has revoked" in refused.failure
        assert counts(database_url) == (1, 1)
        hue.published = honest
        hue.heads.pop()
        hue.publish(1)
        hue.sign(key=NEW.publish)
        assert run(database_url).result == PullResult("hue", 1, 1, {})  # and what was there is covered anew
    assert counts(database_url) == (2, 2)


def test_what_a_thief_had_sent_before_it_was_known_gives_way_to_what_a_valid_key_covers(database_url: str) -> None:
    hue = TalkingCity()
    hue.say(0)
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        run(database_url)
        honest, heads = list(hue.published), list(hue.heads)
        hue.publish(1, value=999)
        hue.sign()
        assert run(database_url).result == PullResult("hue", 1, 1, {})  # nobody knows yet
        hue.published, hue.heads = honest, heads
        revoke_publish_key(hue)
        hue.publish(1, value=400)
        hue.sign(key=NEW.publish, number=2)
        assert run(database_url).failure is None
    with connect(database_url) as connection:
        lines = connection.execute("SELECT line FROM partner_entries ORDER BY sequence").fetchall()
        values = connection.execute("SELECT value FROM partner_cells WHERE area = 1 ORDER BY window_start").fetchall()
        [accused] = connection.execute("SELECT count(*) FROM contradictions").fetchone()
    assert [bytes(line) for (line,) in lines] == [each.line for each in hue.published]
    assert (values, accused) == ([(500,), (400,)], 0)


def test_after_the_end_of_an_identity_nothing_is_pulled_and_no_document_brings_it_back(database_url: str) -> None:
    hue = TalkingCity()
    hue.say(0)
    first = hue.identity
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        run(database_url)
        hue.revoke()
        hue.say(1)
        assert "revoked its identity" in run(database_url).failure
        hue.identity = first
        assert asyncio.run(pull(pulling(database_url))) == []  # the agreement is over
    with connect(database_url) as connection:
        assert revocation_of(connection, hue.keys.thumbprint) is not None
    assert counts(database_url) == (1, 1)


def test_an_expired_document_is_refused_and_an_unexpired_copy_is_good_while_the_city_says_nothing(
    database_url: str,
) -> None:
    hue = TalkingCity()
    hue.tags = True
    hue.say(0)
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        run(database_url)
        assert run(database_url).failure is None  # 304: nothing new
        [late] = asyncio.run(pull(pulling(database_url, now_ms=NOW + 90 * DAY + 60_000)))
        assert "expired" in late.failure
    with connect(database_url) as connection:
        copy = accepted(connection, agreed(hue, ""), None, NOW + 90 * DAY - 1)
        assert copy == known(database_url, hue)
        with pytest.raises(BadIdentity, match="expired"):
            accepted(connection, agreed(hue, ""), None, NOW + 90 * DAY + 60_000)


def test_a_city_that_only_reads_here_is_asked_who_it_is_and_for_nothing_else(database_url: str) -> None:
    reader = TalkingCity()
    with talking(reader) as [address]:
        given = [replace(grant, direction="given") for grant in agreed(reader, address).grants]
        agree(database_url, agreed(reader, address, grants=tuple(given)))
        assert run(database_url) == Pulled("hue", AGREEMENT, PullResult("hue", 0, 0, {}), None)
        change(reader, keys=rotated(known(database_url, reader), online("access", NEW.access), DAY))
        run(database_url)
        assert set(reader.requests) == {"/v1/identity"}
    assert known(database_url, reader).version == 2


def test_a_city_that_only_reads_here_and_has_no_node_is_not_asked(database_url: str) -> None:
    reader = TalkingCity()
    given = [replace(grant, direction="given") for grant in agreed(reader, "").grants]
    agree(database_url, agreed(reader, "", grants=tuple(given), addresses=()))
    assert asyncio.run(pull(pulling(database_url))) == []


def test_a_city_that_has_lost_its_identity_is_pulled_again_under_its_new_one(database_url: str) -> None:
    """A drill of docs/security.md: the identity ends, both agree anew, and the chains are those of the same ledger."""
    before, after = TalkingCity(), TalkingCity()
    before.say(0, 1)
    with talking(before) as [address]:
        agree(database_url, agreed(before, address))
        assert run(database_url).failure is None
        before.revoke()
        assert "revoked its identity" in run(database_url).failure
    after.published = list(before.published)
    after.say(2)
    with talking(after) as [address]:
        agree(database_url, agreed(after, address, id="B" * 22))
        assert run(database_url) == Pulled("hue", "B" * 22, PullResult("hue", 3, 3, {}), None)
    with connect(database_url) as connection:
        values = connection.execute("SELECT value FROM partner_cells WHERE area = 1 ORDER BY window_start").fetchall()
    assert values == [(500,)] * 3
