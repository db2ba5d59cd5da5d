"""What a city says now, compared with every head of it that is kept: its own before, and those that partners showed."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from federation.identity.document import Identity
from federation.partners.database import Threads
from federation.partners.stories import WHOLE_CITY, contradictions_of
from federation.publications.heads import BadHead, SignedHead, open_head
from store.partner_heads import Contradiction, heads_of
from store.settlements import settlements


class KeptHeads:
    """The kept heads of a city, by keys that still count, and without what an operator has settled since; read when
    they are needed. Called in a thread."""

    def __init__(self, threads: Threads, identity: Identity) -> None:
        self._threads = threads
        self._identity = identity

    def contradicted(self, head: SignedHead, metrics: Sequence[str]) -> list[Contradiction]:
        """What a head that the city gives contradicts of these; of each metric once, and only of those given."""
        city = self._identity.thumbprint
        found: dict[str, Contradiction] = {}
        for kept in self._kept:
            for each in contradictions_of(kept, head, thumbprint=city, seen_by=city):
                if each.metric in (*metrics, WHOLE_CITY) and not self._settled(kept, each.metric):
                    found.setdefault(each.metric, each)
        return [found[WHOLE_CITY]] if WHOLE_CITY in found else list(found.values())

    def named(self, metric: str, sequence: int) -> tuple[str, str] | None:
        """The hash that a kept head names for this entry, and that head; None if none names it."""
        return self._named.get((metric, sequence))

    def _settled(self, head: SignedHead, metric: str) -> bool:
        numbers = self._decided
        return head.number <= max(numbers.get(metric, -1), numbers.get(WHOLE_CITY, -1))

    @cached_property
    def _decided(self) -> Mapping[str, int]:
        """Metric -> the number of the newest head that was known when an operator settled it."""
        found = self._threads.connected(lambda connection: settlements(connection, self._identity.thumbprint))
        return {metric: each.settlement.number for metric, each in found.items() if each.settlement is not None}

    @cached_property
    def _kept(self) -> Sequence[SignedHead]:
        found = []
        for each in self._threads.connected(lambda connection: heads_of(connection, self._identity.thumbprint)):
            try:
                found.append(open_head(each.document, self._identity, None))
            except BadHead:
                continue  # by a key that has been revoked since
        return found

    @cached_property
    def _named(self) -> Mapping[tuple[str, int], tuple[str, str]]:
        return {
            (metric, end.sequence): (end.hash, head.document)
            for head in self._kept
            for metric, end in head.ends.items()
            if end.hash is not None and not self._settled(head, metric)
        }
