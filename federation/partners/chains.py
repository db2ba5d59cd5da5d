"""Entries and the head that covers them: read until both are of one moment, verified, stored together."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import Counter

from federation.identity.document import Identity
from federation.jose import signer
from federation.partners.checks import check_grid, lines_of
from federation.partners.database import Threads
from federation.partners.definitions import Definitions
from federation.partners.limits import FetchLimits, PartnerError
from federation.partners.seen import KeptHeads
from federation.partners.source import LogGone, NoHead, Source
from federation.partners.staging import Staging
from federation.partners.stories import WHOLE_CITY, against_stored, contradictions_of, forked, received_head
from federation.publications.chain import ChainEnd
from federation.publications.heads import SignedHead, open_head
from store.agreements import InstalledAgreement
from store.database import Connection
from store.partner_coverage import covering_heads, distrust, ends, uncovered
from store.partner_cursors import EntryCursor, entry_cursor
from store.partner_entries import ReceivedEntry, entry_hashes, store_entries
from store.partner_heads import Contradiction, contradicted, drop_head, newest_head, record_contradiction
from store.settlements import RecordedContradiction, settlements

log = logging.getLogger(__name__)

CONTRADICTIONS = Counter("sistercity_contradictions", "Contradictions found in what partners have signed.", ["city"])

_ROUNDS = 6
"""How often head or entries are fetched again in one pull because the city has published meanwhile."""


class NothingYet(Exception):
    """The city has signed no head so far; the words say so. That is no failure: it is new."""


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

    async def read(self, identity: Identity, now_ms: int) -> tuple[int, dict[str, PartnerError]]:
        """Store what is new. Returns how many entries, and metric -> why nothing of it is taken.

        Raises `NothingYet` of a city that has signed nothing so far, `PartnerError` where all that it gives is refused,
        `BadHead` and `store.partner_cursors.Conflict`.
        """
        thumbprint = self._agreement.partner
        trust = await self._threads.with_database(lambda connection: _trust(connection, identity, self._metrics))
        before = await self._threads.with_database(lambda connection: entry_cursor(connection, self._agreement.id))
        told = await self._threads.with_database(lambda connection: contradicted(connection, thumbprint))
        if WHOLE_CITY in told:
            return 0, self._stopped(told)
        wanted = {metric: trust.ends.get(metric) for metric in self._metrics if metric not in told}
        doubted = trust.doubted & wanted.keys()
        again = not trust.head or bool(doubted) or not set(self._metrics) <= set(before.metrics)
        seen = KeptHeads(self._threads, identity)
        kept = (self._hashes_of(), seen.named)
        with Staging(self._agreement.city, wanted, doubted, *kept, self._limits.entry_bytes) as staging:
            cursor = None if again or not self._source.resumes else before.cursor
            if again:
                self._source.forget()
            reading = _Reading(staging, identity, now_ms, trust, seen, cursor)
            head, found = await self._read_all(reading)
            more = await self._record(forked(trust.covering, head, staging.forks(), **self._whose))
            staging.leave_out({each.metric for each in more})
            told |= {each.metric for each in (*found, *more)}
            count = 0 if WHOLE_CITY in told else await self._store(head, reading, before)
            if staging.refused:
                self._source.forget()  # what was not used must come again
            return count, staging.refused | self._stopped(told)

    async def _read_all(self, reading: "_Reading") -> tuple[SignedHead, list[Contradiction]]:
        """Entries to their end, a head of the same moment, and what it contradicts of the heads before.

        Page and head may race: whichever is older is fetched again, and that they differ for a moment is no
        contradiction. What is contradicted is staged no more.
        """
        await self._read_entries(reading)
        head, found = await self._read_head(reading)
        for _ in range(_ROUNDS):
            missing = reading.staging.missing(head)
            if missing == "nothing":
                return head, found
            if missing == "entries":
                await self._read_entries(reading)
            else:
                head, more = await self._read_head(reading)
                found += more
        if reading.staging.missing(head) != "nothing":
            reading.staging.refuse_withheld(head)
        return head, found

    async def _read_entries(self, reading: "_Reading") -> None:
        begun_again = False
        while True:
            cursor = reading.cursor
            try:
                page = await self._source.entries(cursor)
            except LogGone:
                if begun_again or cursor is None:
                    raise PartnerError("gone", f"{self._agreement.city} answers twice that its log is gone") from None
                log.warning("%s has another log now; reading its entries from the beginning", self._agreement.city)
                reading.cursor, begun_again = None, True
                reading.cursors = [None] * len(reading.cursors)
                continue
            if page is None:
                return
            lines = lines_of(page.content, "entries")
            if lines and page.next == cursor:
                raise PartnerError("no-progress", f"{self._agreement.city} gives entries and the same cursor again")
            if len(lines) > self._limits.lines:
                raise PartnerError("too-many", f"{self._agreement.city} gives more entries than were asked for")
            reading.cursors.append(cursor)
            await self._threads.run(partial(reading.staging.add, lines, self._metrics, reading.now_ms))
            reading.cursor = page.next
            if not lines:
                return

    async def _read_head(self, reading: "_Reading") -> tuple[SignedHead, list[Contradiction]]:
        """The head as the city gives it now, and what it contradicts of those that are kept.

        Raises `NothingYet`, `PartnerError` ("older-head") and `BadHead`.
        """
        known = await self._threads.with_database(
            lambda connection: newest_head(connection, self._agreement.partner, self._agreement.partner)
        )
        try:
            text = await self._source.head()
        except NoHead:
            self._source.forget()  # what came without a head was not used
            if known is not None:
                words = f"{self._agreement.city} has no head any more, after {known.number}: it was restored"
                raise PartnerError("older-head", words) from None
            what = "signed no head yet over what it has published" if reading.staging.count else "published nothing yet"
            raise NothingYet(f"{self._agreement.city} has {what}") from None
        if text is None:
            if known is None:
                raise PartnerError("not-modified", f"{self._agreement.city} answers 304, and we have no head of it")
            text = known.document
        head = open_head(text, reading.identity, reading.now_ms)
        if known is not None and head.number < known.number:
            words = (
                f"{self._agreement.city} gives head {head.number} after {known.number}: it was restored from a backup,"
                " or is not who answers"
            )
            raise PartnerError("older-head", words)
        found = self._contradicted(head, reading.trust)
        if known is None or known.document != head.document:
            more = await self._threads.run(lambda: reading.seen.contradicted(head, self._metrics))
            found += [each for each in more if each.metric not in {told.metric for told in found}]
        await self._record(found)
        reading.staging.leave_out({each.metric for each in found})
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

    async def _store(self, head: SignedHead, reading: "_Reading", before: EntryCursor) -> int:
        grids = await self._grids(reading.staging)
        while True:
            try:
                return await self._threads.with_database(
                    partial(self._stored, head=head, reading=reading, before=before, grids=grids)
                )
            except _OffGrid as error:
                reading.staging.refuse(error.metric, error.error)

    async def _grids(self, staging: Staging) -> Mapping[str, tuple[str, str]]:
        """Hash of a catalogue -> length of the windows, and time zone. A metric whose catalogue is wrong is refused."""
        grids = {}
        for hash_, metric in staging.catalogues.items():
            if metric not in staging.metrics:
                continue  # one catalogue before is wrong
            try:
                grids[hash_] = await self._definitions.grid(hash_, metric)
            except PartnerError as error:
                if error.reason == "unreachable":
                    raise
                staging.refuse(metric, error)
        return grids

    def _stored(
        self,
        connection: Connection,
        head: SignedHead,
        reading: "_Reading",
        before: EntryCursor,
        grids: Mapping[str, tuple[str, str]],
    ) -> int:
        staging, trust = reading.staging, reading.trust
        following = staging.next_page(reading.cursors, reading.cursor) if self._source.resumes else before.cursor
        after = EntryCursor(following, self._metrics)
        replaced = staging.unproven()
        for metric, sequence in replaced.items():
            log.warning("%s: no head that counts covers %s from %d on", self._agreement.city, metric, sequence)
        anew = trust.head is None or trust.head.number != head.number or trust.doubted & staging.metrics
        if not anew and not staging.count and after == before:
            return 0
        return store_entries(
            *(connection, self._agreement.id),
            received_head(head, thumbprint=self._agreement.partner, seen_by=self._agreement.partner),
            before=before,
            following=after,
            entries=_on_grid(staging, grids),
            replaced=replaced,
            covered=list(staging.metrics),
        )

    def _hashes_of(self) -> "_Hashes":
        return _Hashes(self._threads, self._agreement.partner)

    def _stopped(self, told: AbstractSet[str]) -> dict[str, PartnerError]:
        """The agreed metrics among those in which the city has contradicted itself, each with what to do."""
        stopped = self._metrics if WHOLE_CITY in told else told & set(self._metrics)
        whole = WHOLE_CITY in told
        return {
            metric: PartnerError("contradicted", self._words(WHOLE_CITY if whole else metric)) for metric in stopped
        }

    def _words(self, metric: str) -> str:
        what = metric or "all metrics"
        return (
            f"{self._agreement.city} contradicts itself, and nothing more of {what} is taken: `sistercity partner show"
            f" {self._agreement.city}` shows what it has signed, and `partner settle` goes on"
        )


@dataclass(slots=True)
class _Reading:
    """One reading of entries and heads. `cursor` is where it goes on, `cursors` that of each page that was staged."""

    staging: Staging
    identity: Identity
    now_ms: int
    trust: "_Trust"
    seen: KeptHeads
    cursor: str | None
    cursors: list[str | None] = field(default_factory=list)


class _OffGrid(Exception):
    """An entry of this metric is of no window; why."""

    def __init__(self, metric: str, error: PartnerError) -> None:
        super().__init__(str(error))
        self.metric = metric
        self.error = error


@dataclass(frozen=True, slots=True)
class _Trust:
    """What the next head is compared with: the newest head that was verified, and the stored ends.

    `covers`: metric -> the head that names the very end of what is stored: an older one, where a metric is refused and
    others go on. `proofs`: the metrics that an operator has settled since the newest head, each with the head that
    covers what is stored of it. `doubted`: those of which no head covers it that counts still.
    """

    head: SignedHead | None
    ends: Mapping[str, ChainEnd]
    covers: Mapping[str, str]
    proofs: Mapping[str, str]
    doubted: AbstractSet[str]

    def covering(self, metric: str) -> str:
        """The head that covers what is stored of a metric that is not doubted."""
        known = self.covers.get(metric)
        if known is not None:
            return known
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
    covers = covering_heads(connection, identity.thumbprint)
    if gone := [each for each, text in covers.items() if identity.is_revoked(signer(text, "sistercity-head"))]:
        distrust(connection, identity.thumbprint, gone)
    doubted = uncovered(connection, identity.thumbprint)
    settled = settlements(connection, identity.thumbprint)
    proofs = _proofs([metric for metric in metrics if metric not in doubted], settled, head)
    return _Trust(head, known, covers, proofs, doubted if head else known.keys() - proofs.keys())


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


def _on_grid(staging: Staging, grids: Mapping[str, tuple[str, str]]) -> Iterator[ReceivedEntry]:
    for each in staging.entries():
        try:
            check_grid(each, *grids[each.catalogue])
        except PartnerError as error:
            raise _OffGrid(each.metric, error) from None
        yield each
