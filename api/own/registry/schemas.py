"""Handlers of `/schemas`: schemas by their ids."""

from fastapi import Request, Response

from api.own.registry import examples
from api.own.registry.answers import cached, refused, registry_router, shown
from api.own.registry.own_subjects import OwnSubjects
from api.own.registry.parameters import CommittedSchema, Page
from api.own.registry.protocol import AVRO, SchemaText, SubjectVersion
from api.own.registry.subjects import text_of

_FOR_EVER = "public, max-age=31536000, immutable"

router = registry_router()


@router.get(
    "/schemas/ids/{schema_id}",
    operation_id="get_schema",
    summary="A schema by its id",
    response_model=SchemaText,
    responses=shown(examples.SCHEMA_TEXT) | refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
)
def get_schema(request: Request, schema: CommittedSchema) -> Response:
    """The schema of messages with this id. It never changes, so it may be kept for ever."""
    return cached(request, {"schema": text_of(schema)}, cache_control=_FOR_EVER)


@router.get(
    "/schemas/ids/{schema_id}/subjects",
    operation_id="list_subjects_of_schema",
    summary="The subjects that have a schema",
    response_model=list[str],
    responses=shown([examples.SUBJECT]) | refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
)
def list_subjects_of_schema(request: Request, schema: CommittedSchema, subjects: OwnSubjects, page: Page) -> Response:
    """The running stream's subject. The subjects of imports of history are not listed."""
    return cached(request, page.of([subjects.of_schema(schema)]))


@router.get(
    "/schemas/ids/{schema_id}/versions",
    operation_id="list_versions_of_schema",
    summary="The subjects that have a schema, and as which version",
    response_model=list[SubjectVersion],
    responses=shown([examples.SUBJECT_VERSION]) | refused(examples.UNKNOWN_SCHEMA, examples.NO_NUMBER),
)
def list_versions_of_schema(request: Request, schema: CommittedSchema, subjects: OwnSubjects, page: Page) -> Response:
    """The running stream's subject and its version. The subjects of imports of history are not listed."""
    return cached(request, page.of([{"subject": subjects.of_schema(schema), "version": schema.version}]))


@router.get(
    "/schemas/types",
    operation_id="list_schema_types",
    summary="The types of schemas",
    response_model=list[str],
    responses=shown([AVRO]),
)
def list_schema_types(request: Request) -> Response:
    """Every schema is an Avro schema."""
    return cached(request, [AVRO])
