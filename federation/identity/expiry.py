"""When identities and keys end, as metrics: who watches them is warned before partners refuse what they signed."""

from typing import Literal

from joserfc.jwk import OKPKey
from prometheus_client import Gauge

from federation import jose
from federation.identity.document import Identity

IDENTITY_EXPIRES = Gauge(
    "sistercity_identity_expires_timestamp_seconds",
    "When the newest identity document of a city (our own, or a partner's) expires, Unix time",
    ["city"],
)
KEY_EXPIRES = Gauge(
    "sistercity_key_expires_timestamp_seconds",
    "When the key that this process signs with expires, Unix time; 0 if it has none that our identity lists",
    ["use"],
)

AGREEMENT_EXPIRES = Gauge(
    "sistercity_agreement_expires_timestamp_seconds",
    "When the agreement under which a city is pulled ends, Unix time",
    ["city", "agreement"],
)


def show_identity(identity: Identity) -> None:
    """Set the gauge of an identity."""
    IDENTITY_EXPIRES.labels(identity.city).set(identity.expires_at / 1000)


def forget_partner(city: str) -> None:
    """Show nothing of a city's identity any more."""
    IDENTITY_EXPIRES.remove(city)


def show_key(use: Literal["publish", "access"], identity: Identity | None, key: OKPKey | None) -> None:
    """Set the gauge of the key that signs."""
    ends = 0
    if identity is not None and key is not None:
        kid = jose.thumbprint(key)
        ends = max(listed.not_after for listed in identity.keys if (listed.use, listed.kid) == (use, kid))
    KEY_EXPIRES.labels(use).set(ends / 1000)
