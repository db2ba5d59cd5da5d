"""What is stored of a city counts as long as a head of its own, by a key that is not revoked, covers it."""

from dataclasses import replace

import pytest

from federation import jose
from federation.identity.document import RevokedKey, open_identity
from federation.partners.witnessing import compared
from federation.publications.entries import entry_of
from federation.publications.heads import contradiction, open_head
from store.agreements import InstalledAgreement
from store.database import connect
from store.partner_heads import contradictions
from store.settlements import recorded_contradictions, settle
from tests.federation.identity.cities import NOW, online
from tests.federation.stage import Stage
from tests.federation.talking import IMPORT, SOLAR, Reply, TalkingCity, renew

pytestmark = pytest.mark.services

METRIC, OTHER = IMPORT.name, SOLAR.name


def both(city: TalkingCity, hour: int, value: int = 500) -> None:
    for metric in (METRIC, OTHER):
        city.publish(hour, metric, value=value)


@pytest.fixture
def hue() -> TalkingCity:
    """A city of two metrics, of which it has published two hours each."""
    city = TalkingCity(metrics=(IMPORT, SOLAR))
    for hour in range(2):
        both(city, hour)
    city.sign()
    return city


def revoke_key(city: TalkingCity) -> None:
    """The publish key was stolen: what the city says from now on is signed by another."""
    stolen, successor = city.keys.publish, jose.new_key()
    city.identity = city.keys.document(
        2,
        keys=[online("publish", stolen), online("access", city.keys.access), online("publish", successor)],
        revoked=[RevokedKey(jose.thumbprint(stolen), NOW, "stolen")],
    )
    city.keys = replace(city.keys, publish=successor)


def pulled(stage: Stage) -> None:
    assert [each.failure for each in stage.pull()] == [None]


def lines(stage: Stage) -> set[bytes]:
    return {bytes(line) for (line,) in stage.rows("SELECT line FROM partner_entries")}


def said(city: TalkingCity, *metrics: str) -> set[bytes]:
    return {each.line for each in city.published if not metrics or each.entry.header.metric in metrics}


def figures(stage: Stage, metric: str = METRIC) -> list[int]:
    query = f"SELECT value FROM partner_cells WHERE city = 'hue' AND metric = '{metric}' AND value IS NOT NULL"
    return [row[0] for row in stage.rows(f"{query} ORDER BY window_start")]


def accused(stage: Stage) -> list[tuple[str, str]]:
    with connect(stage.database_url) as connection:
        return [(each.metric, each.reason) for each in contradictions(connection)]


@pytest.fixture
def thief(stage: Stage, hue: TalkingCity) -> InstalledAgreement:
    """We have pulled the city, and two more hours of each metric that a thief of its key has signed."""
    agreement = stage.meet(hue)
    honest = list(hue.published)
    for hour in (2, 3):
        both(hue, hour, 666)
    hue.sign()
    pulled(stage)
    hue.published[:] = honest
    return agreement


def test_what_only_a_thief_has_added_goes_with_the_key(stage: Stage, hue: TalkingCity, thief: object) -> None:
    revoke_key(hue)
    hue.sign()
    pulled(stage)
    assert (lines(stage), figures(stage), accused(stage)) == (said(hue), [500, 500], [])
    both(hue, 2, 5)
    hue.sign()
    pulled(stage)
    assert (lines(stage), figures(stage), accused(stage)) == (said(hue), [500, 500, 5], [])


def test_a_metric_that_only_a_thief_has_published_goes_with_the_key(
    stage: Stage, hue: TalkingCity, thief: object
) -> None:
    hue.published[:] = [each for each in hue.published if each.entry.header.metric == METRIC]
    revoke_key(hue)
    hue.sign()
    pulled(stage)
    assert (lines(stage), figures(stage, OTHER), accused(stage)) == (said(hue), [], [])


def test_a_chain_that_begins_anew_leaves_nothing_of_the_one_before(
    stage: Stage, hue: TalkingCity, thief: object
) -> None:
    hue.published.clear()
    hue.publish(0, sequence=3, value=5)
    hue.publish(0, OTHER)
    revoke_key(hue)
    hue.sign()
    pulled(stage)
    assert (lines(stage), figures(stage), accused(stage)) == (said(hue), [5], [])


def test_a_gap_that_is_skipped_leaves_nothing_of_what_was_in_it(stage: Stage, hue: TalkingCity, thief: object) -> None:
    hue.publish(2, kind="skip", sequence=4)
    hue.publish(3, value=5)
    revoke_key(hue)
    hue.sign()
    pulled(stage)
    assert (lines(stage), figures(stage), accused(stage)) == (said(hue), [500, 500, 5], [])


