"""Handlers of `/subjects` that read: the subjects of the city and their versions."""

from typing import Annotated

from fastapi import Path, Query, Request, Response

from api.own.registry import examples
from api.own.registry.answers import cached, refused, registered, registry_router, shown
from api.own.registry.own_subjects import OwnSubjects
from api.own.registry.parameters import Page, SubjectName, Versions
from api.own.registry.protocol import INVALID_VERSION, UNKNOWN_VERSION, RegisteredSchema, RegistryError
from api.own.registry.subjects import numbered

router = registry_router()


@router.get(
    "/subjects",
    operation_id="list_subjects",
    summary="The subjects of the running streams",
    response_model=list[str],
    responses=shown([examples.SUBJECT]) | refused(examples.NO_NUMBER),
)
def list_subjects(
    request: Request,
    subjects: OwnSubjects,
    page: Page,
    prefix: Annotated[str, Query(alias="subjectPrefix", description="Only subjects with this prefix.")] = "",
) -> Response:
    """One for each topic of a running stream. The subjects of imports of history exist too, and are not listed."""
    return cached(request, page.of([subject for subject in subjects.listed() if subject.startswith(prefix)]))


@router.get(
    "/subjects/{subject}/versions",
    operation_id="list_versions",
    summary="The versions of a subject",
    response_model=list[int],
    responses=shown([1]) | refused(examples.UNKNOWN_SUBJECT, examples.NO_NUMBER),
)
def list_versions(request: Request, versions: Versions, page: Page) -> Response:
    """Their numbers, oldest first. Every version reads what every other wrote."""
    return cached(request, page.of([version.schema.version for version in versions]))


@router.get(
    "/subjects/{subject}/versions/{version}",
    operation_id="get_version",
    summary="A version of a subject",
    response_model=RegisteredSchema,
    responses=shown(examples.REGISTERED)
    | refused(examples.UNKNOWN_SUBJECT, examples.UNKNOWN_VERSION, examples.INVALID_VERSION),
)
def get_version(
    request: Request,
    subject: SubjectName,
    version: Annotated[str, Path(description="Number of the version, or `latest`.")],
    versions: Versions,
) -> Response:
    """The schema and its id. The subject of every topic of a dataset has the same versions."""
    try:
        found = numbered(versions, version)
    except ValueError as error:
        raise RegistryError(INVALID_VERSION, str(error)) from None
    if found is None:
        raise RegistryError(UNKNOWN_VERSION, f"Subject {subject!r} has no version {version}")
    return cached(request, registered(found))
