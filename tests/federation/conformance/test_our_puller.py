"""Our puller notices every lie of the lying node, and is served in full by the honest one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from federation.agreements.installing import as_installed
from federation.conformance.lies import LIES
from federation.partners.limits import FetchLimits, Network
from federation.partners.pulling import Pulled, Pulling, pull
from store.agreements import install
from store.database import connect
from store.identities import save_own_identity
from store.partner_heads import contradictions
from tests.federation.conformance.serving import GUEST, HONEST, NOW, every_node
from tests.soak import amount, soak, soak_only

pytestmark = pytest.mark.services

LIMITS = FetchLimits(
    bytes=2**20, small_bytes=2**18, entry_bytes=2**20, deadline_s=60, silence_s=60, attempts=1, turn_s=60, lines=100
)
WITHDRAWN = "withdrawn-body"
CATALOGUE = "other-catalogue"
LATER = amount(["shorter-chain"], soak=[name for name, lie in LIES.items() if lie.later and name != WITHDRAWN])
AT_ONCE = [name for name, lie in LIES.items() if not lie.later]


Outcomes = dict[str, tuple[Pulled, Pulled, str]]
"""What came of two visits to each node, one after the other, and its identity."""


def outcomes_of(database_url: str, names: Sequence[str]) -> Outcomes:
    with every_node(names) as places:
        with connect(database_url) as connection:
            own = GUEST.keys.thumbprint
            save_own_identity(connection, own, GUEST.city, 1, GUEST.identity(), NOW + 30 * 86_400_000)
            for place in places.values():
                install(connection, replace(as_installed(place.agreement, own), addresses=(place.url,)), None)
        pulling = Pulling(database_url, [GUEST.keys.access], LIMITS, Network(private_addresses=True))
        first = {done.city: done for done in asyncio.run(pull(pulling))}
        for place in places.values():
            place.node.visit = 2
        second = {done.city: done for done in asyncio.run(pull(pulling))}
        return {
            name: (first[place.city.city], second[place.city.city], place.city.keys.thumbprint)
            for name, place in places.items()
        }


@pytest.fixture(scope="module")
def outcomes(module_database_url: str) -> Outcomes:
    return outcomes_of(module_database_url, [HONEST, WITHDRAWN, *LATER])


def test_an_honest_node_is_read_to_its_end_twice(outcomes):
    first, second, _ = outcomes[HONEST]
    assert (first.failure, second.failure) == (None, None)
    assert (first.result.entries, second.result.entries) == (4, 1)


@soak
@pytest.mark.parametrize("name", LATER)
def test_a_lie_that_contradicts_what_was_said_before_is_noticed(outcomes, name, module_database_url):
    first, second, thumbprint = outcomes[name]
    assert first.failure is None
    with connect(module_database_url) as connection:
        proven = {found.thumbprint for found in contradictions(connection)}
    assert second.failure is not None or thumbprint in proven


def test_values_that_were_withdrawn_do_not_come_back(outcomes, module_database_url):
    _, second, thumbprint = outcomes[WITHDRAWN]
    assert second.failure is None
    with connect(module_database_url) as connection:
        shown = connection.execute(
            "SELECT count(*) FROM partner_entries AS taken JOIN partner_cells USING (metric, window_start)"
            " WHERE thumbprint = %s AND city = %s AND taken.kind = 'withdrawal' AND value IS NOT NULL",
            (thumbprint, second.city),
        ).fetchone()
    assert shown == (0,)


@soak_only(minutes=2)
def test_every_lie_is_noticed_at_the_first_visit(database_url, second_database_url):
    # All nodes have the same catalogue, and one that is known is not asked for: this lie needs a database of its own.
    others = [name for name in AT_ONCE if name != CATALOGUE]
    found = outcomes_of(second_database_url, [CATALOGUE]) | outcomes_of(database_url, others)
    assert [name for name, (first, _, _) in found.items() if first.failure is None] == []
