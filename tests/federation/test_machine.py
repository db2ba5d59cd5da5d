"""Whatever two cities do, in any order: chain, agreement and audit keep what they promise.

A city publishes, corrects, withdraws, rotates and revokes keys, is restored from a backup, and tells another story; the
other one pulls, and revokes the agreement; what is given is audited. The database is real; the network is left out.
"""

import asyncio
import os
import secrets
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import integers

from federation import jose
from federation.access.audit import Given, audit_row, end_of
from federation.access.verifying import verify_audit
from federation.identity.document import RevokedKey
from federation.partners.database import Threads
from federation.partners.limits import PartnerError
from federation.partners.partner import Puller
from federation.partners.source import WirePage
from federation.publications.chain import ChainEnd, follow
from federation.publications.entries import entry_of
from store.agreements import in_force, revoke
from store.audit import audit_head, audit_rows
from store.database import Connection, connect
from store.moments import moment
from store.partner_heads import contradictions
from tests.federation.identity.cities import NOW, online
from tests.federation.talking import AGREEMENT, QUICK, Reply, TalkingCity, agree, agreed, forget_everything
from tests.soak import amount

pytestmark = [pytest.mark.services, pytest.mark.soak]

SEED = int(os.environ.get("SISTERCITY_SEED", secrets.randbits(32)))
SOUND = 4
"""The city is not restored and tells no other story before it has published more than so much."""
EXAMPLES, STEPS = amount(5, soak=200), amount(20, soak=50)


class Word:
    """What a city says, without a network."""

    resumes = True

    def __init__(self, city: TalkingCity) -> None:
        self.city = city

    def ask(self, path: str, **query: str) -> Reply:
        return self.city.answer(path, query, None)

    def forget(self) -> None:
        pass

    async def identity(self) -> str | None:
        return self.ask("/v1/identity").body.decode()

    async def facts(self) -> bytes | None:
        return self.ask("/v1/catalog").body

    async def head(self) -> str | None:
        return self.ask("/v1/head").body.decode() or None

    async def entries(self, after: str | None) -> WirePage | None:
        return self.page(self.ask("/v1/entries", after=after or "0", limit="100"))

    async def bodies(self, metric: str, after: int) -> WirePage | None:
        return self.page(self.ask("/v1/bodies", metric=metric, after=str(after), limit="100"))

    def page(self, reply: Reply) -> WirePage:
        return WirePage(reply.body, reply.headers["Sistercity-Next"])

    async def catalogue(self, hash_: str) -> bytes:
        return self.ask(f"/v1/catalogues/{hash_}").body

    async def heads(self, thumbprint: str) -> list[str]:
        return []


