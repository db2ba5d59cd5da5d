"""What the demo's cities settle before they exchange: identities, one agreement that both sign, and certificates.

Operators do the same with `sistercity identity` and `sistercity agreement` (docs/partner.md). The identity keys stay in
this process and end with it. A third city has an identity and no agreement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from joserfc.jwk import OKPKey

from federation.access.assertion import assertion
from federation.agreements.document import Party, Terms, countersign, party, propose
from federation.agreements.installing import install
from federation.identity.changes import listed
from federation.identity.document import LONGEST_VALIDITY_MS, Identity, open_identity, sign_identity
from federation.identity.keys import write_key
from federation.identity.receiving import receive, receive_own
from federation.jose import new_key
from node.clock import now_ms
from node.demo.certificates import Authority
from node.demo.children import emptied
from node.demo.cities import LEAVING, DemoCity
from schemas.catalogue import catalogue
from store.database import connect

_LASTS_MS = 86_400_000
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class SettledCity:
    """A city with its identity: the key that signed it, and the key with which partners are asked."""

    identity: Identity
    key: OKPKey
    access: OKPKey

    @property
    def party(self) -> Party:
        """The city as an agreement names it."""
        known = self.identity
        return party(known.city, known.name, self.key, known.addresses, known.contact)


@dataclass(frozen=True, slots=True)
class AgreedExchange:
    """What was settled: the agreement's id, the city that a stranger asks, and the stranger, which has no agreement."""

    agreement: str
    asked: Identity
    stranger: SettledCity
    authority: Path

    def refusals(self, now_ms: int) -> Mapping[str, str]:
        """What the stranger is answered: request -> status and error."""
        return refusals(self.stranger, self.asked, self.agreement, self.authority, now_ms)


def settle(cities: Sequence[DemoCity], authority: Authority) -> AgreedExchange:
    """Give each city of the demo an identity, and both an agreement on all that they publish."""
    now = now_ms() // 1000 * 1000
    first, second = (
        settle_identity(city.id, city.facts.name, [city.public_url], now, city.folder / "identity") for city in cities
    )
    databases = {city.id: city.database_url for city in cities}
    metrics = [metric.name for metric in LEAVING]
    agreement = settle_agreement((first, second), databases, metrics, now)
    return AgreedExchange(agreement, first.identity, settle_identity("hue", "Huế", [], now), authority.certificate)


def settle_identity(
    city: str, name: str, addresses: Sequence[str], now_ms: int, folder: Path | None = None
) -> SettledCity:
    """An identity for a city; its online keys go to `folder`, if there is one."""
    key, publish, access = new_key(), new_key(), new_key()
    document = sign_identity(
        key,
        city=city,
        name=name,
        addresses=list(addresses),
        contact=f"exchange@{city}.example",
        version=1,
        issued_at=now_ms,
        expires_at=now_ms + LONGEST_VALIDITY_MS,
        keys=[listed("publish", publish, now_ms), listed("access", access, now_ms)],
    )
    if folder is not None:
        emptied(folder)
        write_key(folder / "publish.key", publish, "publish", city)
        write_key(folder / "access.key", access, "access", city)
    return SettledCity(open_identity(document, pinned=None, now_ms=now_ms), key, access)


def settle_agreement(
    cities: tuple[SettledCity, SettledCity], databases: Mapping[str, str], metrics: Sequence[str], now_ms: int
) -> str:
    """One agreement on these metrics in both directions, signed by both and installed in both databases; its id.

    `databases` has the URL of each city's database by the city's id; both identities are put in there too, which a
    puller would else fetch.
    """
    first, second = cities
    terms = [
        Terms(
            *(giver.identity.city, receiver.identity.city, tuple(metrics)),
            since=0,
            delay_seconds=0,
            purpose="to compare the two cities",
            retention_days=3660,
            requests_per_minute=6000,
            bytes_per_hour=2**30,
            concurrent_requests=4,
        )
        for giver, receiver in (cities, (second, first))
    ]
    proposal = propose(
        (first.party, second.party),
        terms,
        witness=True,
        valid_from=now_ms,
        valid_until=now_ms + _LASTS_MS,
        key=first.key,
        now_ms=now_ms,
    )
    signed = countersign(proposal, second.key, now_ms=now_ms)
    for city, other in zip(cities, reversed(cities), strict=True):
        with connect(databases[city.identity.city], name="sistercity demo") as connection:
            receive_own(connection, city.identity.document, now_ms=now_ms, replace=False)
            receive(connection, other.identity.document, pinned=other.identity.thumbprint, now_ms=now_ms)
            found, _, _ = install(connection, signed, catalogue(), now_ms=now_ms, private_addresses=True)
    return found.id


def refusals(stranger: SettledCity, asked: Identity, agreement: str, authority: Path, at_ms: int) -> Mapping[str, str]:
    """What a city without an agreement gets from another: request -> answer.

    It asks for a token by an agreement of others, and for publications without a token. `authority`: the PEM file of
    the authority of the other's certificate.
    """
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": _ASSERTION_TYPE,
        "client_assertion": assertion(stranger.access, stranger.identity.thumbprint, asked.thumbprint, at_ms),
        "scope": agreement,
    }
    with httpx.Client(base_url=asked.addresses[0], verify=str(authority), trust_env=False) as client:
        token = client.post("/v1/token", data=form)
        answers = {"POST /v1/token": f"{token.status_code} {token.json().get('error', '')}"}
        for path in ("/v1/head", "/v1/entries", "/v1/bodies"):
            answer = client.get(path, params={"metric": "energy.import"} if path == "/v1/bodies" else {})
            answers[f"GET {path}"] = f"{answer.status_code} {answer.headers.get('www-authenticate', '')}"
    return {request: answer.strip() for request, answer in answers.items()}
