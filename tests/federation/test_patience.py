"""A partner that is new, away for a while, or moves: none of that is a failure."""

from dataclasses import replace

import pytest

from federation.partners.limits import QUICK_ATTEMPTS, FetchLimits
from node.doctor.partners import judge_partners
from store.database import connect
from store.partner_standing import partner_standings
from tests.federation.identity.cities import NOW
from tests.federation.stage import Stage
from tests.federation.talking import Reply, TalkingCity

pytestmark = pytest.mark.services

SHORT = FetchLimits(lines=2, backoff_s=0.001, backoff_cap_s=0.002)


def standing(stage: Stage) -> tuple[str, str | None, str | None]:
    with connect(stage.database_url) as connection:
        [found] = partner_standings(connection, NOW)
    return found.standing, found.reason, found.detail


@pytest.mark.parametrize(("published", "words"), [(0, "has published nothing yet"), (1, "has signed no head yet over")])
def test_a_city_that_has_signed_nothing_yet_is_new_and_not_at_fault(
    stage: Stage, published: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    city = TalkingCity()
    city.tags = True
    for hour in range(published):
        city.publish(hour)
    stage.meet(city)
    for _ in range(2):
        [pulled] = stage.pull()
        assert pulled.failure is None and pulled.result is not None
        assert words in (pulled.result.nothing_yet or "")
        found, reason, detail = standing(stage)
        assert (found, reason) == ("fresh", "nothing-yet") and words in (detail or "")
    with connect(stage.database_url) as connection:
        [finding] = judge_partners(partner_standings(connection, NOW), [], [])
    assert finding.level == "ok" and words in finding.words
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    city.say(1)
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert stage.stored() == (published + 1, published + 1, published + 1)
    assert standing(stage) == ("fresh", None, None)


def test_a_city_that_had_a_head_and_has_none_was_restored(stage: Stage, hue: TalkingCity) -> None:
    stage.pull()
    hue.heads.clear()
    assert stage.refused() == "older-head"


def test_a_pull_outlasts_the_upgrade_of_a_partner(stage: Stage, hue: TalkingCity) -> None:
    away = [Reply(503)] * 8
    hue.replies["/v1/head"] = list(away)
    [pulled] = stage.pull(SHORT)
    assert pulled.failure is None
    assert hue.requests.count("/v1/head") == len(away) + 1
    assert standing(stage)[0] == "fresh"


def test_patience_ends(stage: Stage, hue: TalkingCity) -> None:
    hue.edits["/v1/head"] = lambda _: Reply(503)
    assert stage.refused(replace(SHORT, patience_s=0.0)) == "unreachable"
    assert hue.requests.count("/v1/head") == 1
    assert stage.refused(SHORT) == "unreachable"
    assert hue.requests.count("/v1/head") == 1 + SHORT.attempts


def test_an_address_where_nobody_answers_does_not_hold_up_the_next_one(stage: Stage, hue: TalkingCity) -> None:
    moved = TalkingCity("moved")
    moved.edits["/v1/identity"] = lambda _: Reply(503)
    stage.cities["moved"] = moved
    agreement = stage.meet(hue)
    with connect(stage.database_url) as connection:
        connection.execute("UPDATE agreements SET addresses = %s", ([stage.address(moved), *agreement.addresses],))
    [pulled] = stage.pull(SHORT)
    assert pulled.failure is None
    assert moved.requests == ["/v1/identity"] * QUICK_ATTEMPTS
