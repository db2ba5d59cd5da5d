"""The agreement that a small city proposes to the client that is tried with it."""

from federation.agreements.document import Terms, open_agreement, party, propose
from federation.conformance.story import METRIC, SmallCity
from federation.identity.document import Identity

_DAY_MS = 86_400_000
REQUESTS_PER_MINUTE = 120
"""So few that a client meets the limit when it is tried."""
_LIMITS = (REQUESTS_PER_MINUTE, 2**40, 100)


def offer(city: SmallCity, client: Identity, now_ms: int) -> tuple[bytes, str]:
    """A proposal of 30 days, signed by the small city, and its id: each gives the other the city's one metric."""
    parties = (
        party(city.city, city.city, city.keys.identity, [city.address], "conformance"),
        party(client.city, client.name, client.identity_key, client.addresses, client.contact),
    )
    grants = [
        Terms(giver, taker, (METRIC,), 0, 0, "to try a client", 30, *_LIMITS)
        for giver, taker in ((city.city, client.city), (client.city, city.city))
    ]
    file = propose(
        parties,
        grants,
        witness=True,
        valid_from=now_ms - now_ms % 1000,
        valid_until=now_ms - now_ms % 1000 + 30 * _DAY_MS,
        key=city.keys.identity,
        now_ms=now_ms,
    )
    return file, open_agreement(file, now_ms=now_ms, signatures=1).id
