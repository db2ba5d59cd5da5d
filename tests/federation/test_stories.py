"""A city that tells two stories has signed both: both are kept, that metric stops, and races are no contradictions."""

from dataclasses import replace

import pytest

from federation import jose
from federation.identity.document import RevokedKey, open_identity
from federation.publications.heads import open_head
from store.agreements import MetricGrant, revoke
from store.database import connect
from store.partner_heads import contradictions
from store.partner_standing import metric_standings
from tests.federation.identity.cities import DAY, NOW, online
from tests.federation.stage import Stage
from tests.federation.talking import BEGIN, IMPORT, SOLAR, US, Reply, TalkingCity, agree, renew

pytestmark = pytest.mark.services

METRIC = IMPORT.name


@pytest.fixture
def hue(stage: Stage) -> TalkingCity:
    """A city of two metrics, of which we have pulled two hours each."""
    city = TalkingCity(metrics=(IMPORT, SOLAR))
    for metric in (METRIC, SOLAR.name):
        city.publish(0, metric)
        city.publish(1, metric)
    city.sign()
    stage.meet(city)
    [pulled] = stage.pull()
    assert pulled.failure is None
    return city


def proven(stage: Stage, city: TalkingCity) -> list[tuple[str, str, int | None]]:
    """The contradictions, after both heads of each have been verified: by anybody, with the identity document."""
    with connect(stage.database_url) as connection:
        found = contradictions(connection)
        standings = {each.metric: each.standing for each in metric_standings(connection, NOW)}
    identity = city.keys.document()
    opened = open_identity(identity, pinned=city.keys.thumbprint, now_ms=None)
    for each in found:
        assert open_head(each.first, opened, None).payload != open_head(each.second, opened, None).payload
        stopped = standings if not each.metric else [each.metric]
        assert all(standings[metric] == "contradicted" for metric in stopped)
    return [(each.metric, each.reason, each.sequence) for each in found]


def rewrite(city: TalkingCity, value: int) -> None:
    """Say another second hour than before."""
    kept = [each for each in city.published if each.entry.header.metric != METRIC or each.entry.header.sequence < 2]
    city.published[:] = kept
    city.publish(1, value=value)


def test_a_rewritten_entry_of_a_sequence_that_was_signed_is_proven_by_both_heads(
    stage: Stage, hue: TalkingCity
) -> None:
    rewrite(hue, 7)
    hue.sign()
    assert stage.refused() == "contradicted"
    assert proven(stage, hue) == [(METRIC, "two-stories", 2)]


def test_a_rewritten_history_is_proven_when_its_chain_goes_on(stage: Stage, hue: TalkingCity) -> None:
    rewrite(hue, 7)
    hue.publish(2)
    hue.publish(2, SOLAR.name)
    hue.sign()
    assert stage.refused() == "contradicted"
    assert proven(stage, hue) == [(METRIC, "rewritten", 3)]
    assert stage.rows(f"SELECT count(*) FROM partner_entries WHERE metric = '{SOLAR.name}'") == [(3,)]
    assert stage.rows(f"SELECT count(*), count(DISTINCT hash) FROM partner_entries WHERE metric = '{METRIC}'") == [
        (2, 2)
    ]


def test_nothing_more_is_taken_of_a_metric_that_was_contradicted_and_of_others_it_is(
    stage: Stage, hue: TalkingCity
) -> None:
    rewrite(hue, 7)
    hue.sign()
    stage.pull()
    hue.publish(2)
    hue.publish(2, SOLAR.name)
    hue.sign()
    assert stage.refused() == "contradicted"
    assert stage.rows("SELECT metric, max(sequence) FROM partner_bodies GROUP BY metric ORDER BY metric") == [
        (METRIC, 2),
        (SOLAR.name, 3),
    ]


def test_two_heads_of_one_number_stop_everything_of_the_city(stage: Stage, hue: TalkingCity) -> None:
    hue.publish(2)
    hue.sign(number=1)
    assert stage.refused() == "contradicted"
    assert proven(stage, hue) == [("", "two-heads", None)]
    hue.publish(3)
    hue.sign(number=9)
    assert stage.refused() == "contradicted"
    assert stage.stored()[0] == 4


