"""What the doctor says of agreements."""

from dataclasses import replace

import pytest

from node.clock import now_ms
from node.doctor.agreements import AgreementState, judge_agreements, read_agreements
from store.agreements import InstalledAgreement, KnownAgreement, MetricGrant, install
from store.database import connect
from store.identities import save_identity
from tests.federation.identity.cities import DAY, NOW, SigningCity

HELD = InstalledAgreement(
    *("an-agreement", 1, "us", "them", "hue", b"{}", "hash", ("https://hue.example",)),
    *(NOW - DAY, NOW + 90 * DAY, True, 600, 2**30, 4),
    (MetricGrant("given", "energy.import", 0, 0, 3660),),
)
NEXT = replace(HELD, version=2, valid_from=NOW + 80 * DAY, valid_until=NOW + 365 * DAY)


def known(agreement: InstalledAgreement, in_force: bool = True, reason: str | None = None) -> KnownAgreement:
    return KnownAgreement(agreement, in_force, reason, None if reason is None else NOW)


def troubles(*versions: KnownAgreement, after: int = 0, private: bool = False, **said: tuple[str, ...]) -> list[str]:
    found = judge_agreements(AgreementState(versions, said), NOW + after, private_addresses=private)
    return [finding.words for finding in found if finding.level != "ok"]


def test_an_agreement_with_time_left_is_ok_and_so_is_none():
    assert troubles() == troubles(known(HELD), them=HELD.addresses) == []
    assert troubles(known(HELD, in_force=False, reason="it ended")) == []


def test_an_agreement_that_ends_in_less_than_30_days_is_to_be_renewed_unless_it_was():
    assert troubles(known(HELD), after=60 * DAY) == []
    [soon] = troubles(known(HELD), after=60 * DAY + 1)
    assert "29 days from now: renew it" in soon
    assert troubles(known(HELD), known(NEXT, in_force=False), after=61 * DAY) == []
    gap = replace(NEXT, valid_from=NOW + 91 * DAY)
    assert "nothing holds in between" in troubles(known(HELD), known(gap, in_force=False))[0]


def test_an_agreement_that_ended_is_named_for_30_days():
    ended = known(HELD, in_force=False)
    assert "nothing is given or pulled" in troubles(ended, after=90 * DAY)[0]
    assert troubles(ended, after=120 * DAY) == []


def test_an_agreement_of_a_revoked_identity_is_named():
    assert "an identity is revoked" in troubles(known(HELD, in_force=False))[0]


def test_a_partner_that_says_it_is_elsewhere_and_one_in_a_private_network_are_named():
    assert "addresses an-agreement --allow" in troubles(known(HELD), them=("https://elsewhere.example",))[0]
    inside = known(replace(HELD, addresses=("https://192.168.1.1",)))
    assert "private network" in troubles(inside)[0]
    assert troubles(inside, private=True) == []


@pytest.mark.services
def test_the_state_is_read_from_the_database(database_url):
    them, now = SigningCity("hue"), now_ms()
    held = replace(HELD, partner=them.thumbprint, valid_from=now - DAY, valid_until=now + 90 * DAY)
    with connect(database_url) as connection:
        install(connection, held, None)
        assert read_agreements(database_url, 5) == AgreementState([known(held)], {})
        save_identity(connection, them.thumbprint, "hue", 1, them.document(), NOW + 90 * DAY)
    assert read_agreements(database_url, 5).said == {them.thumbprint: ("https://exchange.hue.example",)}
