"""Bodies: each has the hash that an entry names, and is checked by the catalogue that the entry names."""

from collections.abc import Mapping, Sequence

from federation.partners.checks import Definition, lines_of, received_body, sequence_of
from federation.partners.database import Threads
from federation.partners.definitions import Definitions
from federation.partners.limits import FetchLimits, PartnerError
from federation.partners.source import Source, WirePage
from federation.publications.entries import digest
from store.agreements import InstalledAgreement, MetricGrant
from store.database import Connection
from store.partner_bodies import ReceivedBody, store_bodies
from store.partner_coverage import ends
from store.partner_cursors import BodyCursor, body_cursors
from store.partner_entries import ReceivedEntry, entries_between, entries_with_bodies
from store.settlements import skipped_bodies

_DAY_MS = 86_400_000

Matched = Sequence[tuple[ReceivedEntry, bytes]]


class BodyReader:
    """Reads bodies under one agreement."""

    def __init__(
        self,
        agreement: InstalledAgreement,
        source: Source,
        threads: Threads,
        limits: FetchLimits,
        definitions: Definitions,
    ) -> None:
        self._agreement = agreement
        self._source = source
        self._threads = threads
        self._limits = limits
        self._definitions = definitions

    async def read(self, grant: MetricGrant, now_ms: int) -> int:
        """Store the bodies of a metric that are due and may still be kept. Returns how many were new.

        Raises `PartnerError` and `store.partner_cursors.Conflict`; the pages before are stored then.
        """
        before, newest = await self._threads.with_database(lambda connection: self._state(connection, grant.metric))
        if newest is None:
            return 0
        # Under an earlier `since`, windows are given that were not given before.
        after = before.after if before is not None and before.since <= grant.since else 0
        stored = 0
        while after < newest.sequence:
            page = await self._source.bodies(grant.metric, after)
            if page is None:
                break
            following = self._following(page, after, newest.sequence)
            lines = lines_of(page.content, "bodies")
            if len(lines) > self._limits.lines or (lines and following == after):
                raise PartnerError("malformed", f"{self._agreement.city} gives a page of bodies that does not go on")
            cursor = BodyCursor(following, grant.since)
            if cursor != before:
                kept_from = now_ms - grant.retention_days * _DAY_MS
                stored += await self._store(lines, newest, before, cursor, after, kept_from)
                before = cursor
            after = following
            if not lines:
                break
        return stored

    def _state(self, connection: Connection, metric: str) -> tuple[BodyCursor | None, ReceivedEntry | None]:
        """How far the bodies were read, and the newest entry of the metric."""
        before = body_cursors(connection, self._agreement.id).get(metric)
        end = ends(connection, self._agreement.partner).get(metric)
        if end is None:
            return before, None
        found = entries_between(connection, self._agreement.partner, metric, end[0], end[0])
        return before, found.get(end[0])

    def _following(self, page: WirePage, after: int, newest: int) -> int:
        """The cursor after a page; never beyond the entries that are known."""
        if not page.next.isdigit() or len(page.next) > 18 or int(page.next) < after:
            raise PartnerError("malformed", f"{self._agreement.city} gives a cursor of bodies that goes back")
        return min(int(page.next), newest)

    async def _store(
        self,
        lines: Sequence[bytes],
        newest: ReceivedEntry,
        before: BodyCursor | None,
        cursor: BodyCursor,
        after: int,
        kept_from: int,
    ) -> int:
        matched = await self._threads.with_database(lambda connection: self._matched(connection, lines, newest, after))
        defined = {each.catalogue: each.metric for each, _ in matched} | {newest.catalogue: newest.metric}
        definitions = {hash_: await self._definitions.of(hash_, metric) for hash_, metric in defined.items()}

        def store(connection: Connection) -> int:
            return store_bodies(
                *(connection, self._agreement.id, self._agreement.partner, self._agreement.city, newest.metric),
                before=before,
                following=cursor,
                bodies=_checked(matched, definitions),
                defined=(newest.catalogue, definitions[newest.catalogue].metric.model_dump(mode="json", by_alias=True)),
                kept_from=kept_from,
            )

        return await self._threads.with_database(store)

    def _matched(self, connection: Connection, lines: Sequence[bytes], newest: ReceivedEntry, after: int) -> Matched:
        """Each body with the entry that names it, up to the newest entry that is known: the city may have published
        since. Those that an operator has skipped are left out."""
        hashes = [digest(line) for line in lines]
        entries = entries_with_bodies(connection, self._agreement.partner, newest.metric, hashes)
        of_all = skipped_bodies(connection, self._agreement.partner)
        skipped = {each.sequence for each in of_all if each.metric == newest.metric}
        matched = []
        for line, hash_ in zip(lines, hashes, strict=True):
            found = entries.get(hash_)
            if skipped and (found.sequence if found else sequence_of(line)) in skipped:
                continue
            if found is None:
                if sequence_of(line) > newest.sequence:
                    break
                raise PartnerError("unknown-body", f"a body of {newest.metric} came that no entry names")
            if found.sequence <= after:
                raise PartnerError("malformed", f"bodies of {newest.metric} come out of order")
            after = found.sequence
            matched.append((found, line))
        return matched


def _checked(matched: Matched, definitions: Mapping[str, Definition]) -> list[ReceivedBody]:
    return [received_body(known, line, definitions[known.catalogue]) for known, line in matched]
