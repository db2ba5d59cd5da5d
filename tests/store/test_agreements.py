"""Installed agreements: which version holds, what is refused, and that a revocation ends all of it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from store.agreements import (
    InstalledAgreement,
    InstallRefused,
    MetricGrant,
    in_force,
    install,
    known_agreements,
    partner_of,
    revoke,
)
from store.database import Connection, connect
from store.identities import save_revocation
from store.inspection import clock

pytestmark = pytest.mark.services

DAY = 86_400_000


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as found:
        yield found


def version(connection: Connection, number: int = 1, since: int = -1, until: int = 30, **changed) -> InstalledAgreement:
    """A version of an agreement that holds from `since` days from now until `until` days from now."""
    now = clock(connection)
    as_it_is = InstalledAgreement(
        *("an-agreement", number, "us", "them", "hue", b"{}", f"hash {number}", ("https://hue.example",)),
        *(now + since * DAY, now + until * DAY, True, 600, 2**30, 4),
        (MetricGrant("given", "energy.import", 0, 3_600, 3660), MetricGrant("received", "waste.fill", now, 0, 3660)),
    )
    return replace(as_it_is, **changed)


def refusal(connection: Connection, new: InstalledAgreement, supersedes: str | None = None) -> str:
    with pytest.raises(InstallRefused) as refused:
        install(connection, new, supersedes)
    return refused.value.reason


def test_what_is_installed_is_in_force_as_it_was_given_and_installing_it_again_changes_nothing(connection):
    agreed = version(connection)
    assert install(connection, agreed, None)
    assert not install(connection, agreed, None)
    assert in_force(connection) == [agreed]
    assert partner_of(connection, agreed.id) == "them"


def test_a_renewal_holds_from_its_time_on_and_the_version_before_until_then(connection):
    first, second = version(connection), version(connection, 2, since=10, until=60)
    install(connection, first, None)
    install(connection, second, first.hash)
    assert in_force(connection) == [first]
    connection.execute("UPDATE agreements SET valid_from = now() WHERE version = 2")
    assert [held.version for held in in_force(connection)] == [2]


def test_a_renewal_that_ended_early_does_not_bring_the_version_before_back(connection):
    first, short = version(connection), version(connection, 2, since=-1, until=1)
    install(connection, first, None)
    install(connection, short, first.hash)
    connection.execute("UPDATE agreements SET valid_until = now() WHERE version = 2")
    assert in_force(connection) == []
    assert partner_of(connection, first.id) is None


def test_what_cannot_follow_the_installed_version_is_refused(connection):
    first, second = version(connection), version(connection, 2)
    install(connection, first, None)
    assert refusal(connection, replace(first, hash="another")) == "contradiction"
    assert refusal(connection, second, "another") == "contradiction"
    assert refusal(connection, version(connection, 3), second.hash) == "contradiction"
    assert refusal(connection, replace(second, partner="others"), first.hash) == "other-identity"
    install(connection, second, first.hash)
    install(connection, version(connection, 3), second.hash)
    assert refusal(connection, replace(second, hash="another"), first.hash) == "contradiction"


def test_a_lower_version_than_the_first_that_is_known_is_refused(connection):
    install(connection, version(connection, 4), "not known here")
    assert refusal(connection, version(connection, 3), "not known here") == "rolled-back"


def test_a_revoked_id_ends_in_every_version_and_never_returns(connection):
    first = version(connection)
    install(connection, first, None)
    assert revoke(connection, first.id, "the purpose is gone")
    assert not revoke(connection, first.id, "again")
    assert in_force(connection) == []
    assert refusal(connection, first) == "revoked"
    assert refusal(connection, version(connection, 2), first.hash) == "revoked"
    [known] = known_agreements(connection)
    assert (known.agreement, known.in_force, known.reason) == (first, False, "the purpose is gone")


@pytest.mark.parametrize("whose", ["us", "them"])
def test_an_agreement_ends_with_the_identity_of_either_city(connection, whose):
    install(connection, version(connection), None)
    save_revocation(connection, whose, "a statement")
    assert in_force(connection) == []
    assert refusal(connection, version(connection, id="another", version=1)) == "revoked-identity"


def test_a_city_that_is_known_by_one_identity_comes_by_no_other_until_its_agreements_ended(connection):
    known = version(connection)
    install(connection, known, None)
    assert refusal(connection, replace(known, id="another", partner="impostor")) == "other-identity"
    assert refusal(connection, replace(known, id="another", partner="impostor", city="HUE")) == "other-identity"
    assert refusal(connection, replace(known, id="another", city="da-nang")) == "other-city"
    revoke(connection, known.id, "the city lost its key")
    assert install(connection, replace(known, id="another", partner="new"), None)
