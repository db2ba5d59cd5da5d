"""The limit of requests that was agreed: that it is kept, how it is said, and that it ends."""

from http import HTTPStatus

from federation.conformance.visit import (
    LONGEST_WAIT_S,
    NotAsPromised,
    NotTried,
    Visit,
    expect,
    problem,
    seconds_to_wait,
)

_MINUTE_MS = 60_000
_ANSWERED = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)


async def limits(visit: Visit) -> None:
    """Beyond the requests of a minute, 429 says when to ask again, and then the node answers."""
    allowed = visit.terms.requests_per_minute
    if allowed > visit.most_requests:
        raise NotTried(f"{allowed} requests a minute are allowed, and no more than {visit.most_requests} would be made")
    token, tag = await visit.token(), (await visit.read("v1/head")).headers.get("etag", "")
    begun = visit.now_ms
    # A minute may end in between: twice as many fit into two.
    for asked in range(2 * allowed + 1):
        answer = await visit.get_once("v1/head", token=token, If_None_Match=tag)
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            break
        expect(answer.status_code in _ANSWERED, f"request {asked + 1} answers with {answer.status_code}")
        if visit.now_ms - begun >= _MINUTE_MS:
            raise NotTried(f"{asked + 1} requests took a minute: too slow to reach a limit of {allowed}")
    else:
        raise NotAsPromised(f"{asked + 1} requests in a minute were answered, and {allowed} are allowed")
    problem(answer, HTTPStatus.TOO_MANY_REQUESTS)
    wait_s = seconds_to_wait("GET /v1/head", answer)
    if wait_s > LONGEST_WAIT_S:
        raise NotTried(f"a limit is reached that ends in {wait_s} s: that of bytes in an hour, perhaps")
    await visit.wait(wait_s)
    again = await visit.get_once("v1/head", token=token, If_None_Match=tag)
    expect(again.status_code in _ANSWERED, f"it answers with {again.status_code} {wait_s} s after a 429 that said so")


CHECKS = (limits,)
