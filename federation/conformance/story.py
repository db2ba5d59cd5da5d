"""A small city, and what it tells: a catalogue, entries, bodies and a head, all true. Pure, but for new keys.

It publishes one metric of two areas by the hour. Its first story has two publications, a correction and a withdrawal;
each later one goes on by another hour. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from joserfc.jwk import OKPKey

from federation import jose
from federation.identity.document import OnlineKey, sign_identity
from federation.publications.catalogues import catalogue_bytes
from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.heads import LASTS_MS
from federation.publications.slots import slot
from federation.strict_json import dumps, loads
from federation.wire import rfc3339
from schemas.catalogue import Metric, published
from store.publication_log import PublishedArea
from store.publications import Header, Kind, PublishedCell, Window

METRIC = "energy.import"

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
ZONE = "UTC"
_PEOPLE = (84_000, 61_000)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CityKeys:
    """The private keys of a city."""

    identity: OKPKey = field(default_factory=jose.new_key)
    publish: OKPKey = field(default_factory=jose.new_key)
    access: OKPKey = field(default_factory=jose.new_key)

    @property
    def thumbprint(self) -> str:
        """The city's identity."""
        return jose.thumbprint(self.identity)


@dataclass(frozen=True, slots=True)
class Told:
    """A publication: what its entry says, and what its body holds."""

    header: Header
    cells: tuple[PublishedCell, ...]


@dataclass(slots=True)
class Story:
    """Everything that a node answers with. `bodies`: hash of the body -> metric, sequence and bytes (None: gone).

    `head` are the fields of the head, which `sign` signs.
    """

    city: str
    identity: str
    catalogue: Json
    entries: list[bytes]
    bodies: dict[str, tuple[str, int, bytes | None]]
    head: Json
    sign: Callable[[bytes], str]

    def signed_head(self) -> str:
        """The head as compact JWS."""
        return self.sign(dumps(self.head))


@dataclass(frozen=True, slots=True)
class SmallCity:
    """A city that began to publish at the midnight (UTC) two days before `began_ms`."""

    city: str
    address: str
    began_ms: int
    keys: CityKeys = field(default_factory=CityKeys)

    @property
    def metric(self) -> Metric:
        """The metric that it publishes."""
        return published()[METRIC]

    def identity(self, version: int = 1, now_ms: int | None = None, **changed: Any) -> str:
        """The identity document."""
        now = self.began_ms if now_ms is None else now_ms
        fields: dict[str, Any] = {
            "city": self.city,
            "name": self.city.title(),
            "addresses": [self.address],
            "contact": f"operator of {self.city}",
            "version": version,
            "issued_at": now,
            "expires_at": now + 30 * _DAY_MS,
            "keys": [self._online("publish", self.keys.publish), self._online("access", self.keys.access)],
        }
        return sign_identity(self.keys.identity, **fields | changed)

    def _online(self, use: Any, key: OKPKey) -> OnlineKey:
        public = jose.public_key(jose.jwk_of(key))
        return OnlineKey(use, jose.thumbprint(key), self.began_ms - 10 * _DAY_MS, self.began_ms + 100 * _DAY_MS, public)

    def catalogue(self) -> Json:
        """The catalogue of the metric."""
        since = self.began_ms - self.began_ms % _DAY_MS - 30 * _DAY_MS
        areas = [PublishedArea(number, f"District {number}", people, since) for number, people in enumerate(_PEOPLE, 1)]
        return dict(loads(catalogue_bytes(self.metric, areas, ZONE)))

    def told(self, visit: int) -> list[Told]:
        """What it has published by the nth visit, from 1 on."""
        first, second = self._hour(1, 0), self._hour(2, 1)
        later = first.header.published_at + _HOUR_MS
        corrected = replace(first.header, position=3, sequence=3, revision=1, published_at=later, kind="correction")
        taken = replace(
            second.header,
            position=4,
            sequence=4,
            revision=1,
            published_at=later + _HOUR_MS,
            kind="withdrawal",
            reason="the meters of a district were read twice",
        )
        withdrawn = tuple(replace(cell, value=None, coverage=None, withdrawn=True) for cell in second.cells)
        more = [self._hour(3 + number, number) for number in range(2, visit + 1)]
        return [first, second, Told(corrected, self._cells(0, 3_600_000_000)), Told(taken, withdrawn), *more]

    def _hour(self, sequence: int, hour: int, kind: Kind = "publication") -> Told:
        start = self.began_ms - self.began_ms % _DAY_MS - 2 * _DAY_MS + hour * _HOUR_MS
        window = Window(start, start + _HOUR_MS)
        header = Header(sequence, METRIC, sequence, window, 0, slot(self.metric, window), kind)
        return Told(header, self._cells(hour))

    def _cells(self, hour: int, more: int = 0) -> tuple[PublishedCell, ...]:
        rule, value = self.metric.rule, 360_000_000 * (1000 + hour) + more
        return (
            PublishedCell(1, "commercial", None, None, rule),
            PublishedCell(1, "residential", value, "high", rule),
            PublishedCell(2, "commercial", None, None, rule, incomplete=True),
            PublishedCell(2, "residential", value // 2 // 360_000_000 * 360_000_000, "medium", rule),
        )

    def story(self, visit: int, now_ms: int, told: list[Told] | None = None, catalogue: Json | None = None) -> Story:
        """What it answers at the nth visit; of these publications, if other ones than the true ones are given."""
        defined = self.catalogue() if catalogue is None else catalogue
        entries, bodies, end = self._chain(self.told(visit) if told is None else told, digest(dumps(defined)))
        head = {
            "format": 1,
            "city": self.city,
            "log": str(UUID(bytes=sha256(self.keys.thumbprint.encode()).digest()[:16], version=4)),
            "number": visit,
            "position": end.sequence,
            "issued_at": rfc3339(now_ms),
            "expires_at": rfc3339(now_ms + LASTS_MS),
            "metrics": {METRIC: {"sequence": end.sequence, "hash": end.hash}},
            "audit": None,
        }
        identity = self.identity()
        return Story(self.city, identity, defined, entries, bodies, head, self._sign)

    def _sign(self, payload: bytes) -> str:
        return jose.sign(payload, self.keys.publish, "sistercity-head")

    def _chain(
        self, told: list[Told], catalogue: str
    ) -> tuple[list[bytes], dict[str, tuple[str, int, bytes | None]], ChainEnd]:
        entries, bodies, end = [], {}, ChainEnd(0, None)
        gone = {piece.header.window for piece in told if piece.header.kind == "withdrawal"}
        for piece in told:
            header = piece.header
            salt = sha256(f"{self.city} {header.sequence}".encode()).hexdigest()[:32]
            body = body_bytes(header, self.metric.smallest_unit, piece.cells, salt)
            line = entry_bytes(PublicationEntry(self.city, header, end.hash, digest(body), catalogue))
            kept = None if header.window in gone and header.kind != "withdrawal" else body
            entries.append(line)
            bodies[digest(body)] = (header.metric, header.sequence, kept)
            end = ChainEnd(header.sequence, digest(line))
        return entries, bodies, end
