"""Entries that came and are not verified yet: their lines wait on disk until a signed head covers all of them.

A head names the ends of chains, so nothing of a chain is proven before its end has come. Memory holds the ends, not the
entries. A chain that is wrong is refused for itself: the head proves the others all the same.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Literal, Self

from federation.partners.checks import entry, metric_of
from federation.partners.limits import MIB, PartnerError
from federation.publications.chain import BrokenChain, ChainEnd, follow
from federation.publications.entries import PublicationEntry, digest
from federation.publications.heads import SignedHead
from store.partner_entries import ReceivedEntry
from store.publications import Window

HashesOf = Callable[[str, Sequence[int]], Mapping[int, str]]
"""Gives the stored hashes of a metric's entries with these sequences."""

SignedOf = Callable[[str, int], tuple[str, str] | None]
"""Gives the hash of a metric's entry of this sequence that a kept head names, and that head; None if none does."""

Missing = Literal["nothing", "entries", "head"]
"""What has to be fetched before the head and the entries fit together."""

_EVIDENCE = 4 * MIB


@dataclass(slots=True)
class _Chain:
    """A metric's chain. `end` is None before its first entry. `fork` is the first sequence at which the city's entries
    are not those that are stored; `other` the first one that is not the entry which a head names that is kept, with
    that head. `lines` are the entries from there on. `page` is the first one with an entry that is not stored.

    If it is `doubted`, no head covers what is stored: of that counts what the city tells again from its first entry on,
    without a gap, and `end` is the end of what was told.
    """

    stored: ChainEnd | None
    end: ChainEnd | None
    doubted: bool = False
    fork: int | None = None
    other: tuple[int, str] | None = None
    page: int | None = None
    lines: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a city tells another story: the first sequence, and its entries from there (JSON Lines).

    `proof` is the head that names another entry of this sequence; None: that which covers what is stored.
    """

    sequence: int
    lines: bytes
    proof: str | None


class Staging:
    """The entries of one pull, to be closed. `stored`: each agreed metric with the end of what is stored of it.

    `doubted`: those of which no head covers it; their entries must come from the first on. `most` is the number of
    bytes that may wait. `refused`: the metrics of which nothing is taken, and why.
    """

    def __init__(
        self,
        city: str,
        stored: Mapping[str, ChainEnd | None],
        doubted: AbstractSet[str],
        hashes_of: HashesOf,
        signed_of: SignedOf,
        most: int,
    ) -> None:
        self.refused: dict[str, PartnerError] = {}
        self._catalogues: dict[str, str] = {}
        self._city = city
        self._chains = {
            metric: _Chain(end, None if metric in doubted else end, metric in doubted) for metric, end in stored.items()
        }
        self._hashes_of = hashes_of
        self._signed_of = signed_of
        self._left = most
        self._file = SpooledTemporaryFile(max_size=MIB)  # noqa: SIM115
        self._pages = 0
        self._again_from: int | None = None
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, lines: Sequence[bytes], agreed: Sequence[str], now_ms: int) -> None:
        """Take a page. Entries of agreed metrics that are not staged here are left out.

        What is wrong with an entry refuses its metric. Raises `PartnerError` for what can't be told to be of one.
        """
        found = [(each, line) for line in lines if (each := self._parsed(line, agreed, now_ms)) is not None]
        again: dict[str, list[int]] = {}
        for each, _ in found:
            chain = self._chains.get(each.header.metric)
            if chain is not None and chain.stored is not None and each.header.sequence <= chain.stored.sequence:
                again.setdefault(each.header.metric, []).append(each.header.sequence)
        stored = {metric: self._hashes_of(metric, sequences) for metric, sequences in again.items()}
        for each, line in found:
            metric = each.header.metric
            chain = self._chains.get(metric)
            if chain is None:
                continue
            try:
                new = self._take(chain, each, line, stored.get(metric, {}))
            except PartnerError as error:
                self.refuse(metric, error, self._pages)
                continue
            if new:
                self._write(chain, each, line)
        self._pages += 1

    def refuse(self, metric: str, error: PartnerError, page: int = 0) -> None:
        """Take nothing more of a metric. Raises the error if it was the last one: then the city gives nothing.

        `page`: that with which to read on the next time, unless an earlier one has entries of it.
        """
        chain = self._chains.pop(metric)
        self.refused[metric] = error
        page = page if chain.page is None else chain.page
        self._again_from = page if self._again_from is None else min(page, self._again_from)
        if not self._chains:
            raise error

    def leave_out(self, metrics: AbstractSet[str]) -> None:
        """Stage nothing more of these metrics; an empty one means all of them."""
        self._chains = {
            metric: chain for metric, chain in self._chains.items() if metric not in metrics and "" not in metrics
        }

    def missing(self, head: SignedHead) -> Missing:
        """What must be fetched again because the city has published meanwhile. A metric is refused ("other-history") if
        head and entries are of one moment and differ."""
        missing: Missing = "nothing"
        for metric, chain in list(self._chains.items()):
            named = head.ends.get(metric)
            have = 0 if chain.end is None else chain.end.sequence
            if have > (0 if named is None else named.sequence):
                return "head"
            if named is not None and named.sequence > have:
                missing = "entries"
            elif named is not None and named != chain.end:
                words = f"entry {have} of {metric} is not the one that head {head.number} names"
                self.refuse(metric, PartnerError("other-history", words))
        return missing

    def refuse_withheld(self, head: SignedHead) -> None:
        """Refuse what does not go with the head, although it was read again."""
        for metric, chain in list(self._chains.items()):
            named = head.ends.get(metric)
            if (None if named is None else named.sequence) != (None if chain.end is None else chain.end.sequence):
                words = f"head {head.number} of {self._city} does not go with its entries of {metric}"
                self.refuse(metric, PartnerError("withheld", words))

    @property
    def metrics(self) -> AbstractSet[str]:
        """The metrics that are staged."""
        return self._chains.keys()

    @property
    def catalogues(self) -> Mapping[str, str]:
        """Hash -> metric, of the catalogues that staged entries name."""
        return {hash_: metric for hash_, metric in self._catalogues.items() if metric in self._chains}

    def next_page(self, cursors: Sequence[str | None], end: str | None) -> str | None:
        """With which cursor to read on the next time. `cursors`: that of each page; `end`: that after the last one.

        What was refused is read again: it may have been mended.
        """
        return end if self._again_from is None else cursors[self._again_from]

    def forks(self) -> Mapping[str, Fork]:
        """Where the city tells another story than before, by metric."""
        found = {}
        for metric, chain in self._chains.items():
            lines = b"".join(line + b"\n" for line in chain.lines)
            if chain.fork is not None and not chain.doubted:
                found[metric] = Fork(chain.fork, lines, None)
            elif chain.other is not None:
                sequence, proof = chain.other
                found[metric] = Fork(sequence, lines, proof)
        return found

    def unproven(self) -> Mapping[str, int]:
        """Metric -> the sequence from which on nothing proves what is stored, now that all entries have come."""
        return {
            metric: _next(chain) if chain.fork is None else chain.fork
            for metric, chain in self._chains.items()
            if chain.doubted and chain.stored and (chain.fork is not None or _next(chain) <= chain.stored.sequence)
        }

    def entries(self) -> Iterator[ReceivedEntry]:
        """The entries of what is staged still, in the order in which they came."""
        self._file.seek(0)
        while head := self._file.readline():
            line = self._file.readline()[:-1]
            metric, sequence, hash_, kind, start, end, *last = json.loads(head)
            if metric in self._chains:
                yield ReceivedEntry(metric, sequence, hash_, line, kind, Window(start, end), *last)

    def _parsed(self, line: bytes, agreed: Sequence[str], now_ms: int) -> PublicationEntry | None:
        """The entry, None if its metric is refused. Raises `PartnerError` where no metric can be told."""
        try:
            return entry(line, agreed, now_ms)
        except PartnerError as error:
            metric = metric_of(line)
            if metric not in agreed:
                raise
            if metric in self._chains:
                self.refuse(metric, error, self._pages)
            return None

    def _take(self, chain: _Chain, found: PublicationEntry, line: bytes, stored: Mapping[int, str]) -> bool:
        """Follow the chain; whether the entry is one that is not stored."""
        header = found.header
        if chain.doubted:
            if self._told_again(chain, found, line, stored):
                return False
        elif chain.fork is None and chain.stored is not None and header.sequence <= chain.stored.sequence:
            if stored.get(header.sequence) == digest(line):
                return False
            chain.fork, chain.end = header.sequence, None
        try:
            chain.end = self._following(chain, found, line)
        except BrokenChain as error:
            if error.reason != "other-history" or chain.end is None or chain.end != chain.stored or chain.doubted:
                raise PartnerError(error.reason, str(error)) from None
            chain.fork = header.sequence
            chain.end = ChainEnd(header.sequence, digest(line))
        if chain.fork is None or chain.doubted:
            signed = self._signed_of(header.metric, header.sequence)
            if chain.other is None and signed is not None and signed[0] != chain.end.hash:
                chain.other = header.sequence, signed[1]
        return True

    def _write(self, chain: _Chain, found: PublicationEntry, line: bytes) -> None:
        """Let an entry wait on disk: as what it says, for who stores it, and as its line."""
        parts = chain.other is not None or (chain.fork is not None and not chain.doubted)
        if parts and sum(map(len, chain.lines)) < _EVIDENCE:
            chain.lines.append(line)
        self._left -= len(line)
        if self._left < 0:
            raise PartnerError("too-large", f"{self._city} sends more entries in one pull than are taken")
        said, window = found.header, found.header.window
        head = (said.metric, said.sequence, digest(line), said.kind, window.start, window.end, said.revision)
        self._file.write(json.dumps((*head, said.published_at, found.body, found.catalogue, said.reason)).encode())
        self._file.write(b"\n" + line + b"\n")
        self._catalogues.setdefault(found.catalogue, said.metric)
        chain.page = self._pages if chain.page is None else chain.page
        self.count += 1

    def _told_again(self, chain: _Chain, found: PublicationEntry, line: bytes, stored: Mapping[int, str]) -> bool:
        """Whether the entry is the stored one that follows what was told so far; the chain goes on to it then."""
        following = _next(chain)
        if chain.fork is not None or chain.stored is None or following > chain.stored.sequence:
            return False
        sequence = found.header.sequence
        first = chain.end is None and found.header.kind != "skip"
        if (first or sequence == following) and stored.get(sequence) == digest(line):
            try:
                chain.end = follow(chain.end, found, line, city=self._city)
            except BrokenChain as error:
                raise PartnerError(error.reason, str(error)) from None
            return True
        chain.fork = following
        return False

    def _following(self, chain: _Chain, found: PublicationEntry, line: bytes) -> ChainEnd:
        # Where a chain parts from what is stored, it has no end yet.
        if chain.end is None and chain.fork is not None and not chain.doubted:
            if found.city != self._city:
                raise PartnerError("other-city", f"an entry is of {ascii(found.city)[:100]}, not of {self._city}")
            return ChainEnd(found.header.sequence, digest(line))
        return follow(chain.end, found, line, city=self._city)


def _next(chain: _Chain) -> int:
    return 1 if chain.end is None else chain.end.sequence + 1