class Exchange(RuleBasedStateMachine):
    """One city that speaks, and one that pulls it into the database at `url`."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.city = TalkingCity()
        self.hours = 0
        self.version = 1
        self.keys = [online("publish", self.city.keys.publish), online("access", self.city.keys.access)]
        self.gone: list[RevokedKey] = []
        self.revisions: dict[int, int] = {}
        self.stored: list[bytes] = []
        self.anchor_is_good = True
        self.connection: Connection = connect(self.url).__enter__()
        forget_everything(self.connection)
        self.connection.execute("DELETE FROM audit")
        self.agreement = agreed(self.city, "http://127.0.0.1:1/")
        agree(self.url, self.agreement)
        self.publish()

    def teardown(self) -> None:
        self.connection.close()

    @property
    def lines(self) -> list[bytes]:
        return [each.line for each in self.city.published]

    def sign(self) -> None:
        self.city.sign(number=self.city_number())

    def city_number(self) -> int:
        """Numbers rise, also over a restore: they come from a clock."""
        self.number = getattr(self, "number", 0) + 1
        return self.number

    @rule(hours=integers(1, 3))
    def publish(self, hours: int = 1) -> None:
        for _ in range(hours):
            self.city.publish(self.hours)
            self.revisions[self.hours] = 0
            self.hours += 1
        self.sign()

    @precondition(lambda self: self.revisions)
    @rule(pick=integers(0, 99), value=integers(0, 9))
    def correct(self, pick: int, value: int) -> None:
        hour = sorted(self.revisions)[pick % len(self.revisions)]
        self.revisions[hour] += 1
        self.city.publish(hour, kind="correction", revision=self.revisions[hour], value=500 + value)
        self.sign()

    @precondition(lambda self: self.revisions)
    @rule(pick=integers(0, 99))
    def withdraw(self, pick: int) -> None:
        hour = sorted(self.revisions)[pick % len(self.revisions)]
        self.city.publish(hour, kind="withdrawal", revision=self.revisions.pop(hour) + 1)
        self.sign()

    @rule()
    def rotate(self) -> None:
        self._another_key()

    @rule()
    def revoke_key(self) -> None:
        kid = jose.thumbprint(self.city.keys.publish)
        self.gone.append(RevokedKey(kid, NOW, "stolen"))
        self._another_key()
        self.anchor_is_good = False

    def _another_key(self) -> None:
        key = jose.new_key()
        self.city.keys = replace(self.city.keys, publish=key)
        self.keys.append(online("publish", key))
        self.version += 1
        self.city.identity = self.city.keys.document(self.version, keys=self.keys, revoked=self.gone)
        self.sign()

    @precondition(lambda self: len(self.city.published) > SOUND)
    @rule()
    def restore(self) -> None:
        """From a backup that lacks the newest entry and its head, without the ledger."""
        self._forget_newest()
        del self.city.heads[-1]
        if not self.city.heads:
            self.sign()

    @precondition(lambda self: len(self.city.published) > SOUND)
    @rule()
    def fork(self) -> None:
        """The newest entry becomes another, which is signed as well."""
        self._forget_newest()
        self.city.publish(self.hours, value=7)
        self.revisions[self.hours] = 0
        self.hours += 1
        self.sign()

    def _forget_newest(self) -> None:
        lost = self.city.published.pop()
        hours = {each.entry.header.window.start for each in self.city.published}
        begin = lost.entry.header.window.start
        self.revisions = {
            hour: revision
            for hour, revision in self.revisions.items()
            if lost.entry.header.kind == "correction" or begin in hours or begin != self._start(hour)
        }

    def _start(self, hour: int) -> int:
        return self.city.published[0].entry.header.window.start + hour * 3_600_000

    @precondition(lambda self: len(self.city.published) > 2 * SOUND)
    @rule()
    def revoke_agreement(self) -> None:
        revoke(self.connection, AGREEMENT, "enough")

    @rule()
    def give(self) -> None:
        """Something is given to a partner, and audited."""
        head = audit_head(self.connection, AGREEMENT)
        given = Given(NOW, "r", "/v1/head", None, None, None, 200, "0" * 64, 1)
        row = audit_row(given, AGREEMENT, head)
        self.connection.execute(
            "INSERT INTO audit (agreement, sequence, at, line) VALUES (%s, %s, %s, %s)",
            (AGREEMENT, end_of(row).sequence, moment(NOW), row.line),
        )

    @rule()
    def pull(self) -> None:
        before, said, trusted = self.stored, self.lines, self.anchor_is_good
        holds = bool(in_force(self.connection))
        failure = asyncio.run(self._pull()) if holds else "no agreement"
        after = self._stored_lines()
        proven = bool(contradictions(self.connection))
        extends = said[: len(before)] == before
        if failure is None and not proven:
            assert after == said, "all that the city says is stored"
            self.anchor_is_good = True
        elif trusted or failure is not None:
            assert after == before, "nothing is stored of what is refused"
        if trusted and not extends:
            assert failure is not None or proven, "another story is noticed"
        self.stored = after

    async def _pull(self) -> str | None:
        with Threads(self.url) as threads:
            puller = Puller(self.agreement, Word(self.city), threads, replace(QUICK, lines=100), lambda: NOW, 60.0)
            try:
                done = await puller.pull()
            except PartnerError as error:
                return error.reason
        return next(iter(done.refused.values()), None)

    def _stored_lines(self) -> list[bytes]:
        rows = self.connection.execute("SELECT line FROM partner_entries ORDER BY sequence").fetchall()
        return [bytes(line) for (line,) in rows]

    @invariant()
    def what_is_stored_is_one_chain(self) -> None:
        end: ChainEnd | None = None
        for line in self._stored_lines():
            end = follow(end, entry_of(line), line, city=self.city.city)

    @invariant()
    def nothing_is_shown_of_what_is_known_to_be_withdrawn(self) -> None:
        [shown] = self.connection.execute(
            "SELECT count(*) FROM partner_entries AS taken JOIN partner_cells AS cells"
            " ON cells.metric = taken.metric AND cells.window_start = taken.window_start"
            " WHERE taken.kind = 'withdrawal' AND cells.value IS NOT NULL"
        ).fetchone()
        assert shown == 0

    @invariant()
    def the_audit_is_whole(self) -> None:
        assert [chain.broken for chain in verify_audit(audit_rows(self.connection)) if chain.broken] == []


def test_whatever_cities_do_chain_agreement_and_audit_hold(module_database_url: str, capsys):
    with capsys.disabled():
        print(f"\nSISTERCITY_SEED={SEED}")
    Exchange.url = module_database_url
    run_state_machine_as_test(
        hypothesis.seed(SEED)(Exchange),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, print_blob=False
        ),
    )