def test_what_is_not_agreed_when_the_key_goes_is_compared_when_it_is_agreed_again(
    stage: Stage, hue: TalkingCity, thief: InstalledAgreement
) -> None:
    with connect(stage.database_url) as connection:
        narrow = renew(connection, replace(thief, grants=thief.grants[:1]))
    assert narrow.metrics("received") == (METRIC,)
    revoke_key(hue)
    hue.edits["/v1/entries"] = lambda reply: replace(
        reply, body=b"".join(line for line in reply.body.splitlines(keepends=True) if OTHER.encode() not in line)
    )
    hue.sign()
    pulled(stage)
    hue.edits.clear()
    both(hue, 2, 5)
    hue.sign()
    with connect(stage.database_url) as connection:
        renew(connection, replace(narrow, grants=thief.grants))
    pulled(stage)
    assert (lines(stage), figures(stage, OTHER), accused(stage)) == (said(hue), [500, 500, 5], [])


def test_what_the_next_head_covers_is_not_read_again(stage: Stage, hue: TalkingCity) -> None:
    stage.meet(hue)
    pulled(stage)
    bodies = stage.rows("SELECT metric, sequence, xmin::text FROM partner_bodies ORDER BY 1, 2")
    revoke_key(hue)
    hue.sign()
    pulled(stage)
    assert stage.rows("SELECT metric, sequence, xmin::text FROM partner_bodies ORDER BY 1, 2") == bodies
    hue.requests.clear()
    pulled(stage)
    assert hue.requests.count("/v1/entries") == 1, "what is anchored again is not read from the beginning"


def test_what_an_operator_has_kept_after_the_key_went_is_not_replaced_in_silence(
    stage: Stage, hue: TalkingCity, thief: object
) -> None:
    told = [each for each in hue.published if each.entry.header.metric == METRIC]
    hue.published[:] = [*told[:1], *(each for each in hue.published if each not in told)]
    hue.publish(1, value=7)
    hue.sign()
    assert stage.refused() == "contradicted"
    revoke_key(hue)
    hue.sign()
    stage.pull()
    with connect(stage.database_url) as connection:
        for recorded in recorded_contradictions(connection, hue.keys.thumbprint):
            settle(connection, recorded, "kept", by="N. N.", why="they were robbed")
    stage.pull()
    assert figures(stage) == [500, 500, 666, 666]
    assert len(accused(stage)) > 1


@pytest.fixture
def witness(stage: Stage) -> TalkingCity:
    """Another partner, who shows what it has seen."""
    city = TalkingCity("lund")
    city.say(0)
    stage.meet(city, id="B" * 22, witness=True)
    return city


def proof(stage: Stage, city: TalkingCity) -> None:
    """Whoever has the identity document sees from the pieces alone that both can't be true."""
    with connect(stage.database_url) as connection:
        found = contradictions(connection)
    identity = open_identity(city.identity, pinned=city.keys.thumbprint, now_ms=None)
    assert found
    for each in found:
        first, second = (open_head(document, identity, None) for document in (each.first, each.second))
        if contradiction(first, second) is None:
            assert each.sequence is not None
            assert first.ends[each.metric].sequence >= each.sequence - 1, "the first head covers what is contradicted"
            assert entry_of(each.lines.splitlines()[0]).header.sequence == each.sequence


def test_a_head_that_a_witness_showed_first_is_the_citys_word_once_the_city_gives_it(
    stage: Stage, hue: TalkingCity, witness: TalkingCity
) -> None:
    stage.meet(hue)
    stage.pull()
    both(hue, 2)
    witness.seen[hue.keys.thumbprint] = [hue.sign()]
    hue.edits["/v1/head"] = lambda reply: Reply(404)
    stage.pull()
    assert stage.rows("SELECT seen_by FROM partner_heads WHERE number = 2") == [(witness.keys.thumbprint,)]
    witness.seen.clear()
    hue.edits.clear()
    stage.pull()
    del hue.published[-2:]
    both(hue, 2, 7)
    both(hue, 3)
    hue.sign()
    stage.pull()
    assert figures(stage) == [500] * 3
    proof(stage, hue)


def test_heads_that_a_witness_shows_do_not_push_out_the_one_that_covers_what_is_stored(
    stage: Stage, hue: TalkingCity
) -> None:
    stage.meet(hue)
    pulled(stage)
    shown = [hue.sign(number=number) for number in range(1000, 1210)]
    with connect(stage.database_url) as connection:
        assert compared(connection, hue.keys.thumbprint, shown, "a witness") == []
    del hue.heads[1:]
    hue.published.clear()
    for hour in range(3):
        both(hue, hour, 7)
    hue.sign(number=3)
    stage.pull()
    assert figures(stage) == [500] * 2
    proof(stage, hue)
