"""Entries that came and are not verified yet: their lines wait on disk until a signed head covers all of them.

A head names the ends of chains, so nothing of a chain is proven before its end has come. Memory holds the ends, not the
entries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Literal, Self

from federation.partners.checks import entry, received_entry
from federation.partners.limits import MIB, PartnerError
from federation.publications.chain import BrokenChain, ChainEnd, follow
from federation.publications.entries import PublicationEntry, digest, entry_of
from federation.publications.heads import SignedHead
from store.received import ReceivedEntry

HashesOf = Callable[[str, Sequence[int]], Mapping[int, str]]
"""Gives the stored hashes of a metric's entries with these sequences."""

Missing = Literal["nothing", "entries", "head"]
"""What has to be fetched before the head and the entries fit together."""

_EVIDENCE = 4 * MIB


@dataclass(slots=True)
class _Chain:
    """A metric's chain. `end` is None before its first entry. `fork` is the first sequence at which the city's entries
    are not those that are stored, `lines` the entries from there on.

    If it is `doubted`, no head covers what is stored: of that counts what the city tells again from its first entry on,
    without a gap, and `end` is the end of what was told.
    """

    stored: ChainEnd | None
    end: ChainEnd | None
    doubted: bool = False
    fork: int | None = None
    lines: list[bytes] = field(default_factory=list)


class Staging:
    """The entries of one pull, to be closed. `stored`: each agreed metric with the end of what is stored of it.

    `doubted`: those of which no head covers it; their entries must come from the first on. `most` is the number of
    bytes that may wait.
    """

    def __init__(
        self,
        city: str,
        stored: Mapping[str, ChainEnd | None],
        doubted: AbstractSet[str],
        hashes_of: HashesOf,
        most: int,
    ) -> None:
        self.catalogues: dict[str, str] = {}
        self._city = city
        self._chains = {
            metric: _Chain(end, None if metric in doubted else end, metric in doubted) for metric, end in stored.items()
        }
        self._hashes_of = hashes_of
        self._left = most
        self._file = SpooledTemporaryFile(max_size=MIB)  # noqa: SIM115
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, lines: Sequence[bytes], agreed: Sequence[str], now_ms: int) -> None:
        """Take a page. Entries of agreed metrics that are not staged here are left out. Raises `PartnerError`."""
        found = [(entry(line, agreed, now_ms), line) for line in lines]
        again: dict[str, list[int]] = {}
        for each, _ in found:
            chain = self._chains.get(each.header.metric)
            if chain is not None and chain.stored is not None and each.header.sequence <= chain.stored.sequence:
                again.setdefault(each.header.metric, []).append(each.header.sequence)
        stored = {metric: self._hashes_of(metric, sequences) for metric, sequences in again.items()}
        for each, line in found:
            chain = self._chains.get(each.header.metric)
            if chain is not None:
                self._take(chain, each, line, stored.get(each.header.metric, {}))

    def leave_out(self, metrics: AbstractSet[str]) -> None:
        """Stage nothing more of these metrics; an empty one means all of them."""
        self._chains = {
            metric: chain for metric, chain in self._chains.items() if metric not in metrics and "" not in metrics
        }

    def missing(self, head: SignedHead) -> Missing:
        """What must be fetched again because the city has published meanwhile. Raises `PartnerError` ("other-history")
        if head and entries are of one moment and differ."""
        missing: Missing = "nothing"
        for metric, chain in self._chains.items():
            named = head.ends.get(metric)
            have = 0 if chain.end is None else chain.end.sequence
            if have > (0 if named is None else named.sequence):
                return "head"
            if named is not None and named.sequence > have:
                missing = "entries"
            elif named is not None and named != chain.end:
                words = f"entry {have} of {metric} is not the one that head {head.number} names"
                raise PartnerError("other-history", words)
        return missing

    @property
    def metrics(self) -> AbstractSet[str]:
        """The metrics that are staged."""
        return self._chains.keys()

    def forks(self) -> Mapping[str, tuple[int, bytes]]:
        """Metric -> the first sequence at which the city tells another story, and its entries from there."""
        return {
            metric: (chain.fork, b"".join(line + b"\n" for line in chain.lines))
            for metric, chain in self._chains.items()
            if chain.fork is not None and not chain.doubted
        }

    def unproven(self) -> Mapping[str, int]:
        """Metric -> the sequence from which on nothing proves what is stored, now that all entries have come."""
        return {
            metric: _next(chain) if chain.fork is None else chain.fork
            for metric, chain in self._chains.items()
            if chain.doubted and chain.stored and (chain.fork is not None or _next(chain) <= chain.stored.sequence)
        }

    def entries(self, without: frozenset[str]) -> Iterator[ReceivedEntry]:
        """The staged entries but those of some metrics, in the order in which they came."""
        self._file.seek(0)
        for line in self._file:
            found = entry_of(line[:-1])
            if found.header.metric not in without:
                yield received_entry(found, line[:-1])

    def _take(self, chain: _Chain, found: PublicationEntry, line: bytes, stored: Mapping[int, str]) -> None:
        header = found.header
        if chain.doubted:
            if self._told_again(chain, found, line, stored):
                return
        elif chain.fork is None and chain.stored is not None and header.sequence <= chain.stored.sequence:
            if stored.get(header.sequence) == digest(line):
                return
            chain.fork, chain.end = header.sequence, None
        try:
            chain.end = self._following(chain, found, line)
        except BrokenChain as error:
            if error.reason != "other-history" or chain.end is None or chain.end != chain.stored or chain.doubted:
                raise PartnerError(error.reason, str(error)) from None
            chain.fork = header.sequence
            chain.end = ChainEnd(header.sequence, digest(line))
        if chain.fork is not None and not chain.doubted and sum(map(len, chain.lines)) < _EVIDENCE:
            chain.lines.append(line)
        self._left -= len(line)
        if self._left < 0:
            raise PartnerError("too-large", f"{self._city} sends more entries in one pull than are taken")
        self._file.write(line + b"\n")
        self.catalogues.setdefault(found.catalogue, header.metric)
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
