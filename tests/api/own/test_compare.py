"""The comparison and partners' series on the own side: from stored copies alone, as JSON and as a table."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.own.app import create_own_api
from api.own.compare import ComparedFigures
from federation.wire import Series
from schemas.catalogue import published
from tests.federation.city import HOUR, ISFAHAN
from tests.federation.two_cities import FIGURES, MIDNIGHT, SAIGON, two_cities

pytestmark = pytest.mark.services

IMPORT = published()["energy.import"]
SERIES = f"/v1/partners/{SAIGON.id}/series/{IMPORT.name}"


@pytest.fixture(scope="module")
def api(server_url: str) -> Iterator[TestClient]:
    """The own side of a city that has pulled all of another, which is away by now."""
    with two_cities(server_url) as url, TestClient(create_own_api(ISFAHAN, url)) as client:
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
