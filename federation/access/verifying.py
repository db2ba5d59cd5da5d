"""Verifies audit chains: each by itself, and against what others have kept of it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from re import fullmatch

from errors import OperatorError
from federation.access.audit import BrokenAudit, check_row, follow_audit
from federation.identity.document import Identity
from federation.publications.heads import BadHead, open_head
from store.audit import AuditHead, AuditRow
from store.heads import StoredHead

_NONE: Mapping[str, AuditHead] = {}


class BadWitness(OperatorError):
    """What should vouch for the audit can't be read."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Where a chain ended once, as somebody else can say who cannot have changed it. `who` is for an operator."""

    agreement: str
    head: AuditHead
    who: str


@dataclass(frozen=True, slots=True)
class VerifiedAudit:
    """The chain of an agreement: its end, how many witnesses agree with it, and what is wrong, if anything is.

    `removed` lines before it are gone by their age: nothing is said of them.
    """

    agreement: str
    removed: int
    head: AuditHead | None
    witnessed: int
    broken: BrokenAudit | None


def witnesses(content: str, who: str) -> Iterator[Witness]:
    """What lines `agreement sequence hash` say, as a signed head covers them. Raises `BadWitness`."""
    for line in content.splitlines():
        found = fullmatch(r"(\S+) (\d{1,18}) ([0-9a-f]{64})", line)
        if found is None:
            raise BadWitness(
                f"{who}: a line must be `agreement sequence hash`, with blanks between: {ascii(line)[:80]}"
            )
        yield Witness(found[1], AuditHead(int(found[2]), found[3]), who)


def checkpoint_of(text: str) -> AuditHead:
    """The line that `sequence hash` names. Raises `BadWitness`."""
    found = fullmatch(r"(\d{1,18}) ([0-9a-f]{64})", text)
    if found is None:
        raise BadWitness(f"a line of the audit is named by `sequence hash`, not by {ascii(text)[:80]}")
    return AuditHead(int(found[1]), found[2])


def signed_witnesses(heads: Iterable[StoredHead], identity: Identity) -> Iterator[Witness]:
    """What our own signed heads say of the audit, each thing once. Heads of keys that are revoked say nothing.

    Raises `BadWitness` if what is stored beside a head is not what the head was signed over.
    """
    told = set()
    for stored in heads:
        try:
            head = open_head(stored.document, identity, None)
        except BadHead:
            continue
        if head.audit != (None if stored.audit is None else sha256(stored.audit).hexdigest()):
            words = "the list of audit chains that is stored beside it is not the one that was signed"
            raise BadWitness(f"our head {head.number}: {words}")
        for witness in witnesses((stored.audit or b"").decode(), f"our head {head.number}"):
            if (witness.agreement, witness.head) not in told:
                told.add((witness.agreement, witness.head))
                yield witness


def verify_audit(
    rows: Iterable[AuditRow], vouched: Iterable[Witness] = (), checkpoints: Mapping[str, AuditHead] = _NONE
) -> Iterator[VerifiedAudit]:
    """What became of each chain. `rows` come by agreement, each chain from its first line on, or from its checkpoint.

    A chain that only witnesses or checkpoints know is reported too: it is missing, since no last line is ever removed.
    """
    checkpoints = dict(checkpoints)
    by_agreement: dict[str, list[Witness]] = defaultdict(list)
    for witness in vouched:
        by_agreement[witness.agreement].append(witness)
    for agreement, chain in groupby(rows, lambda row: row.agreement):
        yield _verified(agreement, chain, by_agreement.pop(agreement, []), checkpoints.pop(agreement, None))
    for agreement in sorted(by_agreement.keys() | checkpoints.keys()):
        yield _verified(agreement, (), by_agreement.get(agreement, []), checkpoints.get(agreement))


def _verified(
    agreement: str, rows: Iterable[AuditRow], vouched: Sequence[Witness], checkpoint: AuditHead | None
) -> VerifiedAudit:
    removed = 0 if checkpoint is None else checkpoint.sequence
    vouched = [witness for witness in vouched if witness.head.sequence >= removed]
    waiting = sorted(vouched, key=lambda witness: witness.head.sequence, reverse=True)
    head, agreed = checkpoint, 0
    try:
        if head is not None:
            agreed += _compare(waiting, head, vouched)
        for row in rows:
            head = follow_audit(head, agreement, row.line)
            check_row(row, head)
            agreed += _compare(waiting, head, vouched)
        if waiting:
            missing = 1 if head is None else head.sequence + 1
            words = f"it is missing: {waiting[-1].who} names line {waiting[-1].head.sequence}"
            raise BrokenAudit("broken-chain", agreement, missing, words)
        if head is not None and head == checkpoint:
            raise BrokenAudit("broken-chain", agreement, removed + 1, "it is missing: no last line is ever removed")
    except BrokenAudit as error:
        return VerifiedAudit(agreement, removed, head, agreed, error)
    return VerifiedAudit(agreement, removed, head, agreed, None)


def _compare(waiting: list[Witness], head: AuditHead, vouched: Sequence[Witness]) -> int:
    """Take the witnesses of this line from those that wait, and compare each with it; how many agree."""
    agreed = 0
    while waiting and waiting[-1].head.sequence == head.sequence:
        _check_witness(waiting.pop(), head, vouched)
        agreed += 1
    return agreed


def _check_witness(witness: Witness, head: AuditHead, vouched: Sequence[Witness]) -> None:
    if witness.head.hash == head.hash:
        return
    # A chain that was written anew is consistent in itself: it differs somewhere after the last witness that agrees.
    sound = max((other.head.sequence for other in vouched if other.head.sequence < head.sequence), default=0)
    words = f"{witness.who} names another hash of line {head.sequence}"
    raise BrokenAudit("broken-chain", witness.agreement, sound + 1, words)
