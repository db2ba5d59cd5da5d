"""A client that is tried or tries waits as a node asks it to, and names a limit that is not said or does not end."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from federation.conformance import limits, public, reading
from federation.conformance.lies import Lie
from federation.conformance.offering import REQUESTS_PER_MINUTE
from federation.conformance.trying import Check, TriedCheck, try_check
from tests.federation.conformance.serving import HONEST, Place, every_node

ENDLESS, TIMELESS = "limit-without-end", "limit-without-time"


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Place]]:
    with every_node([HONEST, ENDLESS, TIMELESS]) as found:
        yield found


@pytest.fixture
def honest(places: dict[str, Place]) -> Place:
    places[HONEST].node.lie = None
    places[HONEST].clock.passed_ms += 60_000  # a minute without a request
    return places[HONEST]


def try_one(check: Check, place: Place, **changed: object) -> TriedCheck:
    async def run() -> TriedCheck:
        async with httpx.AsyncClient(trust_env=False) as http:
            visit = place.visit(http)
            for name, value in changed.items():
                setattr(visit, name, value)
            return await try_check(check, visit)

    return asyncio.run(run())


def answering(answer) -> Lie:
    return Lie("at-the-limit", "what is wrong with its 429", answer=answer)


def without_time(request: Request, response: Response) -> Response:
    if response.status_code == 429:
        del response.headers["retry-after"]
    return response


def in_two_days(request: Request, response: Response) -> Response:
    if response.status_code == 429:
        response.headers["retry-after"] = "172800"
    return response


def at_once(request: Request, response: Response) -> Response:
    if response.status_code == 429:
        response.headers["retry-after"] = "1"
    return response


def never(request: Request, response: Response) -> Response:
    return Response(status_code=304) if response.status_code == 429 else response


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (without_time, "answers with 429 without Retry-After"),
        (in_two_days, "no limit is so long"),
        (at_once, "it answers with 429 1 s after a 429 that said so"),
        (never, f"{2 * REQUESTS_PER_MINUTE + 1} requests in a minute were answered"),
    ],
)
def test_a_limit_that_is_not_kept_or_not_said_or_does_not_end_is_named(honest, lie, words):
    honest.node.lie = answering(lie)
    outcome = try_one(limits.limits, honest)
    assert outcome.result == "failed"
    assert words in outcome.detail


def test_a_limit_that_ends_as_it_says_is_as_promised(honest):
    assert try_one(limits.limits, honest) == TriedCheck("limits", limits.limits.__doc__, "passed")


def test_no_more_requests_are_made_than_may_be(honest):
    outcome = try_one(limits.limits, honest, most_requests=REQUESTS_PER_MINUTE - 1)
    assert outcome.result == "not tried"
    assert f"{REQUESTS_PER_MINUTE} requests a minute are allowed" in outcome.detail


@pytest.mark.parametrize(
    ("name", "words"),
    [(ENDLESS, "answers with 429, also after Retry-After"), (TIMELESS, "answers with 429 without Retry-After")],
)
def test_who_refuses_for_ever_is_asked_a_few_times_and_then_no_more(places, name, words):
    async def visit() -> tuple[TriedCheck, TriedCheck]:
        async with httpx.AsyncClient(trust_env=False) as http:
            visit = places[name].visit(http)
            first = await try_check(limits.limits, visit)
            return first, await try_check(public.health, visit)

    first, after = asyncio.run(visit())
    assert first.result == "failed"
    assert words in first.detail
    assert after.result == ("not tried" if name == ENDLESS else "passed")


def test_what_answers_503_for_a_while_is_asked_again_after_it_said_so(honest):
    away = [Response(status_code=503, headers={"Retry-After": "5"})]
    honest.node.lie = answering(lambda request, response: away.pop() if away else response)
    before = honest.clock.passed_ms
    assert try_one(reading.head, honest).result == "passed"
    assert honest.clock.passed_ms == before + 5000
