"""The lines of an audit chain (docs/wire.md): what was given under an agreement. Pure."""

from hashlib import sha256
from typing import Annotated, Literal, NamedTuple, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from errors import OperatorError
from federation.strict_json import BadJson, dumps, loads
from federation.wire import Hash, Instant, instant, rfc3339
from store.audit import AuditHead, AuditRow

Reason = Literal["malformed", "unknown-format", "other-agreement", "broken-chain"]


class BrokenAudit(OperatorError):
    """A chain is not as it was written; `agreement` and `sequence` name its first line that is wrong."""

    def __init__(self, reason: Reason, agreement: str, sequence: int, words: str) -> None:
        super().__init__(f"the audit of agreement {agreement} is wrong from line {sequence} on: {words}")
        self.reason: Reason = reason
        self.agreement = agreement
        self.sequence = sequence


class BadLine(OperatorError):
    """A line that is no audit line at all."""


class Given(NamedTuple):
    """An answer: to which request, when (ms since 1970, UTC), and what was in it.

    `metric`, and `first` and `last` sequence, are None where they have no meaning. `page` is the SHA-256 of the
    answer's content in hex, `bytes` its length.
    """

    at: int
    request: str
    path: str
    metric: str | None
    first: int | None
    last: int | None
    status: int
    page: str
    bytes: int


def audit_row(given: Given, agreement: str, head: AuditHead | None) -> AuditRow:
    """The line that records `given` after the end of the agreement's chain."""
    sequence = 1 if head is None else head.sequence + 1
    content = {
        **{"format": 1, "agreement": agreement, "sequence": sequence, "at": rfc3339(given.at)},
        "before": None if head is None else head.hash,
        "request": given.request,
        "path": given.path,
        **{"metric": given.metric, "first": given.first, "last": given.last},
        **{"status": given.status, "page": given.page, "bytes": given.bytes},
    }
    return AuditRow(agreement, sequence, given.at, dumps(content))


def end_of(row: AuditRow) -> AuditHead:
    """The end of a chain whose last line this is."""
    return AuditHead(row.sequence, sha256(row.line).hexdigest())


def follow_audit(head: AuditHead | None, agreement: str, line: bytes) -> AuditHead:
    """The end of an agreement's chain after its next line. `head` is the end before, None at the beginning.

    Raises `BrokenAudit`. A line that was changed is noticed by the line after it, and the last one by a head that was
    signed or given to the partner.
    """
    expected = 1 if head is None else head.sequence + 1

    def refuse(reason: Reason, words: str, sequence: int = expected) -> NoReturn:
        raise BrokenAudit(reason, agreement, sequence, words)

    try:
        found = loads(line)
        if isinstance(found, dict) and found.get("format") != 1:
            refuse("unknown-format", "its format is unknown")
        content = _Line.model_validate(found)
    except (BadJson, ValidationError):
        refuse("malformed", "it is no audit line")
    if content.agreement != agreement:
        refuse("other-agreement", "it is a line of another agreement")
    if content.sequence != expected:
        refuse("broken-chain", f"line {content.sequence} stands in its place")
    if content.before != (None if head is None else head.hash):
        # The line before is what differs from what was written, unless this line is the first.
        refuse("broken-chain", f"its hash is not the one that line {expected} names", max(1, expected - 1))
    return AuditHead(expected, sha256(line).hexdigest())


def row_of(line: bytes, where: str) -> AuditRow:
    """A line by itself, as it is stored. Raises `BadLine` if it is none; `where` is for an operator."""
    try:
        content = _Line.model_validate(loads(line))
    except (BadJson, ValidationError):
        raise BadLine(f"{where} is no audit line") from None
    return AuditRow(content.agreement, content.sequence, instant(content.at), line)


def check_row(row: AuditRow, line: AuditHead) -> None:
    """Raise `BrokenAudit` if what is stored beside a line is not what it says; `line` is the chain's end with it."""
    told = instant(loads(row.line)["at"])
    if (row.sequence, row.at) != (line.sequence, told):
        raise BrokenAudit("broken-chain", row.agreement, line.sequence, "what it says is not what is stored beside it")


class _Line(BaseModel):
    """What an audit line must hold."""

    model_config = ConfigDict(strict=True)

    agreement: str
    sequence: Annotated[int, Field(ge=1, lt=2**63)]
    at: Instant
    before: Hash | None
    request: Annotated[str, StringConstraints(max_length=64)]
    path: str
    metric: str | None
    first: Annotated[int, Field(ge=1, lt=2**63)] | None
    last: Annotated[int, Field(ge=1, lt=2**63)] | None
    status: Annotated[int, Field(ge=100, lt=600)]
    page: Hash
    bytes: Annotated[int, Field(ge=0, lt=2**63)]

    @model_validator(mode="after")
    def _spans(self) -> Self:
        if (self.first is None) != (self.last is None) or (self.first or 0) > (self.last or 0):
            raise ValueError("first and last must both be there, in order, or be null")
        return self
