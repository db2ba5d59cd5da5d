"""Heads that partners have seen of other cities, and of ours: a city that tells two stories has signed both."""

import logging
from functools import partial

from federation.identity.document import BadIdentity, Identity, open_identity
from federation.partners.database import Threads
from federation.partners.source import Source
from federation.partners.stories import WHOLE_CITY, contradictions_of, received_head
from federation.publications.heads import BadHead, SignedHead, open_head
from store.agreements import InstalledAgreement
from store.database import Connection
from store.identities import identity_of
from store.partner_coverage import covered_hash
from store.partner_facts import known_identities
from store.partner_heads import (
    Contradiction,
    ReceivedHead,
    heads_numbered,
    keep_head,
    newest_head,
    record_contradiction,
)
from store.settlements import settlements

log = logging.getLogger(__name__)


async def ask_witness(agreement: InstalledAgreement, source: Source, threads: Threads) -> list[Contradiction]:
    """Ask a partner for the heads that it has seen of every city that we know, ours among them; keep them and compare.

    Returns the contradictions that were found; they are recorded. Raises `PartnerError`.
    """
    found = []
    for thumbprint in await threads.with_database(known_identities):
        if thumbprint == agreement.partner:
            continue
        documents = await source.heads(thumbprint)
        if documents:
            found += await threads.with_database(
                partial(compared, thumbprint=thumbprint, documents=documents, seen_by=agreement.partner)
            )
    return found


def compared(connection: Connection, thumbprint: str, documents: list[str], seen_by: str) -> list[Contradiction]:
    """Keep those of the documents that are heads of this city, and record what they contradict.

    Others are left out: they prove nothing, of nobody.
    """
    stored = identity_of(connection, thumbprint)
    found = []
    for document in documents:
        try:
            identity = open_identity(stored or "", pinned=thumbprint, now_ms=None)
            head = open_head(document, identity, None)
        except (BadHead, BadIdentity) as error:
            log.warning("a partner shows a head that is none: %s", error)
            continue
        found += _against_what_is_known(connection, identity, head, seen_by)
        keep_head(connection, received_head(head, thumbprint=thumbprint, seen_by=seen_by))
    for each in found:
        log.error("city %s contradicts itself: both heads are recorded", each.thumbprint)
        record_contradiction(connection, each)
    return found


def _against_what_is_known(
    connection: Connection, identity: Identity, head: SignedHead, seen_by: str
) -> list[Contradiction]:
    thumbprint = identity.thumbprint
    newest = newest_head(connection, thumbprint, thumbprint)
    settled = {
        metric
        for metric, recorded in settlements(connection, thumbprint).items()
        if recorded.settlement is not None and head.number <= recorded.settlement.number
    }
    known: list[ReceivedHead] = heads_numbered(connection, thumbprint, head.number)
    if newest is not None:
        known.append(newest)
    for each in known:
        try:
            other = open_head(each.document, identity, None)
        except BadHead:
            continue  # by a key that has been revoked since
        told = contradictions_of(other, head, thumbprint=thumbprint, seen_by=seen_by)
        if found := [each for each in told if not settled & {each.metric, WHOLE_CITY}]:
            return found
    if newest is None:
        return []
    return [
        Contradiction(thumbprint, metric, "two-stories", end.sequence, newest.document, head.document, b"", seen_by)
        for metric, end in head.ends.items()
        if not settled & {metric, WHOLE_CITY}
        and covered_hash(connection, thumbprint, metric, end.sequence) not in (None, end.hash)
    ]
