"""A page of bodies is the same whichever way its request is read, and so is every refusal."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest
from fastapi.testclient import TestClient

from api.exchange.app import create_partner_api
from api.exchange.plain_pages import plain_query
from api.problems import UNFORESEEN
from federation.strict_json import loads
from store.access import issue
from store.agreements import MetricGrant, revoke
from store.audit import audit_rows
from store.database import Connection, connect
from tests.api.exchange.agreed import Agreed, reader_of
from tests.federation.city import HOUR, IMPORT, ISFAHAN, SOLAR, T0, a_published_city

HOURS = 4
OF_ONE_ANSWER = {"sistercity-request-id", "sistercity-audit"}


@pytest.fixture(scope="module")
def api(module_database_url: str) -> Iterator[TestClient]:
    app = create_partner_api(ISFAHAN, module_database_url)
    with a_published_city(module_database_url, HOURS), TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def token(module_database_url: str, api: TestClient) -> dict[str, str]:
    partner = Agreed()
    with connect(module_database_url) as connection:
        partner.install(connection, grants=(MetricGrant("given", IMPORT.name, 0, 0, 3660),))
        return reader_of(api, partner, connection)


def said(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in OF_ONE_ANSWER}, answer.content


@pytest.mark.services
@pytest.mark.parametrize("rest", ["", "&after=0", "&after=2&limit=1", "&limit=1000", "&after=999999999999999999"])
def test_the_framework_reads_a_plain_query_in_the_same_way(api, token, rest):
    plain = f"metric={IMPORT.name}{rest}"
    assert plain_query(plain.encode()) is not None
    for metric in (IMPORT.name, SOLAR.name, "nothing"):
        query = plain.replace(IMPORT.name, metric)
        for headers in ({}, {"Authorization": "Bearer nonsense"}, token):
            direct = api.get(f"/v1/bodies?{query}", headers=headers)
            known = headers | {"If-None-Match": direct.headers.get("etag", "")}
            for sent in (headers, known):
                by_the_framework = api.get(f"/v1/bodies?{query}&also=", headers=sent)
                assert said(api.get(f"/v1/bodies?{query}", headers=sent)) == said(by_the_framework)
            assert direct.status_code == (401 if headers is not token else 200 if metric == IMPORT.name else 403)


@pytest.mark.services
def test_token_and_page_are_one_statement_and_a_revocation_holds_from_the_next_request(module_database_url, api):
    asked = f"/v1/bodies?metric={IMPORT.name}"
    with connect(module_database_url) as connection:
        partner = Agreed("to-be-revoked")
        partner.install(connection, grants=(MetricGrant("given", IMPORT.name, 0, 0, 3660),))
        reader = reader_of(api, partner, connection)
        before = tokens_looked_up(connection)
        page = api.get(asked, headers=reader)
        assert page.status_code == 200 and page.content
        assert api.get(asked, headers=reader | {"If-None-Match": page.headers["etag"]}).status_code == 304
        assert tokens_looked_up(connection) == before
        revoke(connection, partner.agreement, "over")
        assert api.get(asked, headers=reader).status_code == 401


@pytest.mark.services
def test_a_limit_a_lost_connection_and_an_unforeseen_error_are_problems_on_the_plain_way_too(module_database_url, api):
    asked = f"/v1/bodies?metric={IMPORT.name}"
    with connect(module_database_url) as connection:
        partner = Agreed("limited")
        partner.install(connection, requests_per_minute=4, grants=(MetricGrant("given", IMPORT.name, 0, 0, 3660),))
        reader = reader_of(api, partner, connection)
        assert api.get(asked, headers=reader).status_code == 200
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name IN ('sistercity pages', 'sistercity audit')"
        )
        cut = api.get(asked, headers=reader)
        assert (cut.status_code, cut.headers["retry-after"], cut.headers["cache-control"]) == (503, "5", "no-store")
        with TestClient(create_partner_api(ISFAHAN, module_database_url), raise_server_exceptions=False) as other:
            connection.execute("ALTER TABLE publication_log RENAME COLUMN id TO secret_id")
            broken = other.get(asked, headers=reader)
            connection.execute("ALTER TABLE publication_log RENAME COLUMN secret_id TO id")
        assert (broken.status_code, broken.json()) == (500, UNFORESEEN.model_dump(exclude_none=True))
        assert "sistercity-request-id" in broken.headers
        assert [api.get(asked, headers=reader).status_code for _ in range(3)] == [200, 200, 429]
        refused = api.get(asked, headers=reader)
        assert refused.json()["type"] == "urn:sistercity:problem:limit-reached"
        assert 1 <= int(refused.headers["retry-after"]) <= 60


@pytest.mark.services
def test_requests_that_wait_together_see_their_own_agreement_and_none_is_answered_after_its_end(
    module_database_url, api
):
    names = [f"together-{number}" for number in range(12)]
    with connect(module_database_url) as connection:
        pages, tokens, revoked = {}, {}, set()
        for number, name in enumerate(names):
            first = number % HOURS
            Agreed(name).install(connection, grants=(MetricGrant("given", IMPORT.name, T0 + first * HOUR, 0, 3660),))
            tokens[name] = issue(connection, agreement=name, issuer=name, jti="", assertion="", life_s=900)
            stored = connection.execute("SELECT body FROM publications ORDER BY sequence OFFSET %s", (first,))
            pages[name] = b"".join(body + b"\n" for (body,) in stored)

        async def ask_until_refused(client: httpx.AsyncClient, name: str, answered: asyncio.Semaphore) -> None:
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            while True:
                over = name in revoked
                answer = await client.get(f"/v1/bodies?metric={IMPORT.name}", headers=headers)
                if answer.status_code == 401:
                    return
                assert (answer.status_code, answer.content, over) == (200, pages[name], False)
                answered.release()

        def end(name: str) -> None:
            revoke(connection, name, "over")
            revoked.add(name)

        async def asked_at_once() -> None:
            app = create_partner_api(ISFAHAN, module_database_url)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://isfahan") as client,
                asyncio.TaskGroup() as asking,
            ):
                answered = asyncio.Semaphore(0)
                for name in names:
                    asking.create_task(ask_until_refused(client, name, answered))
                for name in names:
                    for _ in names:
                        await answered.acquire()
                    await asyncio.to_thread(end, name)

        asyncio.run(asked_at_once())
        for name in names:
            lines = [loads(row.line) for row in audit_rows(connection, name)]
            assert lines and {line["page"] for line in lines} == {sha256(pages[name]).hexdigest()}


def tokens_looked_up(connection: Connection) -> set[int]:
    """The connections on which tokens alone are looked up: opened with the first look."""
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'sistercity tokens' AND datname = current_database()"
    )
    return {pid for (pid,) in rows}


@pytest.mark.parametrize(
    "query",
    [
        *("", "metric=", "metric=a&limit=0", "metric=a&limit=1001", "metric=a&after=-1", "metric=a&after=1e3"),
        *("metric=a&after=", "metric=a&metric=b", "metric=a%00", "metric=a+b", "metric=a&after=9999999999999999999"),
        *("metric=a\n", "&metric=a", "metric=a&limit=05", "METRIC=a"),
    ],
)
def test_every_other_query_is_left_to_the_framework(query):
    assert plain_query(query.encode()) is None
