"""Our own partner API passes every check of conformance, also while its database is away for a moment."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from api.exchange.app import create_partner_api
from federation.agreements.document import countersign, open_agreement, party, propose
from federation.agreements.installing import as_installed
from federation.conformance.trying import TriedCheck, try_node
from federation.conformance.visit import Guest, Visit
from federation.publications.ledger import Beginning, LedgerState
from federation.publications.recovery import ends_of
from federation.publications.signing import Signer
from federation.publications.withdrawing import withdraw
from store.agreements import install
from store.database import Connection, connect
from store.inspection import clock
from store.partner_role import partner_login
from store.recovery import log_facts
from tests.api.exchange.agreed import Agreed
from tests.federation.agreements.agreeing import terms
from tests.federation.city import IMPORT, ISFAHAN, T0, a_published_city
from tests.federation.conformance.serving import Clock
from tests.federation.identity.cities import DAY, SigningCity
from tests.publishing import appender

pytestmark = pytest.mark.services


def sign_head(connection: Connection, us: SigningCity) -> None:
    facts = log_facts(connection)
    ends = ends_of(facts)
    state = LedgerState(Beginning(ISFAHAN.id, facts.id, facts.position, ends), facts.position, ends)
    assert Signer(lambda: [us.publish]).sign(connection, ISFAHAN.id, state, clock(connection)) is not None


def agreement_of(connection: Connection, cities: Agreed) -> Guest:
    """What both have signed, installed on this node; from the partner's side."""
    now = clock(connection)
    parties = [
        party(of.city, of.city, of.identity, [f"https://{of.city}.example"], "x") for of in (cities.us, cities.them)
    ]
    file = propose(
        (parties[0], parties[1]),
        [terms(cities.us.city, cities.them.city, (IMPORT.name,), requests_per_minute=120)],
        witness=False,
        valid_from=now - now % 1000 - 1000,
        valid_until=now - now % 1000 + DAY,
        key=cities.us.identity,
        now_ms=now,
    )
    signed = open_agreement(countersign(file, cities.them.identity, now_ms=now), now_ms=now)
    install(connection, as_installed(signed, cities.us.thumbprint), None)
    return Guest(cities.them.access, cities.them.thumbprint, signed)


class CutOff(httpx.ASGITransport):
    """Ends the connection that the audit is written over after the first body that is given by its hash."""

    def __init__(self, app: ASGIApp, connection: Connection) -> None:
        super().__init__(app)
        self._connection = connection
        self.statuses: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        self.statuses.append(answer.status_code)
        if 503 not in self.statuses and answer.status_code == 200 and request.url.path.startswith("/v1/bodies/"):
            self._connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'sistercity audit'"
            )
        return answer


async def tried(transport: httpx.ASGITransport, guest: Guest, passing: Clock) -> list[TriedCheck]:
    async with httpx.AsyncClient(transport=transport) as http:
        return await try_node(Visit(http, "http://localhost/", passing, guest, wait=passing.wait))


def test_our_own_node_passes_every_check(module_database_url: str):
    cities, passing = Agreed("unused"), Clock()
    with a_published_city(module_database_url, 5), connect(module_database_url) as connection:
        withdraw(appender(connection), IMPORT, T0, "meters were read twice", clock(connection))
        cities.introduce(connection)
        guest = agreement_of(connection, cities)
        sign_head(connection, cities.us)
        login = partner_login(connection, module_database_url)
        app = create_partner_api(replace(ISFAHAN, zone="UTC"), login, clock=passing)
        with TestClient(app) as running:
            transport = CutOff(running.app, connection)
            outcomes = asyncio.run(tried(transport, guest, passing))
    assert {check.name: check.detail for check in outcomes if check.result != "passed"} == {}
    assert {429, 503} <= set(transport.statuses)
