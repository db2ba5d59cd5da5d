"""Answers of the registry, and how OpenAPI describes them."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.caching import conditional, etag
from api.own.registry.protocol import MEDIA_TYPE, RegistryJSON, RegistryProblem, RegistryRoute
from api.own.registry.subjects import VersionedSchema, text_of

Responses = dict[int | str, dict[str, Any]]
"""OpenAPI's `responses`: descriptions by status."""


def registry_router() -> APIRouter:
    """A router whose answers and errors are in the registry's protocol."""
    return APIRouter(route_class=RegistryRoute, default_response_class=RegistryJSON)


def cached(request: Request, content: object, *, cache_control: str = "no-cache") -> Response:
    """`content` as JSON with an ETag, or 304 if the client has it already."""
    return conditional(
        request,
        etag("schemas", content),
        lambda: content,
        media_type=MEDIA_TYPE,
        cache_control=cache_control,
    )


def registered(version: VersionedSchema) -> dict[str, object]:
    """`RegisteredSchema`."""
    schema = version.schema
    return {"subject": version.subject, "version": schema.version, "id": schema.id, "schema": text_of(schema)}


def shown(example: Any) -> Responses:
    """The description of a 200 with this example."""
    return {200: {"content": {MEDIA_TYPE: {"example": example}}}}


def refused(*cases: RegistryProblem) -> Responses:
    """The description of errors such as these."""
    examples = {str(case.error_code): {"value": case.model_dump()} for case in cases}
    words = "The registry's own form of an error; the first three digits of its code are the HTTP status."
    return {"4XX": {"description": words, "model": RegistryProblem, "content": {MEDIA_TYPE: {"examples": examples}}}}
