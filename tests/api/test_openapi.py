"""The API's description: what partners generate clients from does not change unnoticed, and its examples are true."""

from collections.abc import Iterator
from typing import Any

import pytest

from api import examples
from api.app import create_app
from api.cursors import place
from federation.wire import Catalog, Health, Problem, PublicationPage, Series
from tests.federation.city import ISFAHAN

OPERATIONS = {
    "/v1/catalog": "get_catalog",
    "/v1/publications": "list_publications",
    "/v1/series/{metric}": "get_series",
    "/healthz": "health",
}
PROBLEMS = {
    "get_catalog": {"503"},
    "list_publications": {"400", "410", "422", "503"},
    "get_series": {"400", "404", "422", "503"},
    "health": {"503"},
}
MODELS = {
    "get_catalog": Catalog,
    "list_publications": PublicationPage,
    "get_series": Series,
    "health": Health,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing").openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def test_paths_and_operation_ids_are_these(document: dict[str, Any]) -> None:
    found = {path: {method: op["operationId"] for method, op in ops.items()} for path, ops in document["paths"].items()}
    assert found == {path: {"get": name} for path, name in OPERATIONS.items()}


def test_parameters_are_these(document: dict[str, Any]) -> None:
    found = {op["operationId"]: [one["name"] for one in op.get("parameters", [])] for op in operations(document)}
    assert found == {
        "get_catalog": [],
        "list_publications": ["after", "limit"],
        "get_series": ["metric", "from", "to", "area", "class"],
        "health": [],
    }


def test_every_operation_says_what_it_does_and_every_parameter_what_it_means(document: dict[str, Any]) -> None:
    for operation in operations(document):
        assert operation["summary"] and operation["description"] and operation["tags"]
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def test_every_example_is_valid_under_the_schema_beside_it(document: dict[str, Any]) -> None:
    for operation in operations(document):
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


def test_the_examples_hang_together() -> None:
    assert place(examples.PAGE["next"]) == (examples.PAGE["log"], 2)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
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
    assert {one.removeprefix("#/components/schemas/") for one in found} <= document["components"]["schemas"].keys()
