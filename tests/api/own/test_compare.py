"""The comparison and partners' series on the own side: from stored copies alone, as JSON and as a table."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from api.own.app import create_own_api
from api.own.compare import ComparedFigures
from federation.wire import Series, rfc3339
from schemas.catalogue import published
from store.database import Connection, connect
from store.moments import milliseconds
from store.partner_facts import meet
from store.partner_heads import Contradiction, record_contradiction
from store.partner_standing import StandingWord, record_pull
from tests.federation.city import HOUR, ISFAHAN, LOCAL
from tests.federation.two_cities import FIGURES, MIDNIGHT, SAIGON, two_cities
from tests.store.test_partner_entries import agree

pytestmark = pytest.mark.services

IMPORT = published()["energy.import"]
SERIES = f"/v1/partners/{SAIGON.id}/series/{IMPORT.name}"


@pytest.fixture(scope="module")
def both(server_url: str) -> Iterator[str]:
    """The database of a city that has pulled all of another, which is away by now."""
    with two_cities(server_url) as url:
        yield url


@pytest.fixture(scope="module")
def api(both: str) -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, both), base_url=LOCAL) as client:
        yield client


def rows_of(client: TestClient, path: str) -> list[dict[str, str]]:
    response = client.get(path, headers={"Accept": "text/csv"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def test_every_city_stands_beside_the_others_with_every_class(api: TestClient) -> None:
    answer = api.get("/v1/compare").json()
    ComparedFigures.model_validate(answer)
    found = {(row["metric"], row["class"], row["city"]): row for row in answer["figures"]}
    metrics = published().values()
    cities = (ISFAHAN.id, SAIGON.id)
    assert list(found) == [(m.name, class_, city) for m in metrics for class_ in m.classes for city in cities]
    for (metric, class_, city), row in found.items():
        expected = FIGURES[city].get((metric, class_))
        assert (row["state"], row["own"]) == ("suppressed" if expected is None else "shown", city == ISFAHAN.id)
        assert row["figure"] == (None if expected is None else pytest.approx(expected, rel=0.01))
    of_one = api.get(f"/v1/compare?metric={IMPORT.name}").json()["figures"]
    assert of_one == [row for row in answer["figures"] if row["metric"] == IMPORT.name]
    unknown = api.get("/v1/compare?metric=energy.exprot")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:sistercity:problem:unknown-metric")


@pytest.mark.parametrize("path", ["/", "/v1/compare"])
def test_no_partners_catalogue_is_read_for_the_comparison_however_long_it_is(
    api: TestClient, both: str, path: str
) -> None:
    with connect(both) as connection, connection.transaction():
        connection.execute("LOCK partner_catalogues, partner_areas")  # whoever reads them waits, and gives up
        assert api.get(path).status_code == 200


def test_the_table_says_what_the_json_says(api: TestClient) -> None:
    def text(value: Any) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    answer = api.get("/v1/compare").json()["figures"]
    assert rows_of(api, "/v1/compare") == [{name: text(value) for name, value in row.items()} for row in answer]
    assert api.get("/v1/compare?format=csv").text == api.get("/v1/compare", headers={"Accept": "text/csv"}).text


def test_a_partners_series_is_read_from_the_stored_copy(api: TestClient) -> None:
    answer = api.get(SERIES).json()
    series = Series.model_validate(answer)
    starts = [MIDNIGHT[SAIGON.id] + hour * HOUR for hour in range(24)]
    assert (series.city, series.unit, len(series.windows)) == (SAIGON.id, IMPORT.smallest_unit, len(starts))
    cells = [(window["window"]["start"], cell) for window in answer["windows"] for cell in window["cells"]]
    table = rows_of(api, SERIES)
    assert [(row["window_start"], row["class"], row["status"], row["value"]) for row in table] == [
        (start, cell["class"], cell["status"], str(cell.get("value", ""))) for start, cell in cells
    ]
    assert all(row["area_name"] and row["city"] == SAIGON.id for row in table)
    one = api.get(SERIES, params={"class": "residential", "area": table[0]["area"]}).json()["windows"]
    assert [len(window["cells"]) for window in one] == [1] * len(starts)
    for path in (f"/v1/partners/hue/series/{IMPORT.name}", f"/v1/partners/{SAIGON.id}/series/energy.exprot"):
        assert api.get(path).json()["type"] == "urn:sistercity:problem:unknown-series"


def stand(connection: Connection, word: StandingWord, now: int) -> None:
    """A partner of this name, with an agreement on one metric, that stands as the word says."""
    thumbprint = word.ljust(43, "x")
    agree(connection, word, thumbprint, word)
    meet(connection, thumbprint, word, word.title())
    for at in (now - HOUR, now):
        record_pull(connection, word, thumbprint, "", at=at, fresh_until=now + HOUR)
    if word in ("stale", "refused"):
        reason = "unreachable" if word == "stale" else "forged"
        record_pull(connection, word, thumbprint, "", at=now + 1, fresh_until=now, reason=reason)
    if word == "contradicted":
        found = Contradiction(thumbprint, IMPORT.name, "two-stories", 2, "a", "b", b"", thumbprint)
        record_contradiction(connection, found)
    if word == "withdrawn":
        connection.execute(
            "INSERT INTO partner_publications"
            " (city, metric, window_start, window_end, revision, sequence, published_at, kind, reason)"
            " VALUES (%s, %s, now() - interval '1 hour', now(), 1, 2, now(), 'withdrawal', 'wrong')",
            (word, IMPORT.name),
        )
    if word == "no-agreement":
        connection.execute("INSERT INTO agreement_revocations (id, reason) VALUES (%s, 'over')", (word,))


def test_page_and_comparison_say_how_each_partner_stands_and_read_no_catalogue(database_url: str) -> None:
    words = get_args(StandingWord)
    now = milliseconds(datetime.now(UTC))
    with connect(database_url) as connection:
        for word in words:
            stand(connection, word, now)
        connection.execute("""UPDATE partners SET facts = '{"metrics": "nothing that could be read"}'""")
    with TestClient(create_own_api(ISFAHAN, database_url), base_url=LOCAL) as client:
        rows = client.get(f"/v1/compare?metric={IMPORT.name}").json()["figures"]
        html = client.get("/?lang=en").text
    found = {row["city"]: row for row in rows}
    assert {city: row["status"] for city, row in found.items()} == {
        ISFAHAN.id: "fresh",
        **{word: word for word in words},
    }
    assert found["stale"]["reason"] == "unreachable" and found["refused"]["reason"] == "forged"
    assert found["refused"]["since"] == rfc3339(now + 1)
    assert {row["received_at"] for city, row in found.items() if city != ISFAHAN.id} == {rfc3339(now)}
    cards = {
        re.sub("<.*?>", "", name): " ".join(re.sub("<.*?>|[\u2068\u2069]", " ", unescape(card)).split())
        for name, card in re.findall(r'<section class="card">\s*<h3><bdi>(.*?)</bdi></h3>(.*?)</section>', html, re.S)
    }
    assert set(cards) == {word.title() for word in words}
    shown = {"Fresh": "up to date", "Stale": "not up to date since", "Refused": "refused since"}
    shown |= {"Contradicted": "contradicts itself since", "No-Agreement": "no agreement since"}
    for name, status in shown.items():
        assert f"Status {status}" in cards[name]
