"""Generated cities: publications, partners and agreements of every kind, and what each agreement opens.

The oracle decides over the objects that were generated, one by one, in Python; what it is compared with reads the
database. Times lie half an hour or more from `now`, so that a test may take its time.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal

from schemas.catalogue import catalogue
from store.agreements import InstalledAgreement, MetricGrant, install, revoke
from store.database import Connection
from store.identities import save_revocation
from store.inspection import clock
from store.publications import Header, Kind, PublishedCell, Window, append
from tests.federation.city import found_areas

HOUR = 3_600_000
METRICS = ("energy.import", "energy.solar", "traffic.passes", "waste.fill")
OWN = "our-identity"
WINDOWS = 12

Ending = Literal["none", "over", "later", "revoked", "identity-revoked"]
ENDINGS: tuple[Ending, ...] = ("none", "none", "none", "over", "later", "revoked", "identity-revoked")


@dataclass
class Publication:
    """A publication as it was made. `erased`: a withdrawal came after it. `figures`: area -> value."""

    header: Header
    entry: bytes | None
    body: bytes | None
    figures: dict[int, int | None]
    erased: bool = False

    @property
    def hash(self) -> str:
        assert self.body is not None
        return sha256(self.body).hexdigest()

    def shown(self, area: int) -> int | None:
        return None if self.erased else self.figures[area]


@dataclass
class Agreed:
    """An agreement in all its versions, as it was made, and how it ended."""

    versions: list[InstalledAgreement]
    ending: Ending

    @property
    def id(self) -> str:
        return self.versions[0].id


@dataclass
class World:
    """A city with its publications and agreements."""

    now: int
    publications: list[Publication] = field(default_factory=list)
    agreements: list[Agreed] = field(default_factory=list)

    def holds(self, agreed: Agreed) -> InstalledAgreement | None:
        """The version that is in force."""
        if agreed.ending in ("revoked", "identity-revoked"):
            return None
        newest = None
        for version in agreed.versions:
            if version.valid_from <= self.now:
                newest = version
        return newest if newest is not None and self.now < newest.valid_until else None

    def given(self, agreed: Agreed, metric: str) -> MetricGrant | None:
        version = self.holds(agreed)
        for grant in () if version is None else version.grants:
            if grant.metric == metric and grant.direction == "given":
                return grant
        return None

    def entries(self, agreed: Agreed, metric: str) -> list[Publication]:
        """The publications whose entries an agreement opens, in order."""
        if self.given(agreed, metric) is None:
            return []
        return [each for each in self.publications if each.header.metric == metric and each.entry is not None]

    def bodies(self, agreed: Agreed, metric: str) -> list[Publication]:
        """The publications whose bodies an agreement opens, whether they were erased or not, in order."""
        grant = self.given(agreed, metric)
        if grant is None:
            return []
        found = []
        for each in self.entries(agreed, metric):
            late_enough = each.header.published_at <= self.now - grant.delay_seconds * 1000
            if each.header.kind == "withdrawal" or (late_enough and each.header.window.start >= grant.since):
                found.append(each)
        return found


def generated(connection: Connection, seed: int, agreements: int) -> World:
    """A city and so many agreements, in the database and as objects."""
    chance = random.Random(seed)
    world = World(clock(connection) // 1000 * 1000)
    areas = {metric: found_areas(connection, [10, 20], metric) for metric in METRICS}
    for header in _headers(chance, world.now):
        _publish(connection, world, header, areas[header.metric])
    for number in range(agreements):
        agreed = _agreement(chance, world.now, f"agreement-{seed}-{number}", f"city-{number}")
        world.agreements.append(agreed)
        for before, version in zip([None, *agreed.versions], agreed.versions, strict=False):
            install(connection, version, None if before is None else before.hash)
        if agreed.ending == "revoked":
            revoke(connection, agreed.id, "it has ended")
        if agreed.ending == "identity-revoked":
            save_revocation(connection, agreed.versions[0].partner, "a statement")
    return world


def clear(connection: Connection) -> None:
    """Make the database that of a city that has published nothing and agreed on nothing."""
    connection.execute(
        "TRUNCATE publications, published_cells, publication_sequences, area_versions, agreements, grants,"
        " agreement_revocations, identity_revocations, access_tokens, assertions CASCADE"
    )
    connection.execute("UPDATE publication_log SET position = 0, id = gen_random_uuid()")


def _headers(chance: random.Random, now: int) -> Iterator[Header]:
    """Publications of all metrics in the order in which they were made: some corrected, some withdrawn."""
    begin = _at(chance, now, -900, -100)
    sequences = dict.fromkeys(METRICS, 0)
    newest: dict[tuple[str, int], int] = {}
    for turn in range(WINDOWS * len(METRICS)):
        metric, start = chance.choice(METRICS), begin + turn * chance.choice((1, 2, 24)) * HOUR
        made: list[tuple[Kind, int]] = [] if (metric, start) in newest else [("publication", start)]
        earlier = [known for of, known in newest if of == metric and newest[of, known] >= 0]
        if earlier and chance.random() < 0.3:
            made.append((chance.choice(("correction", "withdrawal")), chance.choice(earlier)))
        for kind, of in made:
            sequences[metric] += 1
            revision = newest.get((metric, of), -1) + 1
            newest[metric, of] = -1 if kind == "withdrawal" else revision
            at = min(start + chance.choice((1, 2, 48)) * HOUR, now - HOUR // 2)
            reason = "it was wrong" if kind == "withdrawal" else None
            yield Header(
                *(sum(sequences.values()), metric, sequences[metric], Window(of, of + HOUR), revision, at, kind, reason)
            )


def _publish(connection: Connection, world: World, header: Header, areas: list[int]) -> None:
    withdrawn = header.kind == "withdrawal"
    class_ = catalogue()[header.metric].classes[0]
    figures = {area: None if withdrawn else header.position * 1000 + index for index, area in enumerate(areas)}
    cells = [
        PublishedCell(
            area, class_, None if withdrawn else value, None if withdrawn else "high", "rule", False, withdrawn
        )
        for area, value in figures.items()
    ]
    had_entries = header.position > 3  # before the ledger began, there were none
    entry = f'{{"entry":{header.position}}}'.encode() if had_entries else None
    body = f'{{"body":{header.position}}}'.encode() if had_entries else None
    hash_ = None if body is None else sha256(body).hexdigest()
    append(connection, header, "a topic", cells, left_at=header.published_at, entry=entry, body=body, body_hash=hash_)
    if withdrawn:
        for before in world.publications:
            if (before.header.metric, before.header.window.start) == (header.metric, header.window.start):
                before.erased = before.header.kind != "withdrawal"
    world.publications.append(Publication(header, entry, body, figures))


def _agreement(chance: random.Random, now: int, id_: str, city: str) -> Agreed:
    """An agreement with this city; some were renewed with other terms, whose time has come or not, or is over."""
    ending = chance.choice(ENDINGS)
    first = InstalledAgreement(
        *(id_, 1, OWN, f"identity of {city}", city, b"{}", f"{id_} 1", ("https://city.example",)),
        *(_at(chance, now, -900, -500), _at(chance, now, 500, 900)),
        chance.random() < 0.5,
        *(600_000, 2**40, 100),
        _grants(chance, now),
    )
    if ending == "later":
        first = replace(first, valid_from=_at(chance, now, 0, 400))
    if ending == "over":
        first = replace(first, valid_until=_at(chance, now, -400, 0))
    if ending in ("later", "over") or chance.random() < 0.5:
        return Agreed([first], ending)
    start, end = chance.choice(((-400, 500), (-400, 500), (100, 500), (-400, -100)))
    second = replace(
        first,
        version=2,
        hash=f"{id_} 2",
        grants=_grants(chance, now),
        valid_from=_at(chance, now, start, start + 99),
        valid_until=_at(chance, now, end, end + 99),
    )
    return Agreed([first, second], ending)


def _grants(chance: random.Random, now: int) -> tuple[MetricGrant, ...]:
    directions: tuple[Literal["given", "received"], ...] = ("given", "received")
    return tuple(
        MetricGrant(direction, metric, _since(chance, now), chance.choice((0, 0, 3600, 86_400, 20 * 86_400)), 3660)
        for direction in directions
        for metric in sorted(chance.sample(METRICS, chance.randrange(len(METRICS))))
    )


def _since(chance: random.Random, now: int) -> int:
    within_a_window = chance.choice((0, 0, HOUR // 2))
    first, last = chance.choice(((-900, 0), (-300, 0), (0, 100)))
    return chance.choice((0, _at(chance, now, first, last) + within_a_window))


def _at(chance: random.Random, now: int, first: int, last: int) -> int:
    """Half an hour after one of these hours from now on."""
    return now + chance.randrange(first, last) * HOUR + HOUR // 2
