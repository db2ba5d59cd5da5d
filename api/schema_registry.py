"""The committed schemas in the REST protocol of Confluent's schema registry, read-only.

Under the paths, with the content type and the error codes that stock clients expect. Nothing here is about a person:
schemas are part of the platform's code. Nothing can be written: a schema comes with a new version of the platform.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import ValidationError

from api import examples
from api.caching import conditional, etag
from api.schema_protocol import (
    AVRO,
    INVALID_SCHEMA,
    INVALID_VERSION,
    MEDIA_TYPE,
    NO_SUCH_PATH,
    NOT_PERMITTED,
    TOO_LONG,
    UNKNOWN_SCHEMA,
    UNKNOWN_SUBJECT,
    UNKNOWN_VERSION,
    Compatibility,
    GivenSchema,
    Mode,
    RegisteredSchema,
    RegistryError,
    RegistryJSON,
    RegistryProblem,
    RegistryRoute,
    SchemaId,
    SchemaText,
    SubjectVersion,
)
from api.schema_subjects import NoAvroSchema, Subjects, VersionedSchema, text_of
from schemas.registry import Schema, schemas

COMPATIBILITY = "FULL_TRANSITIVE"

_LONGEST_BODY = 1 << 20
_FOR_EVER = "public, max-age=31536000, immutable"
_READ_ONLY = (
    "This registry is read-only: schemas are committed with the platform's code. Set auto.register.schemas to false"
)

Item = TypeVar("Item")


async def _body(request: Request) -> bytes:
    """The request's body, as far as a schema can be long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise RegistryError(TOO_LONG, f"A schema has at most {_LONGEST_BODY} bytes")
    return bytes(body)


SubjectName = Annotated[str, Path(description="A topic of the city with `-value` behind it.")]
SchemaNumber = Annotated[int, Path(description="Id of a schema, as it stands in bytes 1 to 4 of a message.")]
Offset = Annotated[int, Query(ge=0, description="Leave out so many.")]
Most = Annotated[int, Query(alias="limit", description="At most so many; all of them if negative.")]
Normalize = Annotated[bool, Query(description="Whether documentation, defaults and the like make no difference.")]
Body = Annotated[bytes, Depends(_body)]


def registry_routes(city: str) -> APIRouter:
    """The registry of a city's topics."""
    router = APIRouter(route_class=RegistryRoute, tags=["schemas"], default_response_class=RegistryJSON)
    subjects = Subjects(city)
    _add_schemas(router, subjects)
    _add_subjects(router, subjects)
    _add_lookup(router, subjects)
    _add_settings(router, subjects)
    _add_refusals(router)
    return router


def _add_schemas(router: APIRouter, subjects: Subjects) -> None:
    @router.get(
        "/schemas/ids/{schema_id}",
        operation_id="get_schema",
        summary="A schema by its id",
        response_model=SchemaText,
        responses=_shown(examples.SCHEMA_TEXT) | _refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
    )
    def get_schema(request: Request, schema_id: SchemaNumber) -> Response:
        """The schema of messages with this id. It never changes, so it may be kept for ever."""
        schema = _schema(schema_id)
        return _answer(request, {"schema": text_of(schema)}, cache_control=_FOR_EVER)

    @router.get(
        "/schemas/ids/{schema_id}/subjects",
        operation_id="list_subjects_of_schema",
        summary="The subjects that have a schema",
        response_model=list[str],
        responses=_shown([examples.SUBJECT]) | _refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
    )
    def list_subjects_of_schema(
        request: Request, schema_id: SchemaNumber, offset: Offset = 0, most: Most = -1
    ) -> Response:
        """The running stream's subject. The subjects of imports of history are not listed."""
        return _answer(request, _page([subjects.of_schema(_schema(schema_id))], offset, most))

    @router.get(
        "/schemas/ids/{schema_id}/versions",
        operation_id="list_versions_of_schema",
        summary="The subjects that have a schema, and as which version",
        response_model=list[SubjectVersion],
        responses=_shown([examples.SUBJECT_VERSION]) | _refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
    )
    def list_versions_of_schema(
        request: Request, schema_id: SchemaNumber, offset: Offset = 0, most: Most = -1
    ) -> Response:
        """The running stream's subject and its version. The subjects of imports of history are not listed."""
        schema = _schema(schema_id)
        found = [{"subject": subjects.of_schema(schema), "version": schema.version}]
        return _answer(request, _page(found, offset, most))

    @router.get(
        "/schemas/types",
        operation_id="list_schema_types",
        summary="The kinds of schemas that there are",
        response_model=list[str],
        responses=_shown([AVRO]),
    )
    def list_schema_types(request: Request) -> Response:
        """Every schema is an Avro schema."""
        return _answer(request, [AVRO])


