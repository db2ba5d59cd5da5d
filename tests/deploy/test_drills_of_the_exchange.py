"""Drills: what may go wrong between cities is done to the real parts, and its alert fires and clears."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.tls import renewing_context
from federation.partners.housekeeping import show_partners
from node.demo.certificates import Authority
from store.agreements import install
from store.database import connect
from store.identities import save_own_identity
from tests.deploy.drill import Scrape, assert_fires_and_clears, scrape
from tests.federation.city import T0, TOPIC
from tests.federation.identity.cities import DAY, NOW, online
from tests.federation.stage import Stage
from tests.federation.talking import HOUR, IMPORT, US, Reply, TalkingCity
from tests.federation.test_publisher import SLOT, a_city
from tests.publishing import publish_until

pytestmark = pytest.mark.services


@pytest.fixture
def ulm(stage: Stage) -> TalkingCity:
    """A city of a name that no other test uses, which has said two good hours."""
    city = TalkingCity("ulm")
    city.say(0, 1)
    stage.meet(city)
    return city


def test_a_partner_that_tells_two_stories(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    stage.pull()
    well = scrape("ulm")
    del ulm.published[1:]
    ulm.publish(1, value=7)
    ulm.sign()
    assert stage.refused() == "contradicted"
    found = scrape("ulm")
    assert_fires_and_clears("SistercityPartnerContradicted", well, [found], found, tmp_path)


def test_a_body_that_is_refused(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    stage.pull()
    well = scrape()
    ulm.publish(2, edit=lambda body: body.update(unit="kWh"))
    ulm.sign()
    assert stage.refused() == "other-unit"
    found = scrape()
    assert_fires_and_clears("SistercityBodiesRefused", well, [found], found, tmp_path)


def test_a_metric_whose_entries_are_withheld(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    stage.pull()
    well, kept = shown_of_ulm(stage), [*ulm.published, ulm.publish(2)]
    ulm.sign()
    del ulm.published[2:]
    assert stage.refused() == "withheld"
    wrong = shown_of_ulm(stage)
    ulm.published[:] = kept
    stage.pull()
    assert_fires_and_clears("SistercityPartnerMetricStopped", well, [wrong], shown_of_ulm(stage), tmp_path)


def shown_of_ulm(stage: Stage) -> Scrape:
    with connect(stage.database_url) as connection:
        show_partners(connection, NOW)
    return scrape("ulm")


def test_a_partner_that_is_not_pulled_any_more(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    stage.pull()
    well, later = scrape("ulm", at_ms=NOW), NOW + 3 * HOUR
    ulm.edits["/v1/head"] = lambda reply: Reply(403)
    assert stage.refused(now_ms=later) == "refused"
    wrong = scrape("ulm", at_ms=later)
    ulm.edits.clear()
    stage.pull(now_ms=later)
    assert_fires_and_clears("SistercityPartnerStale", well, [wrong], scrape("ulm", at_ms=later), tmp_path)


def test_a_partner_that_has_never_let_us_in(stage: Stage, tmp_path: Path) -> None:
    city = TalkingCity("graz")
    city.say(0)
    well = scrape("graz", at_ms=NOW)
    stage.meet(city)
    city.edits["/v1/token"] = lambda reply: Reply(401)
    assert stage.refused() == "refused"
    wrong = scrape("graz", at_ms=NOW)
    city.edits.clear()
    stage.pull()
    assert_fires_and_clears("SistercityPartnerNeverPulled", well, [wrong], scrape("graz", at_ms=NOW), tmp_path)


def test_an_agreement_that_ends_soon_and_is_renewed(stage: Stage, tmp_path: Path) -> None:
    city = TalkingCity("bern")
    city.say(0)
    agreement = stage.meet(city)
    stage.pull()
    well, later = scrape("bern", at_ms=NOW), NOW + 40 * DAY
    wrong = scrape("bern", at_ms=later)
    with connect(stage.database_url) as connection:
        longer = replace(agreement, version=2, hash="2", valid_until=later + 300 * DAY)
        install(connection, longer, agreement.hash)
    stage.pull(now_ms=later)
    assert_fires_and_clears("SistercityAgreementExpires", well, [wrong], scrape("bern", at_ms=later), tmp_path)


def test_an_identity_that_ends_soon_and_is_renewed(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    stage.pull()
    well, later = scrape("ulm", at_ms=NOW), NOW + 80 * DAY
    wrong = scrape("ulm", at_ms=later)
    ulm.identity = ulm.keys.document(2, issued_at=later, expires_at=later + 90 * DAY)
    stage.pull(now_ms=later)
    assert_fires_and_clears("SistercityIdentityExpires", well, [wrong], scrape("ulm", at_ms=later), tmp_path)


def test_an_access_key_that_ends_soon_and_is_listed_for_longer(stage: Stage, ulm: TalkingCity, tmp_path: Path) -> None:
    def listed_until(version: int, ends: int) -> None:
        keys = [online("publish", US.publish), online("access", US.access, NOW, ends)]
        with connect(stage.database_url) as connection:
            document = US.document(version, keys=keys)
            save_own_identity(connection, US.thumbprint, US.city, version, document, NOW + 90 * DAY)
        stage.pull()

    stage.pull()
    of = ('use="access"', "ulm")
    well = scrape(*of, at_ms=NOW)
    listed_until(2, NOW + 7 * DAY)
    wrong = scrape(*of, at_ms=NOW)
    listed_until(3, NOW + 365 * DAY)
    assert_fires_and_clears("SistercityKeyExpires", well, [wrong], scrape(*of, at_ms=NOW), tmp_path)


def test_a_certificate_that_ends_soon_and_is_renewed(tmp_path: Path) -> None:
    files = (tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    today = datetime.now(UTC)

    def renewed(number: int, days: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        made = Authority(folder, today + timedelta(days)).certify("door", ["door.example"])
        for file, content in zip(files, (made.certificate, made.key), strict=True):
            file.write_bytes(content.read_bytes())

    renewed(1, 90)
    context = renewing_context(*files)
    well = scrape()
    renewed(2, 0)
    wrong = scrape()
    renewed(3, 90)
    assert_fires_and_clears("SistercityCertificateExpires", well, [wrong], scrape(), tmp_path)
    assert context.sni_callback is not None


def test_a_publisher_that_does_not_get_level(database_url: str, tmp_path: Path) -> None:
    """Each turn ends before all that was due is published."""
    a_city(database_url, 3)
    with connect(database_url) as connection:

        def turn(at_ms: int) -> None:
            publish_until(connection, [IMPORT], TOPIC, at_ms, T0, most=1)

        turn(SLOT - 1)
        well, wrong = scrape(), []
        for _ in range(3):
            turn(SLOT + 2 * HOUR)
            wrong.append(scrape())
        turn(SLOT + 2 * HOUR)
        assert_fires_and_clears("SistercityPublicationLate", well, wrong, scrape(), tmp_path)