def test_a_truncated_chain_under_a_newer_head_is_proven(stage: Stage, hue: TalkingCity) -> None:
    hue.published[:] = [each for each in hue.published if each.entry.header.sequence == 1]
    hue.sign()
    assert stage.refused() == "contradicted"
    assert proven(stage, hue) == [(METRIC, "goes-back", 2), (SOLAR.name, "goes-back", 2)]


def test_a_head_that_another_partner_saw_proves_that_it_was_told_another_story(stage: Stage, hue: TalkingCity) -> None:
    second = TalkingCity("da-nang")
    second.say(0)
    other = TalkingCity("hue", metrics=(IMPORT, SOLAR))
    other.keys = hue.keys
    other.publish(0, value=8)
    second.seen[hue.keys.thumbprint] = [
        other.sign(number=1),
        "no head",
        TalkingCity("hue").sign(),
    ]
    stage.meet(second, id="B" * 22, witness=True)
    assert [pulled.failure for pulled in stage.pull() if pulled.city == "da-nang"] == [None]
    assert proven(stage, hue) == [("", "two-heads", None)]
    [(seen_by,)] = stage.rows("SELECT seen_by FROM contradictions")
    assert seen_by == second.keys.thumbprint


def test_entries_that_a_witness_saw_signed_otherwise_are_proven_by_what_we_hold(stage: Stage, hue: TalkingCity) -> None:
    second = TalkingCity("da-nang")
    second.say(0)
    other = TalkingCity("hue", metrics=(IMPORT, SOLAR))
    other.keys = hue.keys
    other.publish(0, value=8)
    hue.publish(2)
    hue.sign()
    stage.pull()
    second.seen[hue.keys.thumbprint] = [other.sign(number=7)]
    stage.meet(second, id="B" * 22, witness=True)
    stage.pull()
    assert (METRIC, "goes-back", 3) in proven(stage, hue) or (METRIC, "two-stories", 1) in proven(stage, hue)


@pytest.mark.parametrize(("more", "reason"), [((), "two-stories"), ((3,), "rewritten")], ids=["head", "entries"])
def test_what_the_city_gives_is_compared_with_what_a_witness_showed_before(
    stage: Stage, hue: TalkingCity, more: tuple[int, ...], reason: str
) -> None:
    second, other = TalkingCity("da-nang"), TalkingCity("hue", metrics=(IMPORT, SOLAR))
    second.say(0)
    other.keys = hue.keys
    other.published = list(hue.published)
    other.publish(2, value=8)
    shown = other.sign(number=7)
    second.seen[hue.keys.thumbprint] = [shown]
    stage.meet(second, id="B" * 22, witness=True)
    assert [pulled.failure for pulled in stage.pull()] == [None, None]
    for hour in (2, *more):
        hue.publish(hour)
    hue.publish(2, SOLAR.name)
    hue.sign(number=8)
    stage.pull()
    assert proven(stage, hue) == [(METRIC, reason, 3)]
    assert stage.rows("SELECT first FROM contradictions") == [(shown,)]
    assert stage.rows("SELECT metric, sequence FROM entry_ends ORDER BY metric, sequence DESC")[-1] == (SOLAR.name, 3)


def test_a_witness_without_that_agreement_is_not_asked(stage: Stage, hue: TalkingCity) -> None:
    assert not any(path.startswith("/v1/heads/") for path in hue.requests)


def test_our_own_heads_as_partners_saw_them_are_kept(stage: Stage, hue: TalkingCity) -> None:
    second = TalkingCity("da-nang")
    second.say(0)
    us = TalkingCity("isfahan")
    us.keys = US
    second.seen[US.thumbprint] = [us.sign(number=12)]
    stage.meet(second, id="B" * 22, witness=True)
    stage.pull()
    assert stage.rows(f"SELECT number FROM partner_heads WHERE thumbprint = '{US.thumbprint}'") == [(12,)]


def test_a_partner_that_only_reads_here_is_asked_what_it_has_seen(stage: Stage, hue: TalkingCity) -> None:
    reader, us = TalkingCity("da-nang"), TalkingCity("isfahan")
    us.keys = US
    reader.seen[US.thumbprint] = [us.sign(number=12)]
    given = MetricGrant("given", METRIC, BEGIN, 0, 3660)
    stage.meet(reader, id="B" * 22, witness=True, grants=(given,))
    assert [pulled.failure for pulled in stage.pull()] == [None, None]
    assert stage.rows(f"SELECT number FROM partner_heads WHERE thumbprint = '{US.thumbprint}'") == [(12,)]
    assert "/v1/entries" not in reader.requests


