"""Agreements between signing cities, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.agreements.document import Agreement, Party, Terms, countersign, open_agreement, party, propose
from tests.federation.identity.cities import DAY, NOW, SigningCity


def party_of(city: SigningCity) -> Party:
    names = (city.city, city.city.title())
    return party(*names, city.identity, [f"https://exchange.{city.city}.example"], f"exchange@{city.city}.example")


def terms(giver: str, receiver: str, metrics: Sequence[str] = ("energy.import",), **changed: Any) -> Terms:
    """What one city gives the other: at once, whatever was published since 1970."""
    as_it_is: dict[str, Any] = {
        "since": 0,
        "delay_seconds": 0,
        "purpose": "to compare the two cities",
        "retention_days": 365,
        "requests_per_minute": 600,
        "bytes_per_hour": 2**30,
        "concurrent_requests": 4,
    }
    return Terms(giver, receiver, tuple(metrics), **as_it_is | changed)


@dataclass(frozen=True)
class TwoCities:
    """Two cities with keys, and what they agree on."""

    one: SigningCity = field(default_factory=lambda: SigningCity("isfahan"))
    other: SigningCity = field(default_factory=lambda: SigningCity("ho-chi-minh-city"))

    def both(self) -> tuple[SigningCity, SigningCity]:
        return self.one, self.other

    def grants(self) -> list[Terms]:
        names = (self.one.city, self.other.city)
        return [terms(*names), terms(*reversed(names))]

    def proposal(self, **changed: Any) -> bytes:
        """A proposal of the first city, for 30 days from NOW on."""
        as_it_is: dict[str, Any] = {
            "grants": self.grants(),
            "witness": True,
            "valid_from": NOW,
            "valid_until": NOW + 30 * DAY,
            "key": self.one.identity,
            "now_ms": NOW,
        }
        return propose((party_of(self.one), party_of(self.other)), **as_it_is | changed)

    def file(self, **changed: Any) -> bytes:
        """The agreement that the second city accepted."""
        return countersign(self.proposal(**changed), self.other.identity, now_ms=changed.get("now_ms", NOW))

    def agreement(self, **changed: Any) -> Agreement:
        return open_agreement(self.file(**changed), now_ms=None)
