"""A node that does as docs/wire.md says passes every check, and one that lies fails some."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from federation.conformance import public, reading
from federation.conformance.lies import LIES
from federation.conformance.trying import CHECKS, TriedCheck, table, try_check, try_node
from tests.federation.conformance.serving import HONEST, Place, every_node


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Place]]:
    with every_node() as found:
        yield found


def tried(place: Place, **changed: object) -> dict[str, TriedCheck]:
    async def run() -> list[TriedCheck]:
        async with httpx.AsyncClient(trust_env=False) as http:
            visit = place.visit(http)
            for name, value in changed.items():
                setattr(visit, name, value)
            return await try_node(visit)

    return {check.name: check for check in asyncio.run(run())}


def test_an_honest_node_passes_every_check(places):
    outcomes = tried(places[HONEST])
    assert {name: check.detail for name, check in outcomes.items() if check.result != "passed"} == {}
    assert len(outcomes) == len(CHECKS)


def test_without_an_agreement_what_is_public_is_tried_and_the_rest_is_said_not_to_be(places):
    results = {check.result for check in tried(places[HONEST], guest=None).values()}
    assert results == {"passed", "not tried"}


@pytest.mark.parametrize("name", [name for name, lie in LIES.items() if not lie.later])
def test_every_lie_that_one_visit_can_notice_fails_a_check(places, name):
    async def failing() -> TriedCheck | None:
        async with httpx.AsyncClient(trust_env=False) as http:
            visit = places[name].visit(http)
            for check in (*reading.CHECKS, public.catalogue_list):
                if (outcome := await try_check(check, visit)).result == "failed":
                    return outcome
        return None

    outcome = asyncio.run(failing())
    assert outcome is not None
    assert f"failed     {outcome.name}" in table([outcome])