def _add_subjects(router: APIRouter, subjects: Subjects) -> None:
    @router.get(
        "/subjects",
        operation_id="list_subjects",
        summary="The subjects of the running streams",
        response_model=list[str],
        responses=_shown([examples.SUBJECT]) | _refused(examples.NO_NUMBER),
    )
    def list_subjects(
        request: Request,
        prefix: Annotated[str, Query(alias="subjectPrefix", description="Subjects that begin so.")] = "",
        offset: Offset = 0,
        most: Most = -1,
    ) -> Response:
        """One for each topic of a running stream. The subjects of imports of history exist too, and are not listed."""
        found = [subject for subject in subjects.listed() if subject.startswith(prefix)]
        return _answer(request, _page(found, offset, most))

    @router.get(
        "/subjects/{subject}/versions",
        operation_id="list_versions",
        summary="The versions of a subject",
        response_model=list[int],
        responses=_shown([1]) | _refused(examples.UNKNOWN_SUBJECT, examples.NO_NUMBER),
    )
    def list_versions(request: Request, subject: SubjectName, offset: Offset = 0, most: Most = -1) -> Response:
        """Their numbers, oldest first. Every version reads what every other wrote."""
        return _answer(request, _page([one.schema.version for one in _versions(subjects, subject)], offset, most))

    @router.get(
        "/subjects/{subject}/versions/{version}",
        operation_id="get_version",
        summary="A version of a subject",
        response_model=RegisteredSchema,
        responses=_shown(examples.REGISTERED)
        | _refused(examples.UNKNOWN_SUBJECT, examples.UNKNOWN_VERSION, examples.INVALID_VERSION),
    )
    def get_version(
        request: Request,
        subject: SubjectName,
        version: Annotated[str, Path(description="Number of the version, or `latest`.")],
    ) -> Response:
        """The schema and its id. The subject of every topic of a dataset has the same versions."""
        _versions(subjects, subject)
        try:
            found = subjects.version(subject, version)
        except ValueError as error:
            raise RegistryError(INVALID_VERSION, str(error)) from None
        if found is None:
            raise RegistryError(UNKNOWN_VERSION, f"Subject {subject!r} has no version {version}")
        return _answer(request, _registered(found))


def _add_lookup(router: APIRouter, subjects: Subjects) -> None:
    given = {"content": {MEDIA_TYPE: {"schema": GivenSchema.model_json_schema(), "example": examples.SCHEMA_TEXT}}}
    body = {"requestBody": {"required": True, **given}}

    @router.post(
        "/subjects/{subject}",
        operation_id="find_schema",
        summary="The version of a subject that is a given schema",
        response_model=RegisteredSchema,
        responses=_shown(examples.REGISTERED)
        | _refused(examples.UNKNOWN_SUBJECT, examples.UNKNOWN_SCHEMA, examples.INVALID_SCHEMA),
        openapi_extra=body,
    )
    def find_schema(subject: SubjectName, body: Body, normalize: Normalize = False) -> Response:
        """Changes nothing: it asks whether the subject has this schema, and under which id."""
        found = _found(subjects, subject, body, normalize)
        if found is None:
            raise RegistryError(UNKNOWN_SCHEMA, f"Subject {subject!r} has no such schema")
        return RegistryJSON(_registered(found), headers={"Cache-Control": "no-store"})

    @router.post(
        "/subjects/{subject}/versions",
        operation_id="register_schema",
        summary="Refuses to register a schema, unless it is there already",
        response_model=SchemaId,
        responses=_shown({"id": 1}) | _refused(examples.UNKNOWN_SUBJECT, examples.NOT_PERMITTED),
        openapi_extra=body,
    )
    def register_schema(subject: SubjectName, body: Body, normalize: Normalize = False) -> Response:
        """The id of a schema that the subject has: nothing changes by that. Any other is refused, as all writing is."""
        found = _found(subjects, subject, body, normalize)
        if found is None:
            raise RegistryError(NOT_PERMITTED, _READ_ONLY)
        return RegistryJSON({"id": found.schema.id}, headers={"Cache-Control": "no-store"})


