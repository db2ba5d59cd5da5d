"""A city that lies about one metric: that one stops, the head proves the others, and they go on."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from federation import jose
from federation.identity.document import RevokedKey
from federation.partners.housekeeping import STOPPED, show_partners
from federation.partners.partner import PULLED
from node.commands.status import status
from node.doctor.partners import judge_partners
from node.settings import settings
from schemas.catalogue import catalogue
from store.database import connect
from store.partner_heads import contradictions
from store.partner_standing import metric_standings, partner_standings
from store.publications import PublishedCell, Window
from tests.federation.identity.cities import NOW, online
from tests.federation.stage import Stage
from tests.federation.talking import BEGIN, HOUR, IMPORT, SOLAR, Reply, TalkingCity

pytestmark = pytest.mark.services

FILL = catalogue()["waste.fill"]
LIED, RIGHT = IMPORT.name, (SOLAR.name, FILL.name)


class ThreeMetrics(TalkingCity):
    """A city that publishes the same hours of three metrics."""

    def hour(self, number: int, *metrics: str) -> None:
        for metric in metrics or (LIED, *RIGHT):
            own = [PublishedCell(1, FILL.classes[0], 70, "high", FILL.rule)] if metric == FILL.name else None
            self.publish(number, metric, cells=own)


@pytest.fixture
def hue(stage: Stage) -> ThreeMetrics:
    city = ThreeMetrics(metrics=(IMPORT, SOLAR, FILL))
    city.hour(0)
    city.sign()
    stage.meet(city)
    [pulled] = stage.pull()
    assert pulled.failure is None
    return city


def bodies(stage: Stage) -> dict[str, int]:
    return dict(stage.rows("SELECT metric, max(sequence) FROM partner_bodies GROUP BY metric"))


def standings(stage: Stage) -> dict[str, tuple[str, str | None]]:
    with connect(stage.database_url) as connection:
        return {each.metric: (each.standing, each.reason) for each in metric_standings(connection, NOW)}


def counted_as_refused() -> float:
    [family] = PULLED.collect()
    name = "sistercity_pulled_publications_total"
    return sum(each.value for each in family.samples if (each.name, each.labels.get("outcome")) == (name, "refused"))


def other_catalogue(city: ThreeMetrics) -> None:
    """The catalogue that the entries of one metric name is not there."""
    city.areas[0] = replace(city.areas[0], name="C")
    city.hour(1, LIED)
    hash_ = city.published[-1].entry.catalogue
    city.areas[0] = replace(city.areas[0], name="A")
    assert hash_ != city.published[0].entry.catalogue


LIES: dict[str, tuple[str, Callable[[ThreeMetrics], object]]] = {
    "a gap": ("gap", lambda city: city.publish(1, LIED, sequence=4)),
    "off the grid": ("off-grid", lambda city: city.publish(1, LIED, window=Window(BEGIN + 1, BEGIN + 1 + HOUR))),
    "of tomorrow": ("future", lambda city: city.publish(1, LIED, window=Window(NOW + HOUR, NOW + 2 * HOUR))),
    "of another city": ("other-city", lambda city: city.publish(1, LIED, entry=lambda e: replace(e, city="lund"))),
    "of no kind": ("malformed", lambda city: city.publish(1, LIED, entry=lambda e: replace(e, body="no hash"))),
    "of a catalogue that is not there": ("refused", other_catalogue),
}


@pytest.mark.parametrize(("reason", "lie"), LIES.values(), ids=LIES.keys())
def test_what_is_wrong_with_one_metric_stops_that_one_alone(
    stage: Stage, hue: ThreeMetrics, reason: str, lie: Callable[[ThreeMetrics], object]
) -> None:
    lie(hue)
    for hour in (1, 2):
        hue.hour(hour, *RIGHT)
        hue.sign()
        before = counted_as_refused()
        [pulled] = stage.pull()
        assert counted_as_refused() == before + 1, "an alert fires"
        assert pulled.result is not None and pulled.result.refused.keys() == {LIED}
        assert standings(stage) == {LIED: ("refused", reason), **dict.fromkeys(RIGHT, ("fresh", None))}
        assert bodies(stage) == {LIED: 1, **dict.fromkeys(RIGHT, hour + 1)}


def test_entries_that_are_withheld_of_one_metric_stop_that_one_alone(stage: Stage, hue: ThreeMetrics) -> None:
    hue.hour(1)
    hue.sign()
    kept = list(hue.published)
    hue.published[:] = [each for each in kept if each.entry.header.metric != LIED or each.entry.header.sequence == 1]
    stage.pull()
    assert standings(stage)[LIED] == ("refused", "withheld")
    assert bodies(stage) == {LIED: 1, **dict.fromkeys(RIGHT, 2)}
    hue.published[:] = kept
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert bodies(stage) == dict.fromkeys((LIED, *RIGHT), 2)


def test_what_was_mended_is_taken_from_where_it_stopped(stage: Stage, hue: ThreeMetrics) -> None:
    hue.tags = True
    hue.hour(1, LIED)
    for hour in (1, 2, 3):
        hue.hour(hour, *RIGHT)
    hue.sign()
    path = f"/v1/catalogues/{hue.published[0].entry.catalogue}"
    stage.rows("DELETE FROM partner_catalogues RETURNING hash")
    hue.edits[path] = lambda _: Reply(404)
    stage.pull()
    assert bodies(stage) == {LIED: 1, **dict.fromkeys(RIGHT, 4)}
    before = hue.requests.count("/v1/entries")
    del hue.edits[path]
    hue.hour(2, LIED)
    hue.sign()
    [pulled] = stage.pull()
    assert pulled.failure is None
    assert bodies(stage) == {LIED: 3, **dict.fromkeys(RIGHT, 4)}
    assert hue.requests.count("/v1/entries") > before


def test_a_head_of_a_refused_metric_is_the_citys_word_and_a_mended_story_that_it_does_not_name_is_another(
    stage: Stage, hue: ThreeMetrics
) -> None:
    hue.publish(1, LIED, window=Window(BEGIN + 1, BEGIN + 1 + HOUR))
    hue.hour(1, *RIGHT)
    hue.sign()
    stage.pull()
    place = next(at for at, each in enumerate(hue.published) if each.entry.header.sequence == 2)
    lie = hue.published.pop(place)
    position = lie.entry.header.position
    hue.publish(1, LIED, entry=lambda made: replace(made, header=replace(made.header, position=position)))
    hue.published.insert(place, hue.published.pop())
    hue.hour(2)
    hue.sign()
    stage.pull()
    with connect(stage.database_url) as connection:
        [found] = contradictions(connection)
    assert (found.metric, found.sequence, found.first, found.second) == (LIED, 2, hue.heads[1], hue.heads[2])
    assert standings(stage)[LIED][0] == "contradicted"
    assert bodies(stage) == {LIED: 1, **dict.fromkeys(RIGHT, 3)}


def test_an_older_head_proves_what_is_stored_of_a_refused_metric_until_its_key_is_revoked(
    stage: Stage, hue: ThreeMetrics
) -> None:
    first = hue.keys.publish
    hue.publish(1, LIED, sequence=4)
    second = jose.new_key()
    listed = [online("publish", first), online("publish", second), online("access", hue.keys.access)]
    hue.identity = hue.keys.document(2, keys=listed)
    hue.hour(1, *RIGHT)
    hue.sign(key=second)
    stage.pull()
    rows = stage.rows("SELECT metric, number FROM entry_ends JOIN partner_heads AS known ON known.hash = head")
    assert dict(rows) == {LIED: 1, **dict.fromkeys(RIGHT, 2)}
    gone = [RevokedKey(jose.thumbprint(first), NOW, "stolen")]
    hue.identity = hue.keys.document(3, keys=listed, revoked=gone)
    hue.hour(2, *RIGHT)
    hue.sign(key=second)
    stage.pull()
    assert stage.rows("SELECT metric FROM entry_ends WHERE NOT covered") == [(LIED,)]
    assert bodies(stage) == {LIED: 1, **dict.fromkeys(RIGHT, 3)}


def test_doctor_status_and_metrics_name_the_metric_and_why(
    stage: Stage, hue: ThreeMetrics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hue.publish(1, LIED, sequence=4)
    hue.hour(1, *RIGHT)
    hue.sign()
    stage.pull()
    with connect(stage.database_url) as connection:
        partners, metrics = partner_standings(connection, NOW), metric_standings(connection, NOW)
        show_partners(connection, NOW)
    [finding] = judge_partners(partners, metrics, [])
    assert f"stopped: {LIED} (gap); {', '.join(sorted(RIGHT))} go on" in finding.words
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", stage.database_url)
    settings.cache_clear()
    status()
    said = capsys.readouterr().out.splitlines()
    told = {
        metric: line for metric in (LIED, *RIGHT) for line in said if line.startswith(f"  {metric} of {hue.city} is ")
    }
    assert told.keys() == {LIED, *RIGHT}
    assert "is refused since" in told[LIED] and told[LIED].endswith("those between are missing")
    assert not any("refused" in told[metric] for metric in RIGHT)
    [family] = STOPPED.collect()
    shown = [each.labels for each in family.samples]
    assert shown == [{"city": hue.city, "metric": LIED, "standing": "refused"}]
