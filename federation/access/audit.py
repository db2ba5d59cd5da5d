"""The lines of an audit chain (docs/wire.md): what was given under an agreement. Pure."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from errors import OperatorError
from federation.strict_json import BadJson, dumps, loads
from federation.wire import instant, rfc3339
from store.audit import AuditHead, AuditRow


class BrokenAudit(OperatorError):
    """A chain is not as it was written; `agreement` and `sequence` name its first line that is wrong."""

    def __init__(self, agreement: str, sequence: int, words: str) -> None:
        super().__init__(f"the audit of agreement {agreement} is wrong from line {sequence} on: {words}")
        self.agreement = agreement
        self.sequence = sequence


@dataclass(frozen=True, slots=True)
class Given:
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
    content: dict[str, Any] = {"format": 1, "agreement": agreement, "sequence": sequence, "at": rfc3339(given.at)}
    content["before"] = None if head is None else head.hash
    content |= {name: value for name, value in asdict(given).items() if name != "at"}
    return AuditRow(agreement, sequence, given.at, dumps(content))


def end_of(row: AuditRow) -> AuditHead:
    """The end of a chain whose last line this is."""
    return AuditHead(row.sequence, sha256(row.line).hexdigest())


def follow_audit(head: AuditHead | None, row: AuditRow) -> AuditHead:
    """The end of a chain after its next line. `head` is the end before, None at the beginning.

    Raises `BrokenAudit` if the line does not continue the chain, or is not what the table says beside it. A line that
    was changed is noticed by the line after it, or by a head that was signed or given to the partner.
    """
    expected = 1 if head is None else head.sequence + 1
    try:
        content = loads(row.line)
        told = (content["agreement"], content["sequence"], instant(content["at"]))
        before = content["before"]
    except (BadJson, ValueError, KeyError, TypeError):
        raise BrokenAudit(row.agreement, expected, "it is no audit line") from None
    if row.sequence != expected:
        raise BrokenAudit(row.agreement, expected, f"it is missing; line {row.sequence} comes next")
    if told != (row.agreement, row.sequence, row.at):
        raise BrokenAudit(row.agreement, expected, "what it says is not what is stored beside it")
    if before != (None if head is None else head.hash):
        wrong = max(1, expected - 1)
        raise BrokenAudit(row.agreement, wrong, f"its hash is not the one that line {expected} names")
    return end_of(row)
