"""One pull of one agreement: identity, head, entries, catalogues, bodies. Nothing is stored that is not verified.

The order: the identity document is the one that the agreement pins, and the newest. A head is signed by a publish key
of it that is valid and not revoked. Entries lead to the hashes that the head names; they wait on disk until they do,
since a city may publish between two requests. Catalogues and bodies have the hashes that entries name. What is stored
goes into one transaction with the cursor after it, so that a crash anywhere leaves whole pages.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from errors import OperatorError
from federation.identity.expiry import AGREEMENT_EXPIRES
from federation.partners.bodies import BodyReader
from federation.partners.chains import ChainReader, NothingYet
from federation.partners.database import Threads
from federation.partners.definitions import Definitions
from federation.partners.identities import current_identity
from federation.partners.limits import FetchLimits, PartnerError
from federation.partners.remote import RemoteCity
from federation.partners.source import Source
from federation.partners.witnessing import ask_witness
from store.agreements import InstalledAgreement
from store.database import Connection
from store.partner_cursors import Conflict
from store.partner_facts import keep_audit_head, meet
from store.partner_standing import NOTHING_YET, record_pull

_WITNESS_MS = 900_000
"""So often a partner is asked which heads it has seen of others."""

PULLS = Counter("sistercity_pulls", "Pulls: stored, unchanged, failed.", ["outcome"])
PARTNER_SUCCESS = Gauge(
    "sistercity_partner_last_success_timestamp_seconds",
    "When a partner was last pulled to its end under an agreement, Unix time",
    ["city", "agreement"],
)
PULLED = Counter("sistercity_pulled_publications", "Bodies of partners: stored, refused.", ["outcome"])


@dataclass(frozen=True, slots=True)
class PullResult:
    """The outcome of a pull: how many entries and bodies were stored. `refused`: metric -> why it is not pulled.

    `nothing_yet` says in words that the city has signed nothing so far.
    """

    city: str
    entries: int
    bodies: int
    refused: dict[str, str]
    nothing_yet: str | None = None


class Puller:
    """Pulls under one agreement, and keeps token, ETags and catalogues between pulls.

    `fresh_s` is how long what was received counts as fresh.
    """

    def __init__(
        self,
        agreement: InstalledAgreement,
        source: Source,
        threads: Threads,
        limits: FetchLimits,
        now_ms: Callable[[], int],
        fresh_s: float,
    ) -> None:
        self.agreement = agreement
        self._source = source
        self._threads = threads
        self._limits = limits
        self._now_ms = now_ms
        self._fresh_ms = round(fresh_s * 1000)
        self._witness_due = 0
        self._definitions = Definitions(agreement, source, threads, limits)
        self._chains = ChainReader(agreement, source, threads, limits, self._definitions)
        self._bodies = BodyReader(agreement, source, threads, limits, self._definitions)

    async def pull(self) -> PullResult:
        """One turn. Its outcome is recorded. Raises `PartnerError`, and psycopg's errors."""
        AGREEMENT_EXPIRES.labels(self.agreement.city, self.agreement.id).set(self.agreement.valid_until / 1000)
        try:
            async with asyncio.timeout(self._limits.turn_s):
                done = await self._turn()
        except TimeoutError:
            words = f"{self.agreement.city} did not come to an end in {self._limits.turn_s:g} s"
            failure = PartnerError("too-slow", words)
        except Conflict as error:
            failure = PartnerError("conflict", str(error))
        except PartnerError as error:
            failure = error
        except OperatorError as error:  # an identity, a head or a chain that is refused says why in its own words
            failure = PartnerError(getattr(error, "reason", "refused"), str(error))
        else:
            PULLS.labels("stored" if done.entries or done.bodies else "unchanged").inc()
            PARTNER_SUCCESS.labels(self.agreement.city, self.agreement.id).set(self._now_ms() / 1000)
            return done
        finally:
            if isinstance(self._source, RemoteCity):
                self._source.end()
        PULLS.labels("failed").inc()
        self._source.forget()
        await self._record("", failure)
        raise failure

    async def _turn(self) -> PullResult:
        agreement = self.agreement
        if isinstance(self._source, RemoteCity):
            self._source.begin()
        identity = await current_identity(agreement, self._source, self._threads, self._now_ms())
        if not agreement.metrics("received"):  # it only reads here, which its newest keys allow it
            await self._record("", None)
            await self._ask_what_it_has_seen()
            await self._keep_audit()
            return PullResult(agreement.city, 0, 0, {})
        await self._threads.with_database(
            lambda connection: meet(connection, agreement.partner, agreement.city, identity.name)
        )
        await self._definitions.read_facts()
        entries, bodies, refused, state = 0, 0, dict[str, PartnerError](), None
        try:
            entries, refused = await self._chains.read(identity, self._now_ms())
        except NothingYet as found:
            state = PartnerError(NOTHING_YET, str(found))
        await self._record("", state)
        if state is None:
            bodies = await self._all_bodies(refused)
        self._definitions.shrink()
        await self._ask_what_it_has_seen()
        await self._keep_audit()
        told = {metric: str(error) for metric, error in refused.items()}
        return PullResult(agreement.city, entries, bodies, told, None if state is None else str(state))

    async def _ask_what_it_has_seen(self) -> None:
        if self.agreement.witness and self._now_ms() >= self._witness_due:
            await ask_witness(self.agreement, self._source, self._threads)
            self._witness_due = self._now_ms() + _WITNESS_MS

    async def _all_bodies(self, refused: dict[str, PartnerError]) -> int:
        """Read the bodies of each metric; what is wrong with one stops that one, and is in `refused` then."""
        stored = 0
        for grant in self.agreement.grants:
            if grant.direction != "received":
                continue
            failure = refused.get(grant.metric)
            # A contradiction has a count of its own; entries and head may differ while a city publishes.
            if failure is not None and failure.reason not in ("contradicted", "withheld"):
                PULLED.labels("refused").inc()
            elif failure is None:
                try:
                    stored += await self._bodies.read(grant, self._now_ms())
                except (PartnerError, Conflict) as error:
                    failure = error if isinstance(error, PartnerError) else PartnerError("conflict", str(error))
                    if failure.reason == "unreachable":
                        raise failure from error
                    PULLED.labels("refused").inc()
                    refused[grant.metric] = failure
                    self._source.forget()
            await self._record(grant.metric, failure)
        PULLED.labels("stored").inc(stored)
        return stored

    async def _keep_audit(self) -> None:
        if isinstance(self._source, RemoteCity) and self._source.audit is not None:
            sequence, hash_ = self._source.audit
            await self._threads.with_database(
                lambda connection: keep_audit_head(connection, self.agreement.id, sequence, hash_)
            )

    async def _record(self, metric: str, failure: PartnerError | None) -> None:
        now = self._now_ms()

        def record(connection: Connection) -> None:
            record_pull(
                *(connection, self.agreement.id, self.agreement.partner, metric),
                at=now,
                fresh_until=now + self._fresh_ms,
                reason=None if failure is None else failure.reason,
                detail=None if failure is None else str(failure),
            )

        await self._threads.with_database(record)
