"""Texts that no database stores and no operator should read, in every parameter, header and form of both apps."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.exchange.app import create_partner_api
from api.own.app import create_own_api
from store.database import connect
from tests.api.exchange.agreed import Agreed, reader_of
from tests.federation.city import IMPORT, ISFAHAN, LOCAL, a_published_city

pytestmark = pytest.mark.services

TEXTS = ("\0", "energy\0", "¡\0\x12", "\x1b[2J", "\u202e", "\U0010ffff", "'; --", "..", "%00", "x" * 5000, "٣")
RAW = ("%ED%A0%80", "%FF%FE", "%C0%80", "%")
"""What is no UTF-8 when it is decoded."""
HEADERS = ("If-None-Match", "Accept", "Accept-Language", "Authorization", "Content-Type", "Sistercity-Request-Id")
IN_HEADERS = (b"\x01", b"\xff\xfe", b'W/"\x7f', b"Bearer \xe9", b"text/csv;q=\xff", b",,,;;;===", b"x" * 5000)
GIVEN = {"metric": IMPORT.name, "city": "isfahan", "format": "csv"}
"""What other parameters of a request say."""


@pytest.fixture(scope="module")
def city(module_database_url: str) -> Iterator[str]:
    with a_published_city(module_database_url, 1):
        yield module_database_url


@pytest.fixture(scope="module")
def partners(city: str) -> Iterator[TestClient]:
    partner = Agreed()
    with TestClient(create_partner_api(ISFAHAN, city), raise_server_exceptions=False) as client:
        with connect(city) as connection:
            partner.install(connection, requests_per_minute=1_000_000, bytes_per_hour=2**50)
            client.headers.update(reader_of(client, partner, connection))
        yield client


@pytest.fixture(scope="module")
def own(city: str) -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, city), base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def addressed(path: str, parameters: list[dict[str, Any]], named: str | None = None, text: str = "") -> str:
    """The address of a request whose parameter of this name says so, already encoded."""
    query = []
    for parameter in parameters:
        name = parameter["name"]
        value = text if name == named else GIVEN.get(name, "1")
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", value)
        elif name == named or name in GIVEN:
            query.append(f"{name}={value}")
    return f"{path}?{'&'.join(query)}"


def refused_or_answered(client: TestClient, app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            parameters = operation.get("parameters", [])
            described = {*operation["responses"]} | {"404", "200"}
            for parameter in parameters:
                for text in (*map(quote, TEXTS), *RAW):
                    url = addressed(path, parameters, parameter["name"], text)
                    answer = client.request(method, url)
                    assert fits(answer.status_code, described), (url, answer.status_code, answer.text)
            for name in HEADERS:
                for value in IN_HEADERS:
                    answer = client.request(method, addressed(path, parameters), headers={name.encode(): value})
                    assert answer.status_code < 500, (path, name, value, answer.text)


def fits(status: int, described: set[str]) -> bool:
    return status < 500 and (str(status) in described or f"{status // 100}XX" in described)


def test_the_partner_api_refuses_them_or_answers(partners: TestClient) -> None:
    refused_or_answered(partners, partners.app)  # type: ignore[arg-type]


def test_the_own_side_refuses_them_or_answers(own: TestClient) -> None:
    refused_or_answered(own, own.app)  # type: ignore[arg-type]
    for text in (*map(quote, TEXTS), *RAW):
        assert own.get(f"/?lang={text}").status_code == 200


@pytest.mark.parametrize("name", ["grant_type", "client_assertion_type", "client_assertion", "scope"])
def test_a_form_for_a_token_is_refused_whatever_it_says(partners: TestClient, name: str) -> None:
    form = Agreed().asks(0) | {name: ""}
    encoded = "&".join(f"{key}={quote(value)}" for key, value in form.items())
    for text in (*map(quote, TEXTS), *RAW):
        answer = partners.post(
            "/v1/token",
            content=encoded.replace(f"{name}=", f"{name}={text}"),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code in (400, 401), (text, answer.text)


def test_what_a_client_sends_to_the_registry_is_refused_whatever_it_says(own: TestClient) -> None:
    for content in (b'{"schema":"\\u0000"}', b'{"schema":"\\ud800"}', b'{"\\ud800":1}', b"\xff", b"[" * 5000):
        for path in ("/subjects/x", f"/subjects/{ISFAHAN.id}.energy.readings.v1-value", "/subjects/x/versions"):
            answer = own.post(path, content=content, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, (content, path, answer.text)
