"""Entries and the head that covers them: read until both are of one moment, verified, stored together."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter

from federation.identity.document import Identity
from federation.jose import signer
from federation.partners.checks import check_grid, lines_of
from federation.partners.database import Threads
from federation.partners.definitions import Definitions
from federation.partners.limits import FetchLimits, PartnerError
from federation.partners.source import LogGone, Source
from federation.partners.staging import Staging
from federation.partners.stories import WHOLE_CITY, against_stored, contradictions_of, forked, received_head
from federation.publications.chain import ChainEnd
from federation.publications.heads import SignedHead, open_head
from store.agreements import InstalledAgreement
from store.database import Connection
from store.partner_heads import Contradiction, contradicted, drop_head, newest_head, record_contradiction
from store.received import (
    EntryCursor,
    ReceivedEntry,
    distrust,
    ends,
    entry_cursor,
    entry_hashes,
    store_entries,
    uncovered,
)
from store.settlements import RecordedContradiction, settlements

log = logging.getLogger(__name__)

CONTRADICTIONS = Counter("sistercity_contradictions", "Contradictions found in what partners have signed.", ["city"])

_ROUNDS = 6
"""How often head or entries are fetched again in one pull because the city has published meanwhile."""


class ChainReader:
    """Reads entries and heads under one agreement."""

    def __init__(
        self,
        agreement: InstalledAgreement,
        source: Source,
        threads: Threads,
        limits: FetchLimits,
        definitions: Definitions,
    ) -> None:
        self._agreement = agreement
        self._metrics = tuple(sorted(agreement.metrics("received")))
        self._source = source
        self._threads = threads
        self._limits = limits
        self._definitions = definitions
        self._whose = {"thumbprint": agreement.partner, "seen_by": agreement.partner}

    async def read(self, identity: Identity, now_ms: int) -> tuple[int, dict[str, str]]:
        """Store what is new. Returns how many entries, and metric -> why nothing of it is taken.

        Raises `PartnerError`, `BadHead` and `store.received.Conflict`.
        """
        thumbprint = self._agreement.partner
        trust = await self._threads.with_database(lambda connection: _trust(connection, identity, self._metrics))
        before = await self._threads.with_database(lambda connection: entry_cursor(connection, self._agreement.id))
        told = await self._threads.with_database(lambda connection: contradicted(connection, thumbprint))
        if WHOLE_CITY in told:
            return 0, dict.fromkeys(self._metrics, self._words(WHOLE_CITY))
        wanted = {metric: trust.ends.get(metric) for metric in self._metrics if metric not in told}
        doubted = trust.doubted & wanted.keys()
        again = not trust.head or bool(doubted) or not set(self._metrics) <= set(before.metrics)
        with Staging(self._agreement.city, wanted, doubted, self._hashes_of(), self._limits.entry_bytes) as staging:
            cursor = None if again or not self._source.resumes else before.cursor
            if again:
                self._source.forget()
            head, cursor, found = await self._read_all(staging, identity, cursor, now_ms, trust)
            found += await self._record(forked(trust.covering, head, staging.forks(), **self._whose))
            count = await self._store(head, staging, before, cursor, {each.metric for each in found}, trust)
        told |= {each.metric for each in found}
        refused = set(self._metrics) if WHOLE_CITY in told else told & set(self._metrics)
        return count, {metric: self._words(metric) for metric in refused}

    async def _read_all(
        self, staging: Staging, identity: Identity, cursor: str | None, now_ms: int, trust: "_Trust"
    ) -> tuple[SignedHead, str | None, list[Contradiction]]:
        """Entries to their end, a head of the same moment, and what it contradicts of the head before.

        Page and head may race: whichever is older is fetched again, and that they differ for a moment is no
        contradiction. What is contradicted is staged no more.
        """
        cursor = await self._read_entries(staging, cursor, now_ms)
        head, found = await self._read_head(staging, identity, now_ms, trust)
        for _ in range(_ROUNDS):
            missing = staging.missing(head)
            if missing == "nothing":
                return head, cursor, found
            if missing == "entries":
                cursor = await self._read_entries(staging, cursor, now_ms)
            else:
                head, more = await self._read_head(staging, identity, now_ms, trust)
                found += more
        if staging.missing(head) == "nothing":
            return head, cursor, found
        raise PartnerError("withheld", f"head {head.number} of {self._agreement.city} does not go with its entries")

    async def _read_entries(self, staging: Staging, cursor: str | None, now_ms: int) -> str | None:
        begun_again = False
        while True:
            try:
                page = await self._source.entries(cursor)
            except LogGone:
                if begun_again or cursor is None:
                    raise PartnerError("gone", f"{self._agreement.city} answers twice that its log is gone") from None
                log.warning("%s has another log now; reading its entries from the beginning", self._agreement.city)
                cursor, begun_again = None, True
                continue
            if page is None:
                return cursor
            lines = lines_of(page.content, "entries")
            if lines and page.next == cursor:
                raise PartnerError("no-progress", f"{self._agreement.city} gives entries and the same cursor again")
            if len(lines) > self._limits.lines:
                raise PartnerError("too-many", f"{self._agreement.city} gives more entries than were asked for")
            await self._threads.run(partial(staging.add, lines, self._metrics, now_ms))
            cursor = page.next
            if not lines:
                return cursor

    async def _read_head(
        self, staging: Staging, identity: Identity, now_ms: int, trust: "_Trust"
    ) -> tuple[SignedHead, list[Contradiction]]:
        """The head as the city gives it now, and what it contradicts of the one that is trusted.

        Raises `PartnerError` ("older-head", "no-head") and `BadHead`.
        """
        text = await self._source.head()
        known = await self._threads.with_database(
            lambda connection: newest_head(connection, self._agreement.partner, self._agreement.partner)
        )
        if text is None:
            if known is None:
                raise PartnerError("no-head", f"{self._agreement.city} has signed no head yet")
            text = known.document
        head = open_head(text, identity, now_ms)
        if known is not None and head.number < known.number:
            words = (
                f"{self._agreement.city} gives head {head.number} after {known.number}: it was restored from a backup,"
                " or is not who answers"
            )
            raise PartnerError("older-head", words)
        found = await self._record(self._contradicted(head, trust))
        staging.leave_out({each.metric for each in found})
        return head, found

    def _contradicted(self, head: SignedHead, trust: "_Trust") -> list[Contradiction]:
        """What a head contradicts of what is trusted: of the head before, or, where an operator has settled since what
        that one says, of what is stored."""
        told = [] if trust.head is None else contradictions_of(trust.head, head, **self._whose)
        found = [each for each in told if each.metric not in trust.proofs]
        return found + against_stored(head, trust.ends, trust.proofs, **self._whose)

    async def _record(self, found: list[Contradiction]) -> list[Contradiction]:
        for each in found:
            log.error("%s", self._words(each.metric))
            CONTRADICTIONS.labels(self._agreement.city).inc()
            await self._threads.with_database(partial(record_contradiction, found=each))
        return found

    async def _store(
        self,
        head: SignedHead,
        staging: Staging,
        before: EntryCursor,
        cursor: str | None,
        without: set[str],
        trust: "_Trust",
    ) -> int:
        if WHOLE_CITY in without:
            return 0
        after = EntryCursor(cursor if self._source.resumes else before.cursor, self._metrics)
        grids = {hash_: await self._definitions.grid(hash_, metric) for hash_, metric in staging.catalogues.items()}
        replaced = staging.unproven()
        for metric, sequence in replaced.items():
            log.warning("%s: no head that counts covers %s from %d on", self._agreement.city, metric, sequence)
        anew = trust.head is None or trust.head.number != head.number or trust.doubted & staging.metrics
        if not anew and not staging.count and after == before:
            return 0
        seen = received_head(head, thumbprint=self._agreement.partner, seen_by=self._agreement.partner)

        def store(connection: Connection) -> int:
            entries = _on_grid(staging, frozenset(without), grids)
            return store_entries(
                *(connection, self._agreement.id, seen),
                before=before,
                following=after,
                entries=entries,
                replaced=replaced,
                covered=[metric for metric in staging.metrics if metric not in without],
            )

        return await self._threads.with_database(store)

    def _hashes_of(self) -> "_Hashes":
        return _Hashes(self._threads, self._agreement.partner)

    def _words(self, metric: str) -> str:
        what = metric or "all metrics"
        return (
            f"{self._agreement.city} contradicts itself, and nothing more of {what} is taken: `sistercity partner show"
            f" {self._agreement.city}` shows what it has signed, and `partner settle` goes on"
        )


@dataclass(frozen=True, slots=True)
class _Trust:
    """What the next head is compared with: the newest head that was verified, and the stored ends.

    `proofs`: the metrics that an operator has settled since that head, each with the head that covers what is stored of
    it. `doubted`: those of which no head covers it that counts still.
    """

    head: SignedHead | None
    ends: Mapping[str, ChainEnd]
    proofs: Mapping[str, str]
    doubted: AbstractSet[str]

    def covering(self, metric: str) -> str:
        """The head that covers what is stored of a metric that is not doubted."""
        return self.proofs[metric] if self.head is None else self.proofs.get(metric, self.head.document)


class _Hashes:
    """Gives stored hashes; called in a thread."""

    def __init__(self, threads: Threads, thumbprint: str) -> None:
        self._threads = threads
        self._thumbprint = thumbprint

    def __call__(self, metric: str, sequences: Sequence[int]) -> Mapping[int, str]:
        return self._threads.connected(lambda c: entry_hashes(c, self._thumbprint, metric, sequences))


def _trust(connection: Connection, identity: Identity, metrics: Sequence[str]) -> _Trust:
    head = _anchor(connection, identity)
    known = {metric: ChainEnd(*end) for metric, end in ends(connection, identity.thumbprint).items()}
    doubted = uncovered(connection, identity.thumbprint)
    settled = settlements(connection, identity.thumbprint)
    proofs = _proofs([metric for metric in metrics if metric not in doubted], settled, head)
    return _Trust(head, known, proofs, doubted if head else known.keys() - proofs.keys())


def _anchor(connection: Connection, identity: Identity) -> SignedHead | None:
    """The newest head that covers what is stored, by a key that is not revoked; None if there is none.

    Heads by revoked keys prove nothing any more, and are removed: whoever has such a key may have signed them. What
    is stored is then compared with the next head, from the beginning, each metric as soon as its entries are read.
    """
    with connection.transaction():
        while (known := newest_head(connection, identity.thumbprint, identity.thumbprint)) is not None:
            if not identity.is_revoked(signer(known.document, "sistercity-head")):
                return open_head(known.document, identity, None)
            drop_head(connection, known)
            distrust(connection, identity.thumbprint)
    return None


def _proofs(
    metrics: Sequence[str], settled: Mapping[str, RecordedContradiction], trusted: SignedHead | None
) -> Mapping[str, str]:
    """Metric -> the head that proves what is stored, of those that were settled after the trusted head had come."""
    proofs = {}
    for metric in metrics:
        for recorded in (settled.get(metric), settled.get(WHOLE_CITY)):
            decided = None if recorded is None else recorded.settlement
            since = decided is not None and (trusted is None or trusted.number <= decided.number)
            if recorded is not None and decided is not None and since:
                proofs[metric] = recorded.found.first if decided.choice == "kept" else recorded.found.second
                break
    return proofs


def _on_grid(
    staging: Staging, without: frozenset[str], grids: Mapping[str, tuple[str, str]]
) -> Iterator[ReceivedEntry]:
    for each in staging.entries(without):
        check_grid(each, *grids[each.catalogue])
        yield each
