"""Cities with keys, for tests of what they sign."""

from dataclasses import dataclass, field
from typing import Any, Literal

from joserfc.jwk import OKPKey

from federation import jose
from federation.identity.document import OnlineKey, sign_identity

NOW = 1_795_000_000_000
DAY = 86_400_000


def online(
    use: Literal["publish", "access"], key: OKPKey, not_before: int = NOW, not_after: int = NOW + 365 * DAY
) -> OnlineKey:
    return OnlineKey(use, jose.thumbprint(key), not_before, not_after, jose.public_key(jose.jwk_of(key)))


@dataclass(frozen=True)
class SigningCity:
    """A city and its private keys."""

    city: str = "isfahan"
    identity: OKPKey = field(default_factory=jose.new_key)
    publish: OKPKey = field(default_factory=jose.new_key)
    access: OKPKey = field(default_factory=jose.new_key)

    @property
    def thumbprint(self) -> str:
        return jose.thumbprint(self.identity)

    def document(self, version: int = 1, **changed) -> str:
        """The city's identity document, valid for 90 days from NOW on."""
        as_it_is: dict[str, Any] = {
            "city": self.city,
            "name": self.city.title(),
            "addresses": [f"https://exchange.{self.city}.example"],
            "contact": f"exchange@{self.city}.example",
            "version": version,
            "issued_at": NOW,
            "expires_at": NOW + 90 * DAY,
            "keys": [online("publish", self.publish), online("access", self.access)],
        }
        return sign_identity(self.identity, **as_it_is | changed)
