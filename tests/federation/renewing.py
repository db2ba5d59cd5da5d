"""An agreement between two cities that is renewed, ends and is revoked, as rules of a state machine."""

from dataclasses import dataclass

import pytest
from hypothesis.stateful import precondition, rule
from hypothesis.strategies import booleans, integers

from federation.agreements.document import Agreement, countersign, open_agreement, propose
from federation.agreements.installing import install
from store.agreements import InstalledAgreement, InstallRefused, in_force, known_agreements, revoke
from store.inspection import clock
from tests.federation.agreements.agreeing import party_of, terms
from tests.federation.identity.cities import DAY
from tests.federation.machine import Grounded, holds
from tests.federation.talking import IMPORT, US, TalkingCity

_AGO = DAY // 2
"""What begins today began so long ago: a machine never runs into the moment at which a version begins or ends."""


@dataclass
class Renewed:
    """A version that was installed, and its time now that days have passed."""

    agreement: Agreement
    begins: int
    ends: int


class Renewing(Grounded):
    """We and the city: whatever is agreed, one version holds, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.city = TalkingCity()
        self.now = clock(self.connection)
        self.revoked = False
        self.made = 0
        self.versions: list[Renewed] = []
        self.opened: dict[bytes, Agreement] = {}
        self._install(self._version(None, 0, 300, True))
        self.id = self.versions[0].agreement.id

    def held(self) -> InstalledAgreement | None:
        """The version that holds, as the database says."""
        found = [each for each in in_force(self.connection) if each.partner == self.city.keys.thumbprint]
        assert len(found) <= 1, "of versions that overlap one holds"
        return found[0] if found else None

    @rule(after=integers(0, 20), days=integers(1, 60), witness=booleans())
    def renew(self, after: int, days: int, witness: bool) -> None:
        """For a longer or a shorter time than before, which begins before the version before has ended, or later."""
        following = self._version(self.versions[-1].agreement, after, days, witness)
        if self.revoked:
            assert self._refusal(following) == "revoked"
        else:
            self._install(following)

    @rule(pick=integers(0, 99), days=integers(1, 60))
    def renew_what_is_not_the_newest(self, pick: int, days: int) -> None:
        """A version that was superseded, or one that was never installed."""
        known = [each.agreement for each in self.versions]
        of = [*known[:-1], self._version(known[-1], 0, days, True)]
        wrong = self._version(of[pick % len(of)], 0, days, True)
        assert self._refusal(wrong) == ("revoked" if self.revoked else "contradiction")

    @rule(days=integers(1, 15))
    def let_days_pass(self, days: int) -> None:
        """Move the agreement into the past, since nobody moves the clock of a database."""
        self.connection.execute(
            "UPDATE agreements SET valid_from = valid_from - make_interval(days => %(days)s),"
            " valid_until = valid_until - make_interval(days => %(days)s) WHERE id = %(id)s",
            {"days": days, "id": self.id},
        )
        self.touch("agreements")
        for each in self.versions:
            each.begins -= days * DAY
            each.ends -= days * DAY

    @precondition(lambda self: len(self.city.published) > 8)
    @rule()
    def revoke_agreement(self) -> None:
        assert revoke(self.connection, self.id, "enough") != self.revoked
        self.touch("agreements")
        self.revoked = True

    @holds("agreements")
    def the_newest_version_that_has_begun_holds_to_its_end(self) -> None:
        begun = [each for each in self.versions if each.begins <= self.now]
        held = self.held()
        if self.revoked or not begun or begun[-1].ends <= self.now:
            assert held is None, "no version before the newest comes back"
            return
        agreement = begun[-1].agreement
        assert held is not None
        assert (held.version, held.hash, held.witness) == (agreement.version, agreement.hash, agreement.witness)
        days = {grant.retention_days for grant in held.grants}
        assert days == {each.retention_days for each in agreement.grants}, "the terms are those of the version"

    @holds("agreements")
    def each_version_supersedes_the_one_before(self) -> None:
        known = [each.agreement for each in known_agreements(self.connection, self.id)]
        assert [each.hash for each in known] == [each.agreement.hash for each in self.versions]
        for each in known:
            if each.document not in self.opened:
                self.opened[each.document] = open_agreement(each.document, now_ms=None)
        opened = [self.opened[each.document] for each in known]
        assert [each.supersedes for each in opened] == [None, *(each.hash for each in opened[:-1])]

    def _version(self, renews: Agreement | None, after: int, days: int, witness: bool) -> Agreement:
        """The agreement, or its next version, that begins in so many days and is signed by both cities."""
        self.made += 1
        begins = self.now - _AGO + after * DAY
        grant = terms(self.city.city, US.city, (IMPORT.name,), retention_days=1000 + self.made)
        proposal = propose(
            (party_of(US), party_of(self.city.keys)),
            [grant],
            witness=witness,
            valid_from=begins,
            valid_until=begins + days * DAY,
            key=US.identity,
            now_ms=self.now,
            renews=renews,
        )
        return open_agreement(countersign(proposal, self.city.keys.identity, now_ms=self.now), now_ms=self.now)

    def _install(self, agreement: Agreement) -> None:
        self.touch("agreements")
        for new in (True, False):
            done = install(self.connection, agreement.file, [], now_ms=self.now, private_addresses=False)
            assert done[2] == new, "a version is installed once"
        self.versions.append(Renewed(agreement, agreement.valid_from, agreement.valid_until))

    def _refusal(self, agreement: Agreement) -> str:
        self.touch("agreements")
        with pytest.raises(InstallRefused) as refused:
            install(self.connection, agreement.file, [], now_ms=self.now, private_addresses=False)
        return refused.value.reason
