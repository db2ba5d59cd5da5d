"""The registry's subjects of the city that is served, as a type for handlers."""

from typing import Annotated

from fastapi import Depends, Request

from api.own.registry.subjects import Subjects


# A coroutine, because the framework would run a plain function on a thread of its own.
async def _subjects(request: Request) -> Subjects:
    subjects: Subjects = request.app.state.subjects
    return subjects


OwnSubjects = Annotated[Subjects, Depends(_subjects)]
"""The schema registry's subjects of this city."""
