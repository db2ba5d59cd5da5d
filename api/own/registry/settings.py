"""Handlers of `/config` and `/mode`: the same for every subject, and read-only."""

from fastapi import Request, Response

from api.own.registry import examples
from api.own.registry.answers import cached, refused, registry_router, shown
from api.own.registry.parameters import Versions
from api.own.registry.protocol import Compatibility, Mode

_LEVEL = {"compatibilityLevel": "FULL_TRANSITIVE"}
_MODE = {"mode": "READONLY"}

router = registry_router()


@router.get(
    "/config",
    operation_id="get_compatibility",
    summary="What holds between the versions of every subject",
    response_model=Compatibility,
    responses=shown(_LEVEL),
)
def get_compatibility(request: Request) -> Response:
    """FULL_TRANSITIVE: every version of a schema reads what every other wrote."""
    return cached(request, _LEVEL)


@router.get(
    "/config/{subject}",
    operation_id="get_subject_compatibility",
    summary="What holds between the versions of a subject",
    response_model=Compatibility,
    responses=shown(_LEVEL) | refused(examples.UNKNOWN_SUBJECT),
)
def get_subject_compatibility(request: Request, _: Versions) -> Response:
    """FULL_TRANSITIVE, as for all subjects."""
    return cached(request, _LEVEL)


@router.get(
    "/mode",
    operation_id="get_mode",
    summary="What may be done with the registry",
    response_model=Mode,
    responses=shown(_MODE),
)
def get_mode(request: Request) -> Response:
    """READONLY: schemas are committed with the platform's code."""
    return cached(request, _MODE)


@router.get(
    "/mode/{subject}",
    operation_id="get_subject_mode",
    summary="What may be done with a subject",
    response_model=Mode,
    responses=shown(_MODE) | refused(examples.UNKNOWN_SUBJECT),
)
def get_subject_mode(request: Request, _: Versions) -> Response:
    """READONLY, as for all subjects."""
    return cached(request, _MODE)
