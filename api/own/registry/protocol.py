"""The protocol of a schema registry: forms of answers, error codes and content type."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
AVRO = "AVRO"

NO_SUCH_PATH = 404
UNKNOWN_SUBJECT = 40401
UNKNOWN_VERSION = 40402
UNKNOWN_SCHEMA = 40403
TOO_LONG = 413
INVALID_PARAMETER = 422
INVALID_SCHEMA = 42201
INVALID_VERSION = 42202
NOT_PERMITTED = 42205
"""Codes of the protocol's errors; the first three digits are the HTTP status."""


READ_ONLY = (
    "This registry is read-only: schemas are committed with the platform's code. Set auto.register.schemas to false"
)
"""Error text of requests that would write."""


class SchemaText(BaseModel):
    """A schema as JSON text."""

    schema_: str = Field(alias="schema", description="The Avro schema in JSON.")


class SubjectVersion(BaseModel):
    """A version of a subject."""

    subject: str
    version: int = Field(ge=1)


class RegisteredSchema(SubjectVersion, SchemaText):
    """A version of a subject with its schema."""

    id: int = Field(ge=1, description="The schema's id, as in every message.")


class SchemaId(BaseModel):
    """The id of a schema."""

    id: int = Field(ge=1)


class Compatibility(BaseModel):
    """What holds between the versions of a subject."""

    compatibility_level: str = Field(alias="compatibilityLevel")


class Mode(BaseModel):
    """What may be done with the registry."""

    mode: str


class GivenSchema(BaseModel):
    """A schema that a client sends."""

    schema_: str = Field(alias="schema")
    schema_type: str = Field(AVRO, alias="schemaType")


class RegistryProblem(BaseModel):
    """An error in the registry's protocol; the first three digits of the code are the HTTP status."""

    error_code: int
    message: str


class RegistryError(Exception):
    """An error that a handler raises to answer in the registry's protocol."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.problem = RegistryProblem(error_code=code, message=message)


class RegistryJSON(JSONResponse):
    """JSON of the registry's content type."""

    media_type = MEDIA_TYPE


def _refusal(problem: RegistryProblem) -> Response:
    return RegistryJSON(problem.model_dump(), int(str(problem.error_code)[:3]), {"Cache-Control": "no-store"})


class RegistryRoute(APIRoute):
    """A route whose errors are the registry's own, not RFC 9457 problems: stock clients read no others."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handler(request)
            except RegistryError as error:
                return _refusal(error.problem)
            except RequestValidationError as error:
                words = "; ".join(f"{refused['loc'][-1]}: {refused['msg']}" for refused in error.errors())
                return _refusal(RegistryProblem(error_code=INVALID_PARAMETER, message=words))

        return answering
