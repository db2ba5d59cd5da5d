"""How OpenAPI describes an app of this API and the answers of its handlers."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import examples
from api.problems import UNAVAILABLE
from api.tables import CSV
from federation.wire import Problem

NO_DATABASE = (503, "The node's database does not answer; `Retry-After` holds the seconds to wait.", UNAVAILABLE)
REFUSED_PARAMETER = (422, "A parameter is out of range or not of its type.", examples.INVALID)


def shown(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for a JSON answer with this example."""
    return {200: {"content": {"application/json": {"example": example}}}}


def tabled(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The same, for an answer that may be CSV instead."""
    return {200: {"content": {**shown(example)[200]["content"], CSV: {}}}}


def conditionally(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The same, for an answer with an ETag that may be a 304 instead."""
    etag_header = {"description": "Names this state; send it as `If-None-Match`.", "schema": {"type": "string"}}
    return {
        200: {**shown(example)[200], "headers": {"ETag": etag_header}},
        304: {"description": "Nothing has changed since the state that `If-None-Match` names."},
    }


def describe(app: FastAPI, description: str, tags: list[dict[str, Any]]) -> None:
    """Give the app its description, with the model of problems that every operation's errors refer to."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=description, routes=app.routes, tags=tags
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
