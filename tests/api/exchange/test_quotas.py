"""A partner that asks for more than was agreed on is refused for a while, and delays nobody else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Event

import httpx
import pytest
from fastapi import APIRouter, Response
from fastapi.testclient import TestClient

from api.exchange import gate
from api.exchange.access import Granted
from store.database import Connection, connect
from tests.api.exchange.agreed import Agreed, an_api, reader_of

pytestmark = pytest.mark.services

released = Event()
slow = APIRouter()


@slow.get("/v1/slow")
def wait_for_release(granted: Granted) -> Response:
    """A read of the database that takes its time."""
    assert released.wait(20)
    return Response(b"at last")


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Connection]:
    with connect(module_database_url) as found:
        yield found


@pytest.fixture(scope="module")
def api(module_database_url: str) -> Iterator[TestClient]:
    with TestClient(an_api(module_database_url)) as client:
        yield client


def statuses(api: TestClient, path: str, reader: dict[str, str], count: int) -> list[int]:
    return [api.get(path, headers=reader).status_code for _ in range(count)]


def test_more_requests_in_a_minute_than_agreed_are_refused_and_those_of_others_are_not(api, connection):
    busy = Agreed.installed("busy", connection, requests_per_minute=3)
    calm = Agreed.installed("calm", connection, requests_per_minute=3)
    reader = reader_of(api, busy, connection)
    assert statuses(api, "/v1/given/1", reader, 4) == [200, 200, 200, 429]
    assert statuses(api, "/v1/given/1", reader_of(api, busy, connection), 1) == [429]
    assert statuses(api, "/v1/given/1", reader_of(api, calm, connection), 1) == [200]
    refused = api.get("/v1/given/1", headers=reader)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["type"] == "urn:sistercity:problem:limit-reached"


def test_more_bytes_in_an_hour_than_agreed_are_refused_after_the_answer_that_passed_the_limit(api, connection):
    reader = reader_of(api, Agreed.installed("greedy", connection, bytes_per_hour=1000), connection)
    assert statuses(api, "/v1/given/999", reader, 1) == [200]
    assert statuses(api, "/v1/given/5000", reader, 2) == [200, 429]
    assert 1 <= int(api.get("/v1/given/1", headers=reader).headers["retry-after"]) <= 3600


def test_a_known_token_beyond_its_limit_costs_the_database_nothing(api, connection):
    reader = reader_of(api, Agreed.installed("refused", connection, requests_per_minute=1), connection)
    assert statuses(api, "/v1/given/1", reader, 2) == [200, 429]
    connection.execute("DELETE FROM access_tokens WHERE agreement = 'refused'")
    assert statuses(api, "/v1/given/1", reader, 1) == [429]


def test_more_tokens_in_a_minute_than_anybody_needs_are_refused(api, connection):
    agreed = Agreed.installed("hungry", connection)
    for _ in range(30):
        reader_of(api, agreed, connection)
    with pytest.raises(AssertionError, match="temporarily_unavailable"):
        reader_of(api, agreed, connection)
    reader_of(api, Agreed.installed("content", connection), connection)


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = an_api(url, [slow])
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        client.base_url = httpx.URL("http://node")
        yield client


async def first_of(tasks: list[asyncio.Task[httpx.Response]]) -> httpx.Response:
    """The one answer that came, while all others wait."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    (task,) = done
    tasks.remove(task)
    return task.result()


def test_a_partner_that_is_stuck_in_all_it_may_ask_for_is_refused_more_and_nobody_else_waits(
    module_database_url, api, connection
):
    """More requests of one partner than there are threads for handlers."""
    crowd = reader_of(api, Agreed.installed("crowd", connection, concurrent_requests=100), connection)
    other = reader_of(api, Agreed.installed("patient", connection, concurrent_requests=1), connection)

    async def run() -> None:
        async with serving(module_database_url) as client:
            assert (await client.get("/v1/given/1", headers=crowd)).status_code == 200
            stuck = [asyncio.create_task(client.get("/v1/slow", headers=crowd)) for _ in range(101)]
            try:
                refused = await first_of(stuck)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
                assert (await client.get("/v1/given/1", headers=other)).status_code == 200
                assert not any(task.done() for task in stuck)
            finally:
                released.set()
            assert {answer.status_code for answer in await asyncio.gather(*stuck)} == {200}
            assert (await client.get("/v1/given/1", headers=crowd)).status_code == 200

    asyncio.run(run())


def test_strangers_wait_among_themselves_and_delay_no_partner(module_database_url, api, connection):
    agreed = Agreed.installed("friend", connection)
    friend = reader_of(api, agreed, connection)
    asked = agreed.asks(0)

    async def run() -> None:
        async with serving(module_database_url) as client:
            assert (await client.get("/v1/given/1", headers=friend)).status_code == 200
            with connection.transaction():
                connection.execute("LOCK identities")  # whoever asks for a token waits for it
                several = range(gate.MOST_STRANGERS + 1)
                tasks = [asyncio.create_task(client.post("/v1/token", data=asked)) for _ in several]
                assert (await first_of(tasks)).status_code == 503
                unknown = await client.get("/v1/given/1", headers={"Authorization": "Bearer x"})
                assert unknown.json()["type"] == "urn:sistercity:problem:crowded"
                assert (await client.get("/v1/given/1", headers=friend)).status_code == 200
                assert not any(task.done() for task in tasks)
            assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {401}

    asyncio.run(run())
