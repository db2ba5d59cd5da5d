"""After a contradiction an operator decides, and pulling goes on from there; what was proven stays."""

import asyncio
from typing import get_args

import pytest

from federation.partners.housekeeping import STANDINGS
from federation.partners.pulling import follow
from store.database import connect
from store.partner_standing import StandingWord, metric_standings
from store.settlements import Choice, recorded_contradictions, settle, skip_body, skipped_bodies
from tests.federation.identity.cities import NOW
from tests.federation.stage import Stage
from tests.federation.talking import IMPORT, SOLAR, TalkingCity, pulling
from tests.waiting import until

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
    assert stage.pull()[0].failure is None
    return city


def rewrite(city: TalkingCity, value: int) -> None:
    """Say another second hour than before."""
    kept = [each for each in city.published if each.entry.header.metric != METRIC or each.entry.header.sequence < 2]
    city.published[:] = kept
    city.publish(1, value=value)


def decide(stage: Stage, city: TalkingCity, choice: Choice) -> int:
    with connect(stage.database_url) as connection:
        [*_, newest] = recorded_contradictions(connection, city.keys.thumbprint)
        return settle(connection, newest, choice, by="N. N.", why="they had a fire")


def values(stage: Stage, metric: str = METRIC) -> list[int]:
    query = f"SELECT value FROM partner_cells WHERE metric = '{metric}' AND value IS NOT NULL ORDER BY window_start"
    return [row[0] for row in stage.rows(query)]


def told(stage: Stage) -> list[tuple[object, ...]]:
    return stage.rows("SELECT metric, reason, chosen FROM contradictions ORDER BY id")


def standing(stage: Stage) -> str:
    with connect(stage.database_url) as connection:
        return {each.metric: str(each.standing) for each in metric_standings(connection, NOW)}[METRIC]


def test_the_citys_present_story_replaces_what_we_held_which_stays_as_proof(stage: Stage, hue: TalkingCity) -> None:
    first = [each.line for each in hue.published if each.entry.header.metric == METRIC]
    rewrite(hue, 7)
    hue.sign()
    assert stage.refused() == "contradicted"
    assert decide(stage, hue, "replaced") == 2
    assert (values(stage), values(stage, SOLAR.name)) == ([], [500, 500])
    assert stage.pull()[0].failure is None
    assert (values(stage), standing(stage)) == ([500, 7], "fresh")
    assert [bytes(row[0]) for row in stage.rows("SELECT line FROM replaced_entries ORDER BY sequence")] == first
    hue.say(2)
    assert stage.pull()[0].failure is None
    assert (values(stage), told(stage)) == ([500, 7, 500], [(METRIC, "two-stories", "replaced")])
    [(by, why)] = stage.rows("SELECT settled_by, settled_why FROM contradictions")
    assert (by, why) == ("N. N.", "they had a fire")


def test_with_what_we_hold_it_goes_on_once_the_city_does_and_not_before(stage: Stage, hue: TalkingCity) -> None:
    honest = list(hue.published)
    rewrite(hue, 7)
    hue.sign()
    stage.pull()
    assert decide(stage, hue, "kept") == 0
    hue.say(2, metric=SOLAR.name)
    assert stage.refused() == "contradicted"
    assert told(stage) == [(METRIC, "two-stories", "kept"), (METRIC, "two-stories", None)]
    decide(stage, hue, "kept")
    solar = [each for each in hue.published if each not in honest and each.entry.header.metric == SOLAR.name]
    hue.published[:] = [*honest, *solar]
    hue.say(2)
    assert stage.pull()[0].failure is None
    assert (values(stage), len(values(stage, SOLAR.name)), standing(stage)) == ([500] * 3, 3, "fresh")
    rewrite(hue, 7)
    hue.publish(2)
    hue.publish(3)
    hue.sign()
    assert stage.refused() == "contradicted"
    assert told(stage)[-1] == (METRIC, "rewritten", None)


def test_a_chain_that_went_back_stops_its_metric_alone_until_it_goes_on(stage: Stage, hue: TalkingCity) -> None:
    short = [each for each in hue.published if each.entry.header.metric != METRIC or each.entry.header.sequence == 1]
    hue.published[:] = short
    hue.sign()
    stage.pull()
    decide(stage, hue, "kept")
    hue.say(2, metric=SOLAR.name)
    assert stage.refused() == "contradicted"
    assert (told(stage)[-1], len(values(stage, SOLAR.name))) == ((METRIC, "goes-back", None), 3)
    decide(stage, hue, "replaced")
    assert stage.pull()[0].failure is None
    assert values(stage) == [500]


