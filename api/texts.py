"""Names in requests: what can be one in a catalogue can be asked for, and nothing else reaches the database."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from federation.plain_text import plain

Named = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"), AfterValidator(plain)]
"""A name as a parameter. Control characters, among them NUL, which PostgreSQL does not take, are refused with 422."""
