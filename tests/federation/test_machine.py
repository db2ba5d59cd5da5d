"""Whatever cities do, in any order: chain, agreement, audit and what witnesses prove keep what they promise.

A city publishes, corrects, withdraws, rotates and revokes keys, is restored from a backup, and tells another story, to
us or to another partner; we pull both, renew and revoke the agreement, and are restored ourselves; what is given is
audited. The database is real; the network is left out.
"""

import os
import secrets
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from hypothesis.strategies import integers

from federation import jose
from federation.access.audit import Given, audit_row, end_of
from federation.access.verifying import verify_audit
from federation.identity.document import RevokedKey
from federation.publications.chain import ChainEnd, follow
from federation.publications.entries import entry_of
from store.audit import audit_head, audit_rows
from store.moments import moment
from store.partner_heads import contradictions
from tests.federation.identity.cities import NOW, online
from tests.federation.machine import ground, holds
from tests.federation.talking import US
from tests.federation.witnesses import METRIC, SOUND, Witnessing, Word
from tests.soak import amount

pytestmark = [pytest.mark.services, pytest.mark.soak(minutes=6)]

SEED = int(os.environ.get("SISTERCITY_SEED", secrets.randbits(32)))
EXAMPLES, STEPS = amount(5, soak=200), amount(20, soak=50)


class Exchange(Witnessing):
    """One city that speaks, and one that pulls it."""

    def __init__(self) -> None:
        super().__init__()
        self.hours = 0
        self.version = 1
        self.keys = [online("publish", self.city.keys.publish), online("access", self.city.keys.access)]
        self.gone: list[RevokedKey] = []
        self.revisions: dict[int, int] = {}
        self.stored: list[bytes] = []
        self.anchor_is_good = True
        self.connection.execute("DELETE FROM audit")
        self.publish()

    @property
    def lines(self) -> list[bytes]:
        return [each.line for each in self.city.published]

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
        """From a backup that lacks the newest entry and all heads that cover it, without the ledger."""
        self._forget_newest()
        self.one_story = False
        end = self.city.end(METRIC)
        assert end is not None
        self.city.heads[:] = [head for head in self.city.heads if self.covers[head] <= end.sequence]
        if not self.city.heads:
            self.sign()

    @precondition(lambda self: len(self.city.published) > SOUND)
    @rule()
    def fork(self) -> None:
        """The newest entry becomes another, which is signed as well."""
        self._forget_newest()
        self.one_story = False
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

    @rule()
    def give(self) -> None:
        """Something is given to a partner, and audited."""
        self.touch("audit")
        head = audit_head(self.connection, self.id)
        given = Given(NOW, "r", "/v1/head", None, None, None, 200, "0" * 64, 1)
        row = audit_row(given, self.id, head)
        self.connection.execute(
            "INSERT INTO audit (agreement, sequence, at, line) VALUES (%s, %s, %s, %s)",
            (self.id, end_of(row).sequence, moment(NOW), row.line),
        )

    @rule()
    def pull(self) -> None:
        before, said, trusted = self.stored, self.lines, self.anchor_is_good
        held, word = self.held(), Word(self.city)
        failure = "no agreement" if held is None else self.pulled(held, word)
        if held is not None and failure is None:
            assert (US.thumbprint in word.asked) == held.witness, "a witness is asked where that is agreed"
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

    def _stored_lines(self) -> list[bytes]:
        rows = self.connection.execute(
            "SELECT line FROM partner_entries WHERE thumbprint = %s ORDER BY sequence", (self.city.keys.thumbprint,)
        )
        return [bytes(line) for (line,) in rows]

    @holds("received")
    def what_is_stored_is_one_chain(self) -> None:
        end: ChainEnd | None = None
        for line in self._stored_lines():
            end = follow(end, entry_of(line), line, city=self.city.city)

    @holds("received")
    def nothing_is_shown_of_what_is_known_to_be_withdrawn(self) -> None:
        [shown] = self.connection.execute(
            "SELECT count(*) FROM partner_entries AS taken JOIN partner_cells AS cells"
            " ON cells.metric = taken.metric AND cells.window_start = taken.window_start"
            " WHERE taken.kind = 'withdrawal' AND cells.value IS NOT NULL"
            " AND taken.thumbprint = %s AND cells.city = %s",
            (self.city.keys.thumbprint, self.city.city),
        ).fetchone()
        assert shown == 0

    @holds("audit")
    def the_audit_is_whole(self) -> None:
        assert [chain.broken for chain in verify_audit(audit_rows(self.connection)) if chain.broken] == []


def test_whatever_cities_do_chain_agreement_and_audit_hold(module_database_url: str, capsys):
    with capsys.disabled():
        print(f"\nSISTERCITY_SEED={SEED}")
    with ground(module_database_url) as Exchange.ground:
        run_state_machine_as_test(
            hypothesis.seed(SEED)(Exchange),
            settings=settings(
                max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, print_blob=False
            ),
        )
