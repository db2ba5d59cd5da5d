"""Path and query parameters of the registry's handlers, and what they resolve to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query

from api.own.registry.own_subjects import OwnSubjects
from api.own.registry.protocol import UNKNOWN_SCHEMA, UNKNOWN_SUBJECT, RegistryError
from api.own.registry.subjects import VersionedSchema
from schemas.registry import Schema, schemas

Item = TypeVar("Item")

SubjectName = Annotated[str, Path(description="Name of a topic of the city, followed by `-value`.")]


@dataclass(frozen=True, slots=True)
class Paging:
    """The part of a list that is requested."""

    offset: Annotated[int, Query(ge=0, description="How many items to skip.")] = 0
    most: Annotated[int, Query(alias="limit", description="How many items at most; all of them if negative.")] = -1

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """These items, from `offset` on, at most `most`."""
        return items[self.offset :] if self.most < 0 else items[self.offset : self.offset + self.most]


# Coroutines, because the framework would run a plain function on a thread of its own.
async def _schema(
    schema_id: Annotated[int, Path(description="Id of a schema, as in bytes 1 to 4 of a message.")],
) -> Schema:
    schema = schemas().get(schema_id)
    if schema is None:
        raise RegistryError(UNKNOWN_SCHEMA, f"No schema has the id {schema_id}")
    return schema


async def _versions(subject: SubjectName, subjects: OwnSubjects) -> Sequence[VersionedSchema]:
    versions = subjects.versions(subject)
    if not versions:
        raise RegistryError(
            UNKNOWN_SUBJECT, f"There is no subject {subject!r}: a subject is a topic of this city followed by -value"
        )
    return versions


Page = Annotated[Paging, Depends()]
"""The part of a list that is requested: the queries `offset` and `limit`."""

CommittedSchema = Annotated[Schema, Depends(_schema)]
"""The schema with the id in the path. Error 40403 if there is none."""

Versions = Annotated[Sequence[VersionedSchema], Depends(_versions)]
"""All versions, oldest first, of the subject in the path. Error 40401 if it is no subject of the city."""
