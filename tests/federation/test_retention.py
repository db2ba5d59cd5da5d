"""What a partner gave is erased when the time is over for which it may be kept; what was said stays proven."""

import asyncio
from dataclasses import replace

import pytest

from federation.compare import comparisons
from federation.identity.document import open_identity
from federation.partners.pulling import follow
from federation.publications.verifying import verified_heads, verify_chains
from schemas.catalogue import catalogue
from store.agreements import MetricGrant, install, revoke
from store.database import connect
from store.partner_series import partner_series
from store.partner_standing import metric_standings
from store.retention import KeptCity, erase_expired, kept_cities
from store.verification import heads_seen, one_state, partner_entries
from tests.federation.identity.cities import DAY, NOW
from tests.federation.stage import Stage
from tests.federation.talking import BEGIN, IMPORT, Reply, TalkingCity, agreed, pulling, renew
from tests.waiting import until

pytestmark = pytest.mark.services

DAYS = 30
OLD, YOUNG = 24 * 35, 24 * 50
"""Hours after BEGIN, which is 60 days ago: 25 and 10 days ago."""
LATER = NOW + 10 * DAY
"""Then the old hours are over, and the young ones are not."""


def kept_for(days: int) -> tuple[MetricGrant, ...]:
    return (MetricGrant("received", IMPORT.name, BEGIN - DAY, 0, days),)


@pytest.fixture
def hue(stage: Stage) -> TalkingCity:
    """A city of which we hold two old hours, one of them corrected, and a young one."""
    city = TalkingCity()
    city.say(OLD, OLD + 1, YOUNG)
    city.publish(OLD, kind="correction", revision=1, value=700)
    city.sign()
    stage.meet(city, grants=kept_for(DAYS))
    assert stage.pull()[0].failure is None
    return city


def sequences(stage: Stage, table: str) -> list[int]:
    return [row[0] for row in stage.rows(f"SELECT sequence FROM {table} ORDER BY 1")]


def test_what_is_over_is_erased_though_its_city_is_away_and_entries_and_heads_still_prove_it(
    stage: Stage, hue: TalkingCity
) -> None:
    assert sequences(stage, "partner_bodies") == [1, 2, 3, 4]
    hue.edits["/v1/identity"] = lambda _: Reply(404)
    assert stage.pull(now_ms=LATER)[0].failure is not None
    assert sequences(stage, "partner_bodies") == sequences(stage, "partner_publications") == [3]
    assert stage.rows("SELECT count(*), count(value) FROM partner_cells") == [(2, 1)]
    thumbprint = hue.keys.thumbprint
    with connect(stage.database_url) as connection, one_state(connection):
        [(header, _)], following = partner_series(
            connection, "hue", IMPORT.name, 0, NOW, area=None, class_=None, limit=9, most_cells=99
        )
        assert (header.sequence, following) == (3, None)
        assert {row.windows for row in comparisons(connection, "isfahan", catalogue())} == {1}
        identity = open_identity(hue.identity, pinned=thumbprint, now_ms=None)
        heads, _ = verified_heads(heads_seen(connection, thumbprint), identity)
        [chain] = verify_chains("hue", heads, partner_entries(connection, thumbprint), (), whole=False)
    assert (chain.entries, chain.bodies, chain.absent, chain.signed) == (4, 1, 3, 4)


def test_what_is_over_is_not_taken_again(stage: Stage, hue: TalkingCity) -> None:
    with connect(stage.database_url) as connection:
        while erase_expired(connection, LATER, 9):
            pass
        connection.execute("DELETE FROM body_cursors")
        connection.execute("UPDATE grants SET retention_days = 20")
    assert stage.pull()[0].failure is None
    assert sequences(stage, "partner_bodies") == [3]
    hue.publish(OLD, kind="withdrawal", revision=2)
    hue.sign()
    assert stage.pull()[0].failure is None
    assert (sequences(stage, "partner_bodies"), len(sequences(stage, "partner_entries"))) == ([3], 5)


def test_after_the_end_of_an_agreement_the_time_goes_on(stage: Stage, hue: TalkingCity) -> None:
    with connect(stage.database_url) as connection:
        revoke(connection, "A" * 22, "over")
    assert (stage.pull(), sequences(stage, "partner_bodies")) == ([], [1, 2, 3, 4])
    assert (stage.pull(now_ms=LATER), sequences(stage, "partner_bodies")) == ([], [3])
    assert stage.pull(now_ms=LATER + DAYS * DAY) == []
    assert stage.stored() == (4, 0, 0)
    with connect(stage.database_url) as connection:
        [standing] = metric_standings(connection, NOW)
        assert (standing.standing, standing.sequence, standing.until) == ("no-agreement", 4, None)


def test_the_version_in_force_says_how_long_and_of_several_agreements_the_longest(
    stage: Stage, hue: TalkingCity
) -> None:
    def days() -> list[int]:
        with connect(stage.database_url) as connection:
            return [city.days for city in kept_cities(connection, NOW)]

    assert days() == [DAYS]
    first = agreed(hue, stage.address(hue), valid_from=NOW - 299 * DAY, grants=kept_for(7))
    with connect(stage.database_url) as connection:
        renew(connection, first)
        assert days() == [7]
        other = replace(first, id="C" * 22, valid_from=NOW - 298 * DAY, grants=kept_for(20))
        install(connection, other, None)
        assert days() == [20]
        revoke(connection, first.id, "over")
        install(connection, replace(other, id="D" * 22, valid_from=NOW + 50 * DAY, grants=kept_for(90)), None)
        assert days() == [20]
        revoke(connection, other.id, "over")
        assert days() == [20]


def test_a_skip_goes_by_the_end_of_its_span_and_takes_no_window_with_it(stage: Stage) -> None:
    city = TalkingCity("linz")
    first = city.publish(OLD).entry.header.window
    city.publish(OLD, kind="skip", window=replace(first, end=first.end + 20 * DAY))
    city.sign()
    stage.meet(city, grants=kept_for(DAYS))
    assert stage.pull()[0].failure is None
    stage.pull(now_ms=LATER)
    assert sequences(stage, "partner_bodies") == sequences(stage, "partner_publications") == [2]


def test_parts_are_small_and_a_newer_revision_goes_last(stage: Stage, hue: TalkingCity) -> None:
    with connect(stage.database_url) as connection:
        assert kept_cities(connection, LATER) == [KeptCity("hue", hue.keys.thumbprint, DAYS, 3)]
        assert erase_expired(connection, LATER, 1) == 2
        assert sequences(stage, "partner_bodies") == sequences(stage, "partner_publications") == [2, 3, 4]
        assert [erase_expired(connection, LATER, 1) for _ in range(3)] == [2, 2, 0]
        assert kept_cities(connection, LATER) == [KeptCity("hue", hue.keys.thumbprint, DAYS, 0)]
        assert kept_cities(connection, NOW + 20 * DAY)[0].overdue == 1


def test_who_follows_partners_erases_meanwhile(stage: Stage, hue: TalkingCity) -> None:
    async def following() -> None:
        ended = asyncio.Event()
        task = asyncio.create_task(follow(pulling(stage.database_url, now_ms=LATER), ended, poll_s=60))
        await asyncio.to_thread(until, lambda: sequences(stage, "partner_bodies") == [3], "the old hours are erased")
        ended.set()
        await task

    asyncio.run(following())
