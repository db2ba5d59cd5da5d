"""The API's description, from which partners generate clients: it does not change unnoticed, its examples are valid."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from api.own.app import create_own_api
from api.own.compare import ComparedFigures
from api.own.registry.protocol import (
    MEDIA_TYPE,
    Compatibility,
    GivenSchema,
    Mode,
    RegisteredSchema,
    RegistryProblem,
    SchemaId,
    SchemaText,
    SubjectVersion,
)
from federation.wire import Catalog, Health, Problem, Series
from tests.federation.city import ISFAHAN

OPERATIONS = {
    "/v1/catalog": "get_catalog",
    "/v1/series/{metric}": "get_series",
    "/healthz": "health",
    "/v1/compare": "compare",
    "/v1/partners/{city}/series/{metric}": "get_partner_series",
}
REGISTRY = {
    ("get", "/schemas/ids/{schema_id}"): "get_schema",
    ("get", "/schemas/ids/{schema_id}/subjects"): "list_subjects_of_schema",
    ("get", "/schemas/ids/{schema_id}/versions"): "list_versions_of_schema",
    ("get", "/schemas/types"): "list_schema_types",
    ("get", "/subjects"): "list_subjects",
    ("get", "/subjects/{subject}/versions"): "list_versions",
    ("post", "/subjects/{subject}/versions"): "register_schema",
    ("get", "/subjects/{subject}/versions/{version}"): "get_version",
    ("post", "/subjects/{subject}"): "find_schema",
    ("get", "/config"): "get_compatibility",
    ("get", "/config/{subject}"): "get_subject_compatibility",
    ("get", "/mode"): "get_mode",
    ("get", "/mode/{subject}"): "get_subject_mode",
}
REGISTRY_ANSWERS: dict[str, Any] = {
    "get_schema": SchemaText,
    "list_subjects_of_schema": list[str],
    "list_versions_of_schema": list[SubjectVersion],
    "list_schema_types": list[str],
    "list_subjects": list[str],
    "list_versions": list[int],
    "register_schema": SchemaId,
    "get_version": RegisteredSchema,
    "find_schema": RegisteredSchema,
    "get_compatibility": Compatibility,
    "get_subject_compatibility": Compatibility,
    "get_mode": Mode,
    "get_subject_mode": Mode,
}
PROBLEMS = {
    "get_catalog": {"503"},
    "get_series": {"400", "404", "422", "503"},
    "health": {"503"},
    "compare": {"404", "422", "503"},
    "get_partner_series": {"404", "422", "503"},
}
MODELS: dict[str, type[BaseModel]] = {
    "get_catalog": Catalog,
    "get_series": Series,
    "health": Health,
    "compare": ComparedFigures,
    "get_partner_series": Series,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_own_api(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing").openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def of_the_city(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for operation in operations(document) if "schemas" not in operation["tags"])


def of_the_registry(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for operation in operations(document) if "schemas" in operation["tags"])


def test_paths_and_operation_ids_are_these(document: dict[str, Any]) -> None:
    found = {(method, path): op["operationId"] for path, ops in document["paths"].items() for method, op in ops.items()}
    assert found == {("get", path): name for path, name in OPERATIONS.items()} | REGISTRY


def test_parameters_are_these(document: dict[str, Any]) -> None:
    found = {
        op["operationId"]: [parameter["name"] for parameter in op.get("parameters", [])] for op in of_the_city(document)
    }
    assert found == {
        "get_catalog": [],
        "get_series": ["metric", "from", "to", "area", "class", "format"],
        "health": [],
        "compare": ["metric", "format"],
        "get_partner_series": ["city", "metric", "from", "to", "area", "class", "format"],
    }


def test_every_operation_and_every_parameter_is_described(document: dict[str, Any]) -> None:
    for operation in operations(document):
        assert operation["summary"] and operation["description"] and operation["tags"]
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def test_every_example_is_valid_under_the_schema_beside_it(document: dict[str, Any]) -> None:
    for operation in of_the_city(document):
        name = operation["operationId"]
        errors = {status for status in operation["responses"] if status >= "400"}
        assert errors == PROBLEMS[name]
        shown = operation["responses"]["200"]["content"]["application/json"]
        assert shown["schema"] == {"$ref": f"#/components/schemas/{MODELS[name].__name__}"}
        MODELS[name].model_validate(shown["example"])
        for status in errors:
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"]
            shown = content["application/problem+json"]
            assert shown["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert Problem.model_validate(shown["example"]).status == int(status)


def test_every_example_of_the_registry_is_valid_under_the_schema_beside_it(document: dict[str, Any]) -> None:
    for operation in of_the_registry(document):
        name = operation["operationId"]
        shown = operation["responses"]["200"]["content"]
        assert list(shown) == [MEDIA_TYPE] and shown[MEDIA_TYPE]["schema"]
        TypeAdapter(REGISTRY_ANSWERS[name]).validate_python(shown[MEDIA_TYPE]["example"])
        if body := operation.get("requestBody"):
            GivenSchema.model_validate(body["content"][MEDIA_TYPE]["example"])
        assert operation["responses"].keys() <= {"200", "4XX"}
        assert ("4XX" in operation["responses"]) == bool(operation.get("parameters"))
        if refused := operation["responses"].get("4XX"):
            assert list(refused["content"]) == [MEDIA_TYPE]
            for code, example in refused["content"][MEDIA_TYPE]["examples"].items():
                assert RegistryProblem.model_validate(example["value"]).error_code == int(code)


def test_every_reference_is_to_a_schema_of_the_document(document: dict[str, Any]) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(document))
    assert found
    assert {reference.removeprefix("#/components/schemas/") for reference in found} <= document["components"][
        "schemas"
    ].keys()
