"""Two cities that have agreed: what one has published reaches the other, signed, and verified by the real client."""

import asyncio
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from federation.city import CityFacts
from federation.partners.bundles import export_bundle
from federation.partners.pulling import Pulled, Pulling, present_ms, pull_bundle
from federation.publications.chain import ChainEnd
from federation.publications.heads import sign_head
from schemas.catalogue import published
from store.agreements import InstalledAgreement, MetricGrant, in_force, install
from store.database import Connection, connect
from store.heads import StoredHead, save_head
from store.identities import save_own_identity
from tests.federation.city import T0
from tests.federation.identity.cities import DAY, SigningCity, online

_AGREEMENT = "A" * 22


def hand_over(giver_url: str, giver: CityFacts, taker_url: str, taker: str) -> Pulled:
    """Sign a head of all that the giver has published, and let the taker take it as a bundle; they agree at first."""
    ours, theirs, now = _keys(giver.id), _keys(taker), present_ms()
    with connect(giver_url) as connection:
        _settle(connection, ours, theirs, now, "given")
        _sign(connection, ours, now)
    with connect(taker_url) as connection:
        _settle(connection, theirs, ours, now, "received")
    with TemporaryDirectory() as folder:
        path = Path(folder, "bundle.tar")
        export_bundle(giver_url, _AGREEMENT, giver, path)
        pulled = asyncio.run(pull_bundle(Pulling(taker_url, [theirs.access]), path))
    assert pulled.failure is None, pulled.failure
    return pulled


@cache
def _keys(city: str) -> SigningCity:
    return SigningCity(city)


def _settle(
    connection: Connection, own: SigningCity, other: SigningCity, now: int, direction: Literal["given", "received"]
) -> None:
    """Every metric, without a delay, from long before the cities' first windows."""
    if in_force(connection):
        return
    terms = {"issued_at": now - DAY, "expires_at": now + 80 * DAY}
    keys = [
        online("publish", own.publish, now - DAY, now + 90 * DAY),
        online("access", own.access, now - DAY, now + 90 * DAY),
    ]
    save_own_identity(connection, own.thumbprint, own.city, 1, own.document(keys=keys, **terms), terms["expires_at"])
    grants = tuple(MetricGrant(direction, metric, T0 - 400 * DAY, 0, 3660) for metric in published())
    terms_ = (now - DAY, now + 60 * DAY, False, 600, 2**30, 4, grants)
    agreement = InstalledAgreement(_AGREEMENT, 1, own.thumbprint, other.thumbprint, other.city, b"", "", (), *terms_)
    install(connection, agreement, None)


def _sign(connection: Connection, keys: SigningCity, now: int) -> None:
    row = connection.execute("SELECT id::text, (SELECT coalesce(max(number), 0) FROM heads) FROM publication_log")
    [(log, number)] = row.fetchall()
    entries = connection.execute("SELECT metric, sequence, entry FROM publications ORDER BY position").fetchall()
    ends = {metric: ChainEnd(sequence, sha256(entry).hexdigest()) for metric, sequence, entry in entries}
    terms = {"city": keys.city, "log": log, "number": number + 1, "position": len(entries), "ends": ends}
    document = sign_head(keys.publish, **terms, audit=None, now_ms=now)
    save_head(connection, StoredHead(number + 1, now, now + 7 * DAY, document))
