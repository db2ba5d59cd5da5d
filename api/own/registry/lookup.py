"""Handlers of `/subjects` with a schema in the body: which version of the subject it is."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import ValidationError

from api.own.registry import examples
from api.own.registry.answers import refused, registered, registry_router, shown
from api.own.registry.parameters import SubjectName, Versions
from api.own.registry.protocol import (
    AVRO,
    INVALID_SCHEMA,
    MEDIA_TYPE,
    NOT_PERMITTED,
    READ_ONLY,
    TOO_LONG,
    UNKNOWN_SCHEMA,
    GivenSchema,
    RegisteredSchema,
    RegistryError,
    RegistryJSON,
    SchemaId,
)
from api.own.registry.subjects import NoAvroSchema, VersionedSchema, holding

_LONGEST_BODY = 1 << 20
_NO_STORE = {"Cache-Control": "no-store"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {MEDIA_TYPE: {"schema": GivenSchema.model_json_schema(), "example": examples.SCHEMA_TEXT}},
    }
}


async def _body(request: Request) -> bytes:
    """The request's body, up to the length of the longest schema that is accepted."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise RegistryError(TOO_LONG, f"A schema has at most {_LONGEST_BODY} bytes")
    return bytes(body)


def _holding(
    body: Annotated[bytes, Depends(_body)],
    versions: Versions,
    normalize: Annotated[
        bool, Query(description="Whether documentation, defaults and the like make no difference.")
    ] = False,
) -> VersionedSchema | None:
    try:
        given = GivenSchema.model_validate_json(body)
        if given.schema_type != AVRO:
            raise RegistryError(INVALID_SCHEMA, f"The schemas here are of the type {AVRO}")
        return holding(versions, given.schema_, normalize=normalize)
    except ValidationError:
        raise RegistryError(INVALID_SCHEMA, "The body must be JSON with the schema as a string in `schema`") from None
    except NoAvroSchema as error:
        raise RegistryError(INVALID_SCHEMA, str(error)) from None


HoldingVersion = Annotated[VersionedSchema | None, Depends(_holding)]
"""The version of the subject in the path that is the schema in the body; None if the subject has no such schema."""

router = registry_router()


@router.post(
    "/subjects/{subject}",
    operation_id="find_schema",
    summary="The version of a subject that is a given schema",
    response_model=RegisteredSchema,
    responses=shown(examples.REGISTERED)
    | refused(examples.UNKNOWN_SUBJECT, examples.UNKNOWN_SCHEMA, examples.INVALID_SCHEMA),
    openapi_extra=_BODY,
)
def find_schema(subject: SubjectName, version: HoldingVersion) -> Response:
    """Whether the subject has this schema, and under which id. Changes nothing."""
    if version is None:
        raise RegistryError(UNKNOWN_SCHEMA, f"Subject {subject!r} has no such schema")
    return RegistryJSON(registered(version), headers=_NO_STORE)


@router.post(
    "/subjects/{subject}/versions",
    operation_id="register_schema",
    summary="Refuses to register a schema, unless it is there already",
    response_model=SchemaId,
    responses=shown({"id": 1}) | refused(examples.UNKNOWN_SUBJECT, examples.NOT_PERMITTED),
    openapi_extra=_BODY,
)
def register_schema(version: HoldingVersion) -> Response:
    """The id of a schema that the subject has already. Any other schema is refused, as all writing is."""
    if version is None:
        raise RegistryError(NOT_PERMITTED, READ_ONLY)
    return RegistryJSON({"id": version.schema.id}, headers=_NO_STORE)
