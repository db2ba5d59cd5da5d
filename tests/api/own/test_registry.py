"""The registry of schemas, in the protocol of stock clients. It needs no database."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.own.app import create_own_api
from api.own.registry import subjects
from schemas.registry import schema_named, schemas
from schemas.topics import history, live
from tests.federation.city import ISFAHAN, LOCAL

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
DATASETS = (
    "energy.readings",
    "traffic.counts",
    "traffic.frames",
    "traffic.plate-regions",
    "waste.collections",
    "waste.fill-levels",
)
ENERGY = "isfahan.energy.readings.v1-value"
HOUSE = "isfahan.energy.readings.history.house-2007.v1-value"


@pytest.fixture(scope="module")
def registry() -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing"), base_url=LOCAL) as client:
        yield client


def given(response: Any) -> Any:
    """The content of a good answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == CONTENT_TYPE
    return response.json()


def error(response: Any, status: int, code: int) -> str:
    """The message of an error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == CONTENT_TYPE
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body.keys() == {"error_code", "message"}
    assert body["error_code"] == code and body["message"]
    return str(body["message"])


@pytest.mark.parametrize("number", range(1, 6))
def test_every_committed_schema_is_found_by_its_id_and_may_be_cached_for_ever(
    registry: TestClient, number: int
) -> None:
    response = registry.get(f"/schemas/ids/{number}", params={"subject": ENERGY, "fetchMaxId": "false"})
    found = given(response)
    assert found.keys() == {"schema"}
    assert json.loads(found["schema"]) == schemas()[number].definition
    assert "immutable" in response.headers["cache-control"]
    again = registry.get(f"/schemas/ids/{number}", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_answers_that_another_version_may_change_must_be_revalidated(registry: TestClient) -> None:
    for path in ("/subjects", f"/subjects/{ENERGY}/versions/latest", "/config"):
        response = registry.get(path)
        given(response)
        assert response.headers["cache-control"] == "no-cache"
        again = registry.get(path, headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_subjects_are_the_topics_of_the_running_streams(registry: TestClient) -> None:
    expected = [f"{live('isfahan', dataset)}-value" for dataset in DATASETS]
    assert given(registry.get("/subjects")) == expected
    assert given(registry.get("/subjects?deleted=False&offset=0&limit=-1")) == expected
    assert given(registry.get("/subjects?offset=1&limit=2")) == expected[1:3]
    assert given(registry.get("/subjects?subjectPrefix=isfahan.waste")) == expected[-2:]
    assert given(registry.get("/schemas/types")) == ["AVRO"]


@pytest.mark.parametrize("dataset", [dataset for dataset in DATASETS if dataset != "traffic.counts"])  # it has one
def test_a_topic_has_the_versions_of_its_dataset(registry: TestClient, dataset: str) -> None:
    first, second = schema_named(f"{dataset}.v1"), schema_named(f"{dataset}.v2")
    topics = [live("isfahan", dataset)]
    if dataset != "traffic.frames":
        topics += [live("isfahan", dataset, 2), history("isfahan", dataset, "house-2007")]
    for topic in topics:
        subject = f"{topic}-value"
        assert given(registry.get(f"/subjects/{subject}/versions")) == [1, 2]
        for version, schema in (("1", first), ("2", second), ("latest", second), ("-1", second)):
            found = given(registry.get(f"/subjects/{subject}/versions/{version}"))
            assert json.loads(found.pop("schema")) == schema.definition
            assert found == {"subject": subject, "version": schema.version, "id": schema.id}
        assert given(registry.get(f"/config/{subject}")) == {"compatibilityLevel": "FULL_TRANSITIVE"}
        assert given(registry.get(f"/mode/{subject}")) == {"mode": "READONLY"}
    subject = f"{topics[0]}-value"
    for schema in (first, second):
        assert given(registry.get(f"/schemas/ids/{schema.id}/subjects")) == [subject]
        versions = given(registry.get(f"/schemas/ids/{schema.id}/versions"))
        assert versions == [{"subject": subject, "version": schema.version}]


@pytest.mark.parametrize(
    "subject",
    [
        "isfahan.energy.readings.v1",
        "isfahan.energy.readings.v1-key",
        "isfahan.energy.readings.v02-value",
        "ho-chi-minh-city.energy.readings.v1-value",
        "isfahan.energy.exports.v1-value",
        "isfahan.energy.readings.history.Bad_Name.v1-value",
        "isfahan.energy.readings.history..v1-value",
        "isfahan.traffic.frames.history.stills.v1-value",
        "isfahan-value",
        "-value",
        "%00",
    ],
)
def test_only_topics_of_the_city_are_subjects(registry: TestClient, subject: str) -> None:
    for path in (f"/subjects/{subject}/versions", f"/subjects/{subject}/versions/1", f"/config/{subject}"):
        error(registry.get(path), 404, 40401)
    error(registry.get(f"/mode/{subject}"), 404, 40401)
    error(registry.post(f"/subjects/{subject}", json={"schema": '"int"'}), 404, 40401)


def test_unknown_versions_and_ids_have_the_codes_that_clients_know(registry: TestClient) -> None:
    error(registry.get(f"/subjects/{ENERGY}/versions/3"), 404, 40402)
    for version in ("newest", "0", "-2", "1.0", "٣", "9" * 5000):
        error(registry.get(f"/subjects/{ENERGY}/versions/{version}"), 422, 42202)
    for path in ("/schemas/ids/99", "/schemas/ids/0", "/schemas/ids/99/subjects", "/schemas/ids/99/versions"):
        error(registry.get(path), 404, 40403)
    for path in (
        "/schemas/ids/one",
        "/subjects?offset=-1",
        "/subjects?limit=all",
        f"/subjects/{ENERGY}/versions?offset=x",
    ):
        error(registry.get(path), 422, 422)


def test_a_schema_is_found_under_its_subject_however_it_is_written(registry: TestClient) -> None:
    definition = copy.deepcopy(dict(schema_named("energy.readings.v1").definition))
    shuffled = dict(reversed(definition.items()))
    shuffled["name"] = f"{shuffled.pop('namespace')}.{shuffled['name']}"
    shuffled["fields"][5]["type"]["items"]["name"] = "sistercity.energy.Reading"
    for subject in (ENERGY, HOUSE):
        for text in (json.dumps(definition, indent=4), json.dumps(shuffled)):
            for query in ("", "?normalize=True&deleted=False"):
                found = given(registry.post(f"/subjects/{subject}{query}", json={"schema": text}))
                assert json.loads(found.pop("schema")) == schema_named("energy.readings.v1").definition
                assert found == {"subject": subject, "version": 1, "id": 1}


def test_a_schema_without_documentation_is_the_same_only_when_asked_to_normalize(registry: TestClient) -> None:
    bare = {**schema_named("energy.readings.v1").definition}
    del bare["doc"]
    body = {"schema": json.dumps(bare), "schemaType": "AVRO"}
    assert given(registry.post(f"/subjects/{ENERGY}?normalize=true", json=body))["id"] == 1
    error(registry.post(f"/subjects/{ENERGY}?normalize=false", json=body), 404, 40403)


def test_a_schema_of_another_subject_is_not_found(registry: TestClient) -> None:
    body = {"schema": json.dumps(schema_named("waste.fill-levels.v1").definition)}
    error(registry.post(f"/subjects/{ENERGY}?normalize=true", json=body), 404, 40403)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"schema": 7}',
        b'{"schema": null}',
        b'{"schema": ""}',
        b'{"schema": "{"}',
        b'{"schema": "\\"integer\\""}',
        b'{"schema": "{\\"type\\": \\"record\\"}"}',
        b'{"schema": "\\"int\\"", "schemaType": "PROTOBUF"}',
        b"\xff\xfe",
    ],
)
def test_a_body_without_an_avro_schema_is_refused(registry: TestClient, body: bytes) -> None:
    for path in (f"/subjects/{ENERGY}", f"/subjects/{ENERGY}/versions"):
        error(registry.post(path, content=body, headers={"Content-Type": CONTENT_TYPE}), 422, 42201)


@pytest.mark.parametrize("depth", [100, 300, 600, 900, 1_100, 30_000])
def test_a_schema_of_any_depth_is_unknown_or_invalid(registry: TestClient, depth: int) -> None:
    deep = '{"type":"array","items":' * depth + '"int"' + "}" * depth
    for query in ("", "?normalize=true"):
        response = registry.post(f"/subjects/{ENERGY}{query}", json={"schema": deep})
        if depth <= 100:
            error(response, 404, 40403)
        elif depth > 1_000:
            error(response, 422, 42201)
        else:
            assert response.status_code in (404, 422)


def test_a_body_longer_than_any_schema_is_refused(registry: TestClient) -> None:
    body = b'{"schema": "' + b" " * (1 << 20) + b'"}'
    error(registry.post(f"/subjects/{ENERGY}", content=body), 413, 413)


def test_registering_a_known_schema_changes_nothing_and_any_other_is_refused(registry: TestClient) -> None:
    body = {"schema": json.dumps(schema_named("energy.readings.v1").definition)}
    assert given(registry.post(f"/subjects/{ENERGY}/versions?normalize=False", json=body)) == {"id": 1}
    said = error(registry.post(f"/subjects/{ENERGY}/versions", json={"schema": '"int"'}), 422, 42205)
    assert "read-only" in said
    assert given(registry.get(f"/subjects/{ENERGY}/versions")) == [1, 2]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"/subjects/{ENERGY}"),
        ("DELETE", f"/subjects/{ENERGY}/versions/1"),
        ("PUT", "/config"),
        ("PUT", f"/config/{ENERGY}"),
        ("DELETE", f"/config/{ENERGY}"),
        ("PUT", "/mode"),
        ("PUT", f"/mode/{ENERGY}"),
        ("PATCH", "/schemas/ids/1"),
    ],
)
def test_all_writing_is_refused_as_read_only(registry: TestClient, method: str, path: str) -> None:
    assert "read-only" in error(registry.request(method, path, json={}), 422, 42205)


@pytest.mark.parametrize(
    "path",
    [
        "/schemas",
        "/schemas/guids/1",
        f"/subjects/{ENERGY}",
        f"/subjects/{ENERGY}/versions/1/referencedby",
        "/associations/resources/-/topic?resourceType=topic",
        "/contexts",
    ],
)
def test_paths_that_this_registry_does_not_have_are_404_in_its_protocol(registry: TestClient, path: str) -> None:
    error(registry.get(path), 404, 404)


def test_other_paths_of_the_api_answer_with_problems(registry: TestClient) -> None:
    for path in ("/nothing", "/subjects-of-talk"):
        response = registry.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


def test_a_dataset_with_several_versions_lists_them_in_order(
    registry: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = schemas()[1]
    newer = {
        **first.definition,
        "fields": [{"name": "note", "type": "string", "default": ""}, *first.definition["fields"]],
    }
    several = {**schemas(), 12: replace(first, id=12, name="energy.readings.v10", definition=newer)}
    several[11] = replace(first, id=11, name="energy.readings.v3")
    monkeypatch.setattr(subjects, "schemas", lambda: several)
    subjects.versions_by_dataset.cache_clear()
    try:
        assert given(registry.get(f"/subjects/{HOUSE}/versions")) == [1, 2, 3, 10]
        assert given(registry.get(f"/subjects/{HOUSE}/versions/latest"))["id"] == 12
        assert given(registry.get(f"/subjects/{HOUSE}/versions/3"))["id"] == 11
        found = given(registry.post(f"/subjects/{HOUSE}", json={"schema": json.dumps(newer)}))
        assert (found["version"], found["id"]) == (10, 12)
    finally:
        subjects.versions_by_dataset.cache_clear()