def _add_settings(router: APIRouter, subjects: Subjects) -> None:
    level = {"compatibilityLevel": COMPATIBILITY}
    mode = {"mode": "READONLY"}

    @router.get(
        "/config",
        operation_id="get_compatibility",
        summary="What holds between the versions of every subject",
        response_model=Compatibility,
        responses=_shown(level),
    )
    def get_compatibility(request: Request) -> Response:
        """FULL_TRANSITIVE: every version of a schema reads what every other wrote."""
        return _answer(request, level)

    @router.get(
        "/config/{subject}",
        operation_id="get_subject_compatibility",
        summary="What holds between the versions of a subject",
        response_model=Compatibility,
        responses=_shown(level) | _refused(examples.UNKNOWN_SUBJECT),
    )
    def get_subject_compatibility(request: Request, subject: SubjectName) -> Response:
        """FULL_TRANSITIVE, as for all subjects."""
        _versions(subjects, subject)
        return _answer(request, level)

    @router.get(
        "/mode",
        operation_id="get_mode",
        summary="What may be done with the registry",
        response_model=Mode,
        responses=_shown(mode),
    )
    def get_mode(request: Request) -> Response:
        """READONLY: schemas are committed with the platform's code."""
        return _answer(request, mode)

    @router.get(
        "/mode/{subject}",
        operation_id="get_subject_mode",
        summary="What may be done with a subject",
        response_model=Mode,
        responses=_shown(mode) | _refused(examples.UNKNOWN_SUBJECT),
    )
    def get_subject_mode(request: Request, subject: SubjectName) -> Response:
        """READONLY, as for all subjects."""
        _versions(subjects, subject)
        return _answer(request, mode)


def _add_refusals(router: APIRouter) -> None:
    """Whatever else a client may ask of a registry: refused in its protocol, and not part of the API's description."""

    def read_only() -> Response:
        raise RegistryError(NOT_PERMITTED, _READ_ONLY)

    def absent() -> Response:
        raise RegistryError(NO_SUCH_PATH, "This registry has no such resource")

    kept = ("/schemas", "/subjects", "/config", "/mode")
    others = ("/associations", "/compatibility", "/contexts")
    writing, every = ["POST", "PUT", "DELETE", "PATCH"], ["GET", "POST", "PUT", "DELETE", "PATCH"]
    for methods, answer, paths in ((writing, read_only, kept), (["GET"], absent, kept), (every, absent, others)):
        for path in paths:
            for place in (path, path + "/{rest:path}"):
                router.add_api_route(place, answer, methods=methods, include_in_schema=False)


def _schema(schema_id: int) -> Schema:
    schema = schemas().get(schema_id)
    if schema is None:
        raise RegistryError(UNKNOWN_SCHEMA, f"No schema has the id {schema_id}")
    return schema


def _versions(subjects: Subjects, subject: str) -> Sequence[VersionedSchema]:
    found = subjects.versions(subject)
    if not found:
        raise RegistryError(
            UNKNOWN_SUBJECT, f"There is no subject {subject!r}: subjects are topics of this city with -value behind"
        )
    return found


def _found(subjects: Subjects, subject: str, body: bytes, normalize: bool) -> VersionedSchema | None:
    """The version of the subject that is the schema of a request."""
    _versions(subjects, subject)
    try:
        given = GivenSchema.model_validate_json(body)
        if given.schema_type != AVRO:
            raise RegistryError(INVALID_SCHEMA, f"The schemas here are of the type {AVRO}")
        return subjects.holding(subject, given.schema_, normalize=normalize)
    except ValidationError:
        raise RegistryError(INVALID_SCHEMA, "The body must be JSON with the schema as a string in `schema`") from None
    except NoAvroSchema as error:
        raise RegistryError(INVALID_SCHEMA, str(error)) from None


def _registered(one: VersionedSchema) -> dict[str, object]:
    """`RegisteredSchema`."""
    schema = one.schema
    return {"subject": one.subject, "version": schema.version, "id": schema.id, "schema": text_of(schema)}


def _page(items: Sequence[Item], offset: int, most: int) -> Sequence[Item]:
    return items[offset:] if most < 0 else items[offset : offset + most]


def _answer(request: Request, content: object, *, cache_control: str = "no-cache") -> Response:
    return conditional(
        request,
        etag("schemas", content),
        lambda: content,
        media_type=MEDIA_TYPE,
        cache_control=cache_control,
    )


def _shown(example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {MEDIA_TYPE: {"example": example}}}}


def _refused(*cases: RegistryProblem) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for errors such as these."""
    shown = {str(case.error_code): {"value": case.model_dump()} for case in cases}
    words = "The registry's own form of an error; the first three digits of its code are the HTTP status."
    return {"4XX": {"description": words, "model": RegistryProblem, "content": {MEDIA_TYPE: {"examples": shown}}}}
