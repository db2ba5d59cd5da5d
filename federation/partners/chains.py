"""Entries and the head that covers them: read until both are of one moment, verified, stored together."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from store.received import EntryCursor, ReceivedEntry, ends, entry_cursor, entry_hashes, store_entries
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
        trusted = await self._threads.with_database(lambda connection: _anchor(connection, identity))
        before = await self._threads.with_database(lambda connection: entry_cursor(connection, self._agreement.id))
        told = await self._threads.with_database(lambda connection: contradicted(connection, thumbprint))
        if WHOLE_CITY in told:
            return 0, dict.fromkeys(self._metrics, self._words(WHOLE_CITY))
        stored = await self._threads.with_database(lambda connection: ends(connection, thumbprint))
        known = {metric: ChainEnd(*end) for metric, end in stored.items()}
        settled = await self._threads.with_database(lambda connection: settlements(connection, thumbprint))
        trust = _Trust(trusted, known, _proofs(self._metrics, settled, trusted))
        wanted = [metric for metric in self._metrics if metric not in told]
        again = not trusted or not set(self._metrics) <= set(before.metrics)
        with Staging(self._agreement.city, known, wanted, self._hashes_of(), self._limits.entry_bytes) as staging:
            cursor = None if again or not self._source.resumes else before.cursor
            if again:
                self._source.forget()
            head, cursor, found = await self._read_all(staging, identity, cursor, now_ms, trust)
            if trusted is not None:
                forks = forked(trusted.document, head, staging.forks(), **self._whose)
                found += await self._record(
                    [replace(each, first=trust.proofs.get(each.metric, each.first)) for each in forks]
                )
            count = await self._store(head, staging, before, cursor, {each.metric for each in found}, trusted)
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
        if trust.head is None:
            return []
        found = [each for each in contradictions_of(trust.head, head, **self._whose) if each.metric not in trust.proofs]
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
        trusted: SignedHead | None,
    ) -> int:
        if WHOLE_CITY in without:
            return 0
        after = EntryCursor(cursor if self._source.resumes else before.cursor, self._metrics)
        grids = {hash_: await self._definitions.grid(hash_, metric) for hash_, metric in staging.catalogues.items()}
        replaced = {} if trusted else {metric: sequence for metric, (sequence, _) in staging.forks().items()}
        if not staging.count and after == before and trusted is not None and trusted.number == head.number:
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
    """What the next head is compared with: the newest head that was verified, and the stored ends of the metrics of
    `proofs`. Those an operator has settled since that head; each has the head that covers what is stored of it."""

    head: SignedHead | None
    ends: Mapping[str, ChainEnd]
    proofs: Mapping[str, str]


class _Hashes:
    """Gives stored hashes; called in a thread."""

    def __init__(self, threads: Threads, thumbprint: str) -> None:
        self._threads = threads
        self._thumbprint = thumbprint

    def __call__(self, metric: str, sequences: Sequence[int]) -> Mapping[int, str]:
        return self._threads.connected(lambda c: entry_hashes(c, self._thumbprint, metric, sequences))


def _anchor(connection: Connection, identity: Identity) -> SignedHead | None:
    """The newest head that covers what is stored, by a key that is not revoked; None if there is none.

    Heads by revoked keys prove nothing any more, and are removed: whoever has such a key may have signed them. What
    is stored is then compared with the next head, from the beginning.
    """
    while (known := newest_head(connection, identity.thumbprint, identity.thumbprint)) is not None:
        if not identity.is_revoked(signer(known.document, "sistercity-head")):
            return open_head(known.document, identity, None)
        drop_head(connection, known)
    return None


def _proofs(
    metrics: Sequence[str], settled: Mapping[str, RecordedContradiction], trusted: SignedHead | None
) -> Mapping[str, str]:
    """Metric -> the head that proves what is stored, of those that were settled after the trusted head had come."""
    proofs = {}
    for metric in metrics:
        for recorded in (settled.get(metric), settled.get(WHOLE_CITY)):
            decided = None if recorded is None else recorded.settlement
            if recorded is not None and decided is not None and trusted and trusted.number <= decided.number:
                proofs[metric] = recorded.found.first if decided.choice == "kept" else recorded.found.second
                break
    return proofs


def _on_grid(
    staging: Staging, without: frozenset[str], grids: Mapping[str, tuple[str, str]]
) -> Iterator[ReceivedEntry]:
    for each in staging.entries(without):
        check_grid(each, *grids[each.catalogue])
        yield each
