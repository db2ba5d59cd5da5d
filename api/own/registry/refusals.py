"""Everything else that a client may request of a registry: refused in its protocol, and left out of the description."""

from fastapi import Response

from api.own.registry.answers import registry_router
from api.own.registry.protocol import NO_SUCH_PATH, NOT_PERMITTED, READ_ONLY, RegistryError

_KEPT = ("/schemas", "/subjects", "/config", "/mode")
_ABSENT = ("/associations", "/compatibility", "/contexts")
_WRITING = ("POST", "PUT", "DELETE", "PATCH")


def read_only() -> Response:
    """Refuses to write."""
    raise RegistryError(NOT_PERMITTED, READ_ONLY)


def absent() -> Response:
    """Refuses a path that other registries have and this one has not."""
    raise RegistryError(NO_SUCH_PATH, "This registry has no such resource")


router = registry_router()
for methods, handler, paths in (
    (_WRITING, read_only, _KEPT),
    (("GET",), absent, _KEPT),
    (("GET", *_WRITING), absent, _ABSENT),
):
    for path in paths:
        for pattern in (path, path + "/{rest:path}"):
            router.add_api_route(pattern, handler, methods=list(methods), include_in_schema=False)
