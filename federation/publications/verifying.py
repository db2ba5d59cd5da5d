"""Verifying everything that is stored of a city: chains, heads, bodies, catalogues. Pure.

What verifies was said by the city, in this order, and nothing of it was changed or left out since. Whether it is true
can't be verified (P7).
"""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from federation.identity.document import Identity
from federation.publications.chain import BrokenChain, ChainEnd, check_body, follow
from federation.publications.entries import BadEntry, PublicationEntry, entry_of
from federation.publications.heads import BadHead, SignedHead, contradiction, open_head
from store.verification import StoredEntry


@dataclass(slots=True)
class VerifiedEntries:
    """A metric's chain that verifies. `signed` is the sequence up to which the newest head covers it; 0: no head does.

    `erased` counts bodies that withdrawals took back, `absent` those that are not here for another reason, and
    `uncatalogued` entries whose catalogue is not here.
    """

    metric: str
    entries: int = 0
    bodies: int = 0
    erased: int = 0
    absent: int = 0
    uncatalogued: int = 0
    last: int = 0
    signed: int = 0


def verified_heads(
    documents: Iterable[str], identity: Identity, settled: Mapping[str, int] | None = None
) -> tuple[list[SignedHead], int]:
    """Heads in the order of their numbers, and how many were left out since their keys count no more.

    `settled`: metric -> the number up to which heads prove nothing of it, since they contradict each other and an
    operator has decided; an empty metric is all of them. Raises `BadHead` if one is not the city's, and `BrokenChain`
    ("contradiction") if two can't both be true.
    """
    found, left_out = [], 0
    for document in documents:
        try:
            found.append(open_head(document, identity, None))
        except BadHead as error:
            if error.reason != "unknown-key":
                raise
            left_out += 1
    found = [_without(head, settled or {}) for head in found if head.number > (settled or {}).get("", -1)]
    found.sort(key=lambda head: head.number)
    for one, other in pairwise(found):
        if (words := contradiction(one, other)) is not None:
            raise BrokenChain("contradiction", words)
    return found, left_out


def verify_chains(
    city: str, heads: Sequence[SignedHead], rows: Iterable[StoredEntry], catalogues: Container[str], *, whole: bool
) -> list[VerifiedEntries]:
    """Verify the chains of a city against its heads, which have been verified and are in the order of their numbers.

    `whole`: everything that the heads cover must be here, and every body that was neither withdrawn nor lost (our own
    city). Raises `BrokenChain` at the first contradiction.
    """
    verifying = _Verifying(city, heads, catalogues, whole)
    for row in rows:
        verifying.take(row)
    return verifying.done()


def _without(head: SignedHead, settled: Mapping[str, int]) -> SignedHead:
    ends = {metric: end for metric, end in head.ends.items() if head.number > settled.get(metric, -1)}
    return replace(head, ends=ends)


class _Verifying:
    def __init__(self, city: str, heads: Sequence[SignedHead], catalogues: Container[str], whole: bool) -> None:
        self._city = city
        self._heads = heads
        self._catalogues = catalogues
        self._whole = whole
        self._named = {
            (metric, end.sequence): (end.hash, head.number) for head in heads for metric, end in head.ends.items()
        }
        self._ends: dict[str, ChainEnd] = {}
        self._chains: dict[str, VerifiedEntries] = {}
        self._here: set[tuple[str, int]] = set()
        self._absent: dict[tuple[str, int], list[tuple[int, bool]]] = {}

    def take(self, row: StoredEntry) -> None:
        """Verify the next entry of its chain, and its body."""
        try:
            entry = entry_of(row.line)
        except BadEntry as error:
            raise BrokenChain("malformed", f"{self._city} has an entry that can't be read: {error}") from None
        header = entry.header
        end = follow(self._ends.get(header.metric), entry, row.line, city=self._city)
        hash_, number = self._named.get((header.metric, end.sequence), (end.hash, 0))
        if hash_ != end.hash:
            raise BrokenChain(
                "other-history",
                f"entry {end.sequence} of {header.metric} is not the one that head {number} of {self._city} names",
            )
        self._ends[header.metric] = end
        chain = self._chains.setdefault(header.metric, VerifiedEntries(header.metric))
        chain.entries += 1
        chain.last = header.sequence
        chain.uncatalogued += entry.catalogue not in self._catalogues
        self._take_body(chain, entry, row)

    def _take_body(self, chain: VerifiedEntries, entry: PublicationEntry, row: StoredEntry) -> None:
        header, place = entry.header, (entry.header.metric, entry.header.window.start)
        if header.kind == "withdrawal":
            if place in self._here:
                raise BrokenChain(
                    "not-erased", f"{header.metric} {header.sequence} takes back a window whose body is still here"
                )
            chain.erased += len(self._absent.pop(place, ()))
        if row.body is not None:
            # Whether a name is twice was checked when it came.
            check_body(entry.header, entry.body, row.body, load=json.loads)
            chain.bodies += 1
            if header.kind in ("publication", "correction"):
                self._here.add(place)
        elif header.kind in ("publication", "correction"):
            self._absent.setdefault(place, []).append((header.sequence, row.lost))
        else:
            chain.absent += 1

    def done(self) -> list[VerifiedEntries]:
        """What was verified, by metric."""
        newest = self._heads[-1].ends if self._heads else {}
        for metric, end in newest.items():
            chain = self._chains.get(metric)
            if self._whole and (chain is None or chain.last < end.sequence):
                raise BrokenChain(
                    "truncated",
                    f"head {self._heads[-1].number} of {self._city} names entry {end.sequence} of {metric}, and the"
                    f" chain ends with {0 if chain is None else chain.last}",
                )
            if chain is not None:
                chain.signed = min(chain.last, end.sequence)
        for (metric, _), absent in self._absent.items():
            for sequence, lost in absent:
                if self._whole and not lost:
                    raise BrokenChain("no-body", f"the body of {metric} {sequence} is missing, and was not withdrawn")
            self._chains[metric].absent += len(absent)
        return [self._chains[metric] for metric in sorted(self._chains)]
