"""Examples of the registry's answers in OpenAPI. Each is valid under the model that it shows; a test holds that."""

from typing import Any

from api.own.registry.protocol import READ_ONLY, RegistryProblem
from api.own.registry.subjects import text_of
from schemas.registry import schemas

SUBJECT = "isfahan.energy.readings.v1-value"
SUBJECT_VERSION: dict[str, Any] = {"subject": SUBJECT, "version": 1}
SCHEMA_TEXT: dict[str, Any] = {"schema": text_of(schemas()[1])}
REGISTERED: dict[str, Any] = {**SUBJECT_VERSION, "id": 1, **SCHEMA_TEXT}

UNKNOWN_SUBJECT = RegistryProblem(
    error_code=40401,
    message="There is no subject 'isfahan.energy-value': a subject is a topic of this city followed by -value",
)
UNKNOWN_VERSION = RegistryProblem(
    error_code=40402, message="Subject 'isfahan.energy.readings.v1-value' has no version 3"
)
UNKNOWN_SCHEMA = RegistryProblem(error_code=40403, message="No schema has the id 99")
NO_NUMBER = RegistryProblem(error_code=422, message="offset: Input should be greater than or equal to 0")
INVALID_SCHEMA = RegistryProblem(error_code=42201, message="this is no Avro schema (UnknownType)")
INVALID_VERSION = RegistryProblem(error_code=42202, message="'newest' is no version: give its number or `latest`")
NOT_PERMITTED = RegistryProblem(error_code=42205, message=READ_ONLY)
