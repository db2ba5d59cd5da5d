"""A city with a partner that has an agreement with it, and an API with routes that give what they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from fastapi import APIRouter, FastAPI, Response
from fastapi.testclient import TestClient

from api.building import build
from api.exchange import access, audit, token
from api.exchange.access import Granted
from api.exchange.gate import Gate
from federation.access.assertion import assertion
from federation.jose import new_key
from store.agreements import InstalledAgreement, MetricGrant, install
from store.database import Connection
from store.identities import save_identity, save_own_identity
from store.inspection import clock
from tests.federation.city import ISFAHAN
from tests.federation.identity.cities import DAY, SigningCity, online

US = SigningCity()
STRANGER = new_key()
_numbers = count()

given = APIRouter()


@given.get("/v1/given/{size}")
def give(granted: Granted, size: int) -> Response:
    granted.gives("energy.import", 3, 9)
    return Response(b"x" * size, headers={"Cache-Control": "private, no-cache"})


@given.get("/v1/broken")
def break_down(granted: Granted) -> Response:
    granted.gives("energy.import", 3, 9)
    raise RuntimeError("the secret of the house")


def an_api(database_url: str, also: Sequence[APIRouter] = ()) -> FastAPI:
    """The routes of access, and one that gives a partner as many bytes as it asks for."""
    gate = Gate(database_url)
    app = build(ISFAHAN, database_url, (given, token.router, audit.router, *also), "", [], [gate])
    access.install(app, gate)
    return app


@dataclass(frozen=True)
class Agreed:
    """Two cities, one of them this node's, and the id of what they agreed on."""

    agreement: str = "an-agreement"
    us: SigningCity = US
    them: SigningCity = field(default_factory=lambda: SigningCity(f"hue-{next(_numbers)}"))

    @classmethod
    def installed(cls, agreement: str, connection: Connection, **limits) -> "Agreed":
        """The cities of a new agreement, which the node knows."""
        found = cls(agreement)
        found.install(connection, **limits)
        return found

    def renew(self, connection: Connection, **changed) -> None:
        """Put a second version in force, which differs from the first in this."""
        begins = clock(connection) - 1
        self.install(connection, "hash", version=2, hash="hash of the second", valid_from=begins, **changed)

    def install(self, connection: Connection, supersedes: str | None = None, **limits) -> None:
        """Make the node know both identities and the agreement, all valid now."""
        self.introduce(connection)
        now = clock(connection)
        as_it_is = InstalledAgreement(
            *(self.agreement, 1, self.us.thumbprint, self.them.thumbprint, self.them.city, b"{}", "hash", ()),
            *(now - DAY, now + 30 * DAY, True, 600, 2**30, 4),
            (MetricGrant("given", "energy.import", 0, 0, 3660),),
        )
        install(connection, replace(as_it_is, **limits), supersedes)

    def introduce(self, connection: Connection, version: int = 1, **changed) -> None:
        """Store both identity documents; `changed` fields are those of the partner's."""
        now = clock(connection)
        for city, save in ((self.us, save_own_identity), (self.them, save_identity)):
            keys = [online(use, getattr(city, use), now - DAY, now + 30 * DAY) for use in ("publish", "access")]
            fields = {"issued_at": now - DAY, "expires_at": now + 30 * DAY, "keys": keys}
            document = city.document(version, **fields | (changed if city is self.them else {}))
            save(connection, city.thumbprint, city.city, version, document, now + 30 * DAY)

    def asks(self, now_ms: int, **changed) -> dict[str, str]:
        """The form by which the partner asks for a token."""
        signed = assertion(
            changed.pop("key", self.them.access),
            changed.pop("issuer", self.them.thumbprint),
            changed.pop("audience", self.us.thumbprint),
            now_ms,
        )
        return {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
            "scope": self.agreement,
        } | changed


def reader_of(api: TestClient, agreed: Agreed, connection: Connection) -> dict[str, str]:
    """The header that the partner sends with a new token."""
    answer = api.post("/v1/token", data=agreed.asks(clock(connection)))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
