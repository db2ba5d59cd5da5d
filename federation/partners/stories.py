"""Whether two signed heads of a city tell one story, and what proves it if they don't. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from federation.partners.staging import Fork
from federation.publications.chain import ChainEnd
from federation.publications.entries import digest
from federation.publications.heads import SignedHead, contradiction
from store.partner_heads import Contradiction, ReceivedHead

WHOLE_CITY = ""


def contradictions_of(one: SignedHead, other: SignedHead, *, thumbprint: str, seen_by: str) -> list[Contradiction]:
    """What the two heads can't both say, by metric; that of the whole city alone if they bear one number."""
    if one.number == other.number:
        words = contradiction(one, other)
        return [] if words is None else [_found(WHOLE_CITY, "two-heads", None, one, other, thumbprint, seen_by)]
    earlier, later = sorted((one, other), key=lambda head: head.number)
    found = []
    for metric, end in earlier.ends.items():
        only = (replace(head, ends=_only(head, metric)) for head in (earlier, later))
        if contradiction(*only) is not None:
            again = later.ends.get(metric)
            reason = "two-stories" if again is not None and again.sequence == end.sequence else "goes-back"
            found.append(_found(metric, reason, end.sequence, one, other, thumbprint, seen_by))
    return found


def forked(
    covering: Callable[[str], str],
    head: SignedHead,
    forks: Mapping[str, Fork],
    *,
    thumbprint: str,
    seen_by: str,
) -> list[Contradiction]:
    """The contradictions that entries prove which part from those stored, or from what a kept head names.

    `covering`: the head that covers what is stored.
    """
    found = []
    for metric, fork in forks.items():
        told = (thumbprint, metric, "rewritten", fork.sequence, fork.proof or covering(metric), head.document)
        found.append(Contradiction(*told, fork.lines, seen_by))
    return found


def against_stored(
    head: SignedHead,
    stored: Mapping[str, ChainEnd],
    proofs: Mapping[str, str],
    *,
    thumbprint: str,
    seen_by: str,
) -> list[Contradiction]:
    """What a head contradicts of the stored ends of these metrics. `proofs`: metric -> the head that covers them."""
    found = []
    for metric, proof in proofs.items():
        end, named = stored.get(metric), head.ends.get(metric)
        if end is None or (named is not None and (named.sequence > end.sequence or named == end)):
            continue
        reason = "two-stories" if named is not None and named.sequence == end.sequence else "goes-back"
        told = (thumbprint, metric, reason, end.sequence, proof, head.document)
        found.append(Contradiction(*told, b"", seen_by))
    return found


def received_head(head: SignedHead, *, thumbprint: str, seen_by: str) -> ReceivedHead:
    """A head as the store keeps it."""
    return ReceivedHead(
        *(thumbprint, head.number, digest(head.payload), seen_by, head.document, head.log),
        *(head.issued_at, head.expires_at),
    )


def _only(head: SignedHead, metric: str) -> Mapping[str, ChainEnd]:
    return {metric: head.ends[metric]} if metric in head.ends else {}


def _found(
    metric: str, reason: str, sequence: int | None, one: SignedHead, other: SignedHead, thumbprint: str, seen_by: str
) -> Contradiction:
    return Contradiction(thumbprint, metric, reason, sequence, one.document, other.document, b"", seen_by)
