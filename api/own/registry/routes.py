"""All routes of the registry, in the order in which they are matched.

Paths, content type and error codes are those that stock clients expect. Nothing here is about a person: schemas are
part of the platform's code. Nothing can be written: a schema comes with a new version of the platform.
"""

from fastapi import APIRouter

from api.own.registry import lookup, refusals, schemas, settings, versions
from api.own.registry.protocol import RegistryJSON, RegistryRoute

router = APIRouter(route_class=RegistryRoute, tags=["schemas"], default_response_class=RegistryJSON)
for part in (schemas, versions, lookup, settings, refusals):
    router.include_router(part.router)