def test_a_city_that_publishes_between_two_requests_contradicts_nothing(stage: Stage, hue: TalkingCity) -> None:
    hours = iter(range(2, 5))

    def publish_first(reply: Reply) -> Reply:
        """After this answer was made, the city publishes."""
        if (hour := next(hours, None)) is not None:
            hue.say(hour)
        return reply

    hue.edits = {"/v1/entries": publish_first}
    [pulled] = stage.pull()
    assert pulled.failure is None
    hue.edits = {"/v1/head": publish_first}
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert stage.rows("SELECT count(*) FROM contradictions") == [(0,)]
    assert stage.stored()[0] == stage.stored()[1] == 7


def test_after_a_key_is_revoked_what_it_alone_had_signed_is_replaced(stage: Stage, hue: TalkingCity) -> None:
    """The thief of a publish key has said an hour; the city revokes the key and goes on from what it had said."""
    honest = list(hue.published)
    hue.publish(2, value=666)
    hue.sign(number=40)
    stage.pull()
    hue.published[:] = honest
    hue.publish(2, value=5)
    successor = jose.new_key()
    hue.identity = hue.keys.document(
        2,
        keys=[online("publish", hue.keys.publish), online("access", hue.keys.access), online("publish", successor)],
        revoked=[RevokedKey(jose.thumbprint(hue.keys.publish), NOW, "stolen")],
    )
    hue.sign(key=successor, number=3)
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert stage.rows("SELECT max(value), count(*) FILTER (WHERE value = 666) FROM partner_cells") == [(500, 0)]
    assert stage.rows("SELECT count(*) FROM contradictions") == [(0,)]
    assert stage.stored()[:2] == (5, 5)


def test_a_withdrawal_erases_at_once_and_its_body_says_so(stage: Stage, hue: TalkingCity) -> None:
    hue.publish(1, kind="withdrawal", revision=1)
    hue.sign()
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert (
        stage.rows(f"SELECT status, value FROM partner_cells WHERE metric = '{METRIC}' AND revision = 1")
        == [("withdrawn", None)] * 2
    )
    assert stage.rows(f"SELECT sequence FROM partner_bodies WHERE metric = '{METRIC}' ORDER BY 1") == [(1,), (3,)]
    assert stage.rows(f"SELECT count(*) FROM partner_entries WHERE metric = '{METRIC}'") == [(3,)]


def test_an_earlier_since_and_a_further_metric_are_read_from_the_beginning(stage: Stage) -> None:
    city = TalkingCity(metrics=(IMPORT, SOLAR))
    for hour in range(3):
        city.publish(hour)
        city.publish(hour, SOLAR.name)
    city.sign()
    agreement = stage.meet(city)
    first = [replace(agreement.grants[0], since=BEGIN + DAY)]
    stage.begin()
    stage.cities[city.city] = city
    narrow = replace(agreement, grants=tuple(first), valid_from=NOW - 2 * DAY)
    agree(stage.database_url, narrow)
    city.edits["/v1/entries"] = lambda reply: replace(
        reply, body=b"".join(line + b"\n" for line in reply.body.splitlines() if SOLAR.name.encode() not in line)
    )
    city.edits["/v1/bodies"] = lambda reply: replace(reply, body=b"")
    assert stage.pull()[0].failure is None
    assert stage.stored()[:2] == (3, 0)
    city.edits.clear()
    with connect(stage.database_url) as connection:
        renew(connection, replace(narrow, grants=agreement.grants))
    assert stage.pull()[0].failure is None
    assert stage.stored()[:2] == (6, 6)


def test_after_an_agreement_is_revoked_nothing_is_asked(stage: Stage, hue: TalkingCity) -> None:
    with connect(stage.database_url) as connection:
        revoke(connection, "A" * 22, "over")
    hue.requests.clear()
    assert stage.pull() == []
    assert hue.requests == []