def test_a_whole_city_with_two_heads_of_one_number_is_read_anew(stage: Stage, hue: TalkingCity) -> None:
    rewrite(hue, 7)
    hue.sign(number=1)
    assert stage.refused() == "contradicted"
    assert decide(stage, hue, "replaced") == 4
    assert stage.pull()[0].failure is None
    assert (values(stage), values(stage, SOLAR.name)) == ([500, 7], [500, 500])
    hue.say(2)
    assert stage.pull()[0].failure is None
    assert told(stage) == [("", "two-heads", "replaced")]


def test_what_a_witness_saw_before_the_decision_proves_nothing_new_and_what_it_sees_later_does(
    stage: Stage, hue: TalkingCity
) -> None:
    second, other = TalkingCity("da-nang"), TalkingCity("hue", metrics=(IMPORT, SOLAR))
    second.say(0)
    other.keys = hue.keys
    other.publish(0, value=8)
    hue.say(2)
    hue.say(3)
    stage.pull()
    seen = second.seen[hue.keys.thumbprint] = [other.sign(number=2)]
    stage.meet(second, id="B" * 22, witness=True)
    stage.pull()
    before = told(stage)
    assert before
    for metric, _, _ in before:
        with connect(stage.database_url) as connection:
            for recorded in recorded_contradictions(connection, hue.keys.thumbprint):
                if recorded.found.metric == metric:
                    settle(connection, recorded, "kept", by="N. N.", why="they had a fire")
    stage.pull()
    assert len(told(stage)) == len(before)
    assert standing(stage) == "fresh"
    seen.append(other.sign(number=9))
    stage.pull()
    assert len(told(stage)) > len(before)


def test_a_puller_that_runs_takes_it_up_although_nothing_of_the_city_has_changed(
    stage: Stage, hue: TalkingCity, caplog: pytest.LogCaptureFixture
) -> None:
    hue.tags = True
    rewrite(hue, 7)
    hue.sign()

    def contradicted() -> bool:
        return bool(told(stage)) and hue.unchanged.get("/v1/entries", 0) > 0

    async def following() -> None:
        ended = asyncio.Event()
        task = asyncio.create_task(follow(pulling(stage.database_url), ended, poll_s=0.2))
        await asyncio.to_thread(until, contradicted, "it was contradicted, and then nothing was new")
        await asyncio.to_thread(decide, stage, hue, "replaced")
        await asyncio.to_thread(until, lambda: values(stage) == [500, 7], "the metric is read anew")
        ended.set()
        await task

    STANDINGS.clear()
    asyncio.run(following())
    shown = {sample.labels["standing"]: sample.value for family in STANDINGS.collect() for sample in family.samples}
    assert shown.keys() == set(get_args(StandingWord)) and sum(shown.values()) == 1
    assert "does not go with its entries" not in caplog.text


def test_a_body_that_is_refused_for_ever_is_passed_over(stage: Stage, hue: TalkingCity) -> None:
    hue.publish(2, edit=lambda body: body["cells"].reverse())
    hue.publish(3, value=9)
    hue.sign()
    assert stage.refused() == "malformed"
    assert values(stage) == [500, 500]
    with connect(stage.database_url) as connection:
        assert not skip_body(connection, hue.keys.thumbprint, METRIC, 9, by="N. N.", why="out of order")
        assert not skip_body(connection, hue.keys.thumbprint, METRIC, 2, by="N. N.", why="it is here, and not refused")
        assert skip_body(connection, hue.keys.thumbprint, METRIC, 3, by="N. N.", why="out of order")
        assert [(body.sequence, body.by) for body in skipped_bodies(connection, hue.keys.thumbprint)] == [(3, "N. N.")]
    assert stage.pull()[0].failure is None
    assert (values(stage), standing(stage)) == ([500, 500, 9], "fresh")


def test_what_was_passed_over_in_one_story_is_read_in_the_story_that_replaces_it(
    stage: Stage, hue: TalkingCity
) -> None:
    hue.publish(2, edit=lambda body: body["cells"].reverse())
    hue.sign()
    assert stage.refused() == "malformed"
    with connect(stage.database_url) as connection:
        assert skip_body(connection, hue.keys.thumbprint, METRIC, 3, by="N. N.", why="out of order")
    assert stage.pull()[0].failure is None
    rewrite(hue, 7)
    hue.publish(2, value=8)
    hue.sign()
    assert stage.refused() == "contradicted"
    decide(stage, hue, "replaced")
    assert stage.pull()[0].failure is None
    assert values(stage) == [500, 7, 8]
