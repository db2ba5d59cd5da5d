"""The API's answers, from a real database."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import series
from api.own.app import create_own_api
from federation.wire import Catalog, Problem, Series, rfc3339
from schemas.catalogue import published
from store.database import connect
from store.detectors import Detector, record_detector
from store.publications import PublishedCell, Window
from tests.federation.city import (
    HOUR,
    IMPORT,
    ISFAHAN,
    LOCAL,
    T0,
    TOPIC,
    a_published_city,
    found_areas,
    pass_time,
    publish_hours,
)
from tests.publishing import another_log, publish
from tests.waiting import until

pytestmark = pytest.mark.services

HOURS = 5


@pytest.fixture
def areas(database_url: str) -> Iterator[list[int]]:
    with a_published_city(database_url, HOURS) as numbers:
        yield numbers


@pytest.fixture
def api(database_url: str, areas: list[int]) -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, database_url), base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def problem(response: Any, status: int, kind: str | None = None) -> Problem:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    found = Problem.model_validate(response.json())
    assert found.status == status
    assert found.type == ("about:blank" if kind is None else f"urn:sistercity:problem:{kind}")
    return found


def test_the_catalogue_holds_the_citys_facts_and_the_definitions_of_its_metrics(
    api: TestClient, areas: list[int]
) -> None:
    response = api.get("/v1/catalog")
    found = Catalog.model_validate_json(response.content)
    assert response.json() == found.model_dump(mode="json", by_alias=True)
    assert (found.city.id, found.city.population, found.city.districts) == ("isfahan", 1_961_260, 15)
    assert [metric.name for metric in found.metrics] == list(published())
    metric = next(metric for metric in found.metrics if metric.name == IMPORT.name)
    assert (metric.unit, metric.smallest_unit, metric.smallest_per_unit) == ("Wh", "mJ", 3_600_000)
    assert "at least 100 customers" in metric.rule.words
    assert metric.lateness_seconds == 3600
    assert [(area.number, area.population) for area in metric.areas] == list(zip(areas, (1000, 3000), strict=True))


def test_the_catalogue_names_the_detectors_of_the_metrics_of_pictures(
    api: TestClient, database_url: str, areas: list[int]
) -> None:
    before = api.get("/v1/catalog")
    with connect(database_url) as connection:
        record_detector(connection, "traffic.plate-regions", Detector("network", "b2", 0.95, 0.91), T0 + HOUR)
        record_detector(connection, "traffic.plate-regions", Detector("network", "a1", 0.9, 0.8), T0)
    response = api.get("/v1/catalog", headers={"If-None-Match": before.headers["etag"]})
    found = Catalog.model_validate_json(response.content)
    detectors = {metric.name: metric.detectors for metric in found.metrics}
    assert [(used.version, used.precision, used.recall, used.since) for used in detectors["traffic.passes"]] == [
        ("a1", 0.9, 0.8, rfc3339(T0)),
        ("b2", 0.95, 0.91, rfc3339(T0 + HOUR)),
    ]
    assert detectors["traffic.occupancy"] == detectors["traffic.passes"]
    assert not detectors[IMPORT.name]
    assert areas


def test_a_derived_metric_has_the_areas_of_its_source_metric(api: TestClient, database_url: str) -> None:
    with connect(database_url) as connection:
        numbers = found_areas(connection, (500, 700), "traffic.regions")
    metrics = {metric.name: metric for metric in Catalog.model_validate_json(api.get("/v1/catalog").content).metrics}
    assert [area.number for area in metrics["traffic.passes"].areas] == list(numbers)
    assert not metrics["traffic.occupancy"].areas


def test_a_publication_holds_values_and_suppressed_cells_by_status_alone(api: TestClient, areas: list[int]) -> None:
    cells = api.get(f"/v1/series/{IMPORT.name}").json()["windows"][3]["cells"]
    assert cells == [
        cell
        for area in areas
        for cell in (
            {"area": area, "class": "commercial", "status": "suppressed", "rule": IMPORT.rule},
            {
                "area": area,
                "class": "residential",
                "status": "released",
                "value": (3000 + area) * IMPORT.base,
                "coverage": "low",
                "rule": IMPORT.rule,
            },
        )
    ]


def test_a_series_holds_every_cell_of_the_range(api: TestClient, areas: list[int]) -> None:
    parameters = {"from": rfc3339(T0 + HOUR), "to": rfc3339(T0 + 3 * HOUR)}
    response = api.get(f"/v1/series/{IMPORT.name}", params=parameters)
    found = Series.model_validate_json(response.content)
    assert response.json() == found.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert [revision.window.start for revision in found.windows] == [rfc3339(T0 + HOUR), rfc3339(T0 + 2 * HOUR)]
    assert {len(revision.cells) for revision in found.windows} == {4}
    assert (found.unit, found.next) == ("mJ", None)


def test_a_series_without_a_range_is_the_last_week(api: TestClient, database_url: str, areas: list[int]) -> None:
    assert len(api.get(f"/v1/series/{IMPORT.name}").json()["windows"]) == HOURS
    with connect(database_url) as connection:
        start = T0 + (7 * 24 + 2) * HOUR
        cells = [PublishedCell(area, "residential", 42, "high", IMPORT.rule) for area in areas]
        publish(connection, IMPORT.name, Window(start, start + HOUR), TOPIC, cells)
    windows = api.get(f"/v1/series/{IMPORT.name}").json()["windows"]
    assert windows[0]["window"]["start"] == rfc3339(T0 + 3 * HOUR)
    assert api.get("/v1/series/energy.solar").json()["windows"] == []


def test_a_series_can_be_of_one_area_and_class(api: TestClient, areas: list[int]) -> None:
    found = api.get(f"/v1/series/{IMPORT.name}", params={"area": areas[1], "class": "residential"}).json()
    assert {(cell["area"], cell["class"]) for window in found["windows"] for cell in window["cells"]} == {
        (areas[1], "residential")
    }
    assert len(found["windows"]) == HOURS
    problem(api.get(f"/v1/series/{IMPORT.name}", params={"class": "houses"}), 400, "unknown-class")
    problem(api.get(f"/v1/series/{IMPORT.name}", params={"area": max(areas) + 1}), 400, "unknown-area")
    problem(api.get("/v1/series/energy.exprot"), 404, "unknown-metric")


def test_a_series_shows_the_latest_revision(api: TestClient, database_url: str, areas: list[int]) -> None:
    cells = [PublishedCell(area, "residential", 42, "high", IMPORT.rule) for area in areas]
    with connect(database_url) as connection:
        publish(connection, IMPORT.name, Window(T0 + HOUR, T0 + 2 * HOUR), TOPIC, cells, revision=1)
    windows = api.get(f"/v1/series/{IMPORT.name}").json()["windows"]
    assert [window["revision"] for window in windows] == [0, 1, 0, 0, 0]
    assert [cell["value"] for cell in windows[1]["cells"]] == [42, 42]


def test_a_long_series_continues_from_next(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_WINDOWS", 2)
    start: str | None = rfc3339(T0)
    seen: list[str] = []
    while start is not None:
        found = api.get(f"/v1/series/{IMPORT.name}", params={"from": start}).json()
        assert len(found["windows"]) <= 2
        seen += [revision["window"]["start"] for revision in found["windows"]]
        start = found["next"]
    assert seen == [rfc3339(T0 + hour * HOUR) for hour in range(HOURS)]


@pytest.mark.parametrize("when", ["yesterday", "2025-06-01T00:00:00", "2025-13-01T00:00:00Z", "1748736000", "\x00"])
def test_a_time_without_offset_or_outside_the_calendar_is_refused(api: TestClient, when: str) -> None:
    problem(api.get(f"/v1/series/{IMPORT.name}", params={"from": when}), 422, "invalid-parameters")


def test_a_time_may_come_in_any_offset_and_from_any_year(api: TestClient) -> None:
    local = api.get(f"/v1/series/{IMPORT.name}", params={"from": "2025-06-01T05:30:00+03:30"}).json()
    assert local["windows"][0]["window"]["start"] == rfc3339(T0 + 2 * HOUR)
    ages = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
    assert len(api.get(f"/v1/series/{IMPORT.name}", params=ages).json()["windows"]) == HOURS
    problem(
        api.get(f"/v1/series/{IMPORT.name}", params={"from": "0001-01-01T00:00:00+10:00"}), 422, "invalid-parameters"
    )


@pytest.mark.parametrize("path", ["/v1/catalog", f"/v1/series/{IMPORT.name}"])
def test_what_has_not_changed_is_not_sent_again(
    api: TestClient, database_url: str, areas: list[int], path: str
) -> None:
    first = api.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = api.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    with connect(database_url) as connection:
        found_areas(connection, [5], since=T0 + 900 * HOUR)
        pass_time(connection, T0 + 50 * HOUR)
        publish_hours(connection, areas, range(HOURS, HOURS + 1))
    changed = api.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    with connect(database_url) as connection:
        another_log(connection)
    assert api.get(path, headers={"If-None-Match": changed.headers["etag"]}).status_code == 200


def test_queries_differ_in_their_etags(api: TestClient, areas: list[int]) -> None:
    paths = [
        f"/v1/series/{IMPORT.name}",
        "/v1/series/energy.solar",
        f"/v1/series/{IMPORT.name}?class=residential",
        f"/v1/series/{IMPORT.name}?area={areas[0]}",
        f"/v1/series/{IMPORT.name}?from={rfc3339(T0)}",
        f"/v1/series/{IMPORT.name}?to={rfc3339(T0)}",
    ]
    assert len({api.get(path).headers["etag"] for path in paths}) == len(paths)


def test_errors_of_the_framework_are_problems_too(api: TestClient) -> None:
    problem(api.get("/v1/nothing"), 404)
    refused = api.post("/v1/catalog")
    problem(refused, 405)
    assert refused.headers["allow"] == "GET"


def test_an_unforeseen_error_is_a_problem_without_detail(api: TestClient, database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("ALTER TABLE published_cells RENAME COLUMN rule TO secret_rule")
    found = problem(api.get(f"/v1/series/{IMPORT.name}"), 500)
    assert found.detail is None


def test_a_node_is_healthy_while_its_database_answers(api: TestClient) -> None:
    response = api.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


def test_dead_connections_fail_no_request(api: TestClient, database_url: str) -> None:
    assert api.get("/healthz").status_code == 200
    with connect(database_url) as connection:
        mine = connection.info.backend_pid
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        assert connection.execute(f"{end} AND pid <> %s", (mine,)).fetchall()
    assert api.get("/healthz").status_code == 200


def test_a_database_that_is_away_gives_503_until_it_is_back(
    api: TestClient, database_url: str, server_url: str
) -> None:
    with connect(server_url) as server, connect(database_url) as connection:
        name = connection.info.dbname
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            (name, connection.info.backend_pid),
        )
        until(lambda: api.get("/healthz").status_code == 503, "the node knows that its database is away")
        for path in ("/healthz", "/v1/catalog"):
            response = api.get(path)
            problem(response, 503, "unavailable")
            assert response.headers["retry-after"]
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    until(lambda: api.get("/healthz").status_code == 200, "the node knows that its database is back")
