"""What a partner's figures mean: the facts of its city, and the catalogues that its entries name, read when needed."""

from collections import OrderedDict

from federation.partners.checks import Definition, definition, facts
from federation.partners.database import Threads
from federation.partners.limits import MIB, FetchLimits, PartnerError
from federation.partners.source import Source
from store.agreements import InstalledAgreement
from store.partner_facts import catalogue_content, facts_of, keep_catalogue, save_facts

_KEPT_BYTES = MIB


class Definitions:
    """The facts and catalogues of one city. Those that were used last stay in memory, `_KEPT_BYTES` of them between two
    pulls; all are in the database."""

    def __init__(self, agreement: InstalledAgreement, source: Source, threads: Threads, limits: FetchLimits) -> None:
        self._agreement = agreement
        self._source = source
        self._threads = threads
        self._limits = limits
        self._zone: str | None = None
        self._known: OrderedDict[str, Definition] = OrderedDict()
        self._left = limits.catalogues

    async def grid(self, hash_: str, metric: str) -> tuple[str, str]:
        """The length of the metric's windows and the time zone that they follow, as the catalogue with this hash says.

        A catalogue without a zone is older than that field: the zone is that of the city's facts, which nobody has
        signed. Raises `PartnerError`.
        """
        defined = (await self.of(hash_, metric)).metric
        zone = defined.zone or self._zone
        if zone is None:
            raise PartnerError("no-facts", f"nothing is known of the city {self._agreement.city}")
        return defined.window, zone

    async def read_facts(self) -> None:
        """Read the city's facts, if they have changed. Raises `PartnerError`."""
        thumbprint, city = self._agreement.partner, self._agreement.city
        self._left = self._limits.catalogues
        content = await self._source.facts()
        if content is None:
            if self._zone is None:
                stored = await self._threads.with_database(lambda connection: facts_of(connection, thumbprint))
                self._zone = None if stored is None else str(stored["zone"])
            return
        found = await self._threads.run(lambda: facts(content, city))
        await self._threads.with_database(
            lambda connection: save_facts(connection, thumbprint, found.model_dump(mode="json", by_alias=True))
        )
        self._zone = found.zone

    async def of(self, hash_: str, metric: str) -> Definition:
        """The catalogue of `metric` with this hash, fetched and stored if it is not known. Raises `PartnerError`."""
        known = self._known.get(hash_)
        if known is None or known.metric.name != metric:
            known = await self._read(hash_, metric)
            self._known[hash_] = known
        self._known.move_to_end(hash_)
        self.shrink(least=1)
        return known

    def shrink(self, least: int = 0) -> None:
        """Let go of catalogues, the oldest first, until `least` of them are left, or all of them are small."""
        while len(self._known) > least and sum(known.size for known in self._known.values()) > _KEPT_BYTES:
            self._known.popitem(last=False)

    async def _read(self, hash_: str, metric: str) -> Definition:
        content = await self._threads.with_database(lambda connection: catalogue_content(connection, hash_))
        if content is not None:
            return await self._threads.run(lambda: definition(content, hash_, metric))
        self._left -= 1
        if self._left < 0:
            raise PartnerError("too-many", f"{self._agreement.city} names more catalogues than are taken in one pull")
        received = await self._source.catalogue(hash_)
        found = await self._threads.run(lambda: definition(received, hash_, metric))
        await self._threads.with_database(lambda connection: keep_catalogue(connection, hash_, metric, received))
        return found
