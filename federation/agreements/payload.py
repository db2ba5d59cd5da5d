"""The fields of an agreement, as JSON holds them (docs/wire.md). Unknown fields of format 1 are ignored."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from federation.identity.fields import MOST_ADDRESSES, CityId, Jwk, NodeAddress
from federation.wire import Format, Instant, Name, Text

_ID = r"[A-Za-z0-9_-]{21}[AQgw]"
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100)]
_MOST_DAYS = 20 * 366
_INTEGER = 2**31


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class PartyFields(_Fields):
    """One of the two cities."""

    city: CityId
    name: Name
    identity_key: Jwk
    addresses: list[NodeAddress] = Field(max_length=MOST_ADDRESSES)
    contact: Name


class GrantFields(_Fields):
    """What one city gives the other."""

    from_: CityId = Field(alias="from")
    to: CityId
    metrics: list[MetricName] = Field(min_length=1, max_length=1_000)
    since: Instant
    delay_seconds: int = Field(ge=0, le=_MOST_DAYS * 86_400)
    purpose: Text
    retention_days: int = Field(ge=1, le=_MOST_DAYS)
    requests_per_minute: int = Field(ge=1, lt=_INTEGER)
    bytes_per_hour: int = Field(ge=1, lt=2**53)
    concurrent_requests: int = Field(ge=1, lt=_INTEGER)


class AgreementFields(_Fields):
    """The payload of an agreement."""

    format: Format
    id: Annotated[str, StringConstraints(pattern=f"^{_ID}$")]
    version: int = Field(ge=1, lt=_INTEGER)
    supersedes: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None
    parties: list[PartyFields] = Field(min_length=2, max_length=2)
    grants: list[GrantFields] = Field(min_length=1, max_length=2)
    witness: bool
    valid_from: Instant
    valid_until: Instant


def is_agreement_id(text: str) -> bool:
    """Whether a text has the form of an agreement's id: 16 bytes in base64url, without padding."""
    return re.fullmatch(_ID, text) is not None


def read_fields(value: object) -> AgreementFields:
    """The fields of a payload. Raises `ValueError` that says what is wrong, and where."""
    try:
        return AgreementFields.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the payload'}: {first['msg']}") from None
