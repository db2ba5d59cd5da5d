"""How long a city needs to pull and to verify a year of a partner: an hourly metric, and one of days.

The year lies in one database, behind the partner API, in a process of its own. The product's puller, in a new process,
brings it into another database of the same PostgreSQL, over a real socket, with identities, token, agreement and audit.
Then, in the same process:

* `pull`: everything from the first request to the last commit;
* `parse`: the bodies that were stored, parsed alone (`json.loads`), for comparison;
* `verify`: chains, heads and bodies, from the database, as `sistercity verify` does.

Each is given by the clock and as processor time of the puller's process (`cpu`), without PostgreSQL's and the server's.
`peak_memory_mb` is the puller's at the end of `pull`, and at its beginning. Ends without a figure if what was stored is
not the year, signed to its end.

    nice make bench ONLY=pull
    nice .venv/bin/python -m benchmarks.pull --publications 8760
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from joserfc.jwk import OKPKey

from api.exchange.app import create_partner_api
from api.serving import BoundedServer, Listening
from benchmarks.result import Measuring, ResultTable, peak_mb
from benchmarks.timed import Spent, now, own_services
from federation import jose
from federation.city import CityFacts
from federation.identity.changes import listed
from federation.identity.document import open_identity, sign_identity
from federation.identity.keys import read_key, write_key
from federation.partners.limits import Network
from federation.partners.pulling import Pulling, pull
from federation.publications.catalogues import CatalogueKeeper
from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.ledger import Beginning, LedgerState
from federation.publications.signing import Signer
from federation.publications.verifying import verified_heads, verify_chains
from schemas.catalogue import Metric, published
from store.agreements import InstalledAgreement, MetricGrant, install
from store.database import Connection, connect, create_database
from store.identities import save_identity, save_own_identity
from store.migrations import migrate
from store.moments import moment
from store.partner_role import partner_login
from store.publications import Header, PublishedCell, Window
from store.recovery import log_facts
from store.verification import catalogue_hashes, heads_seen, one_state, partner_cities, partner_entries

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HOURLY, DAILY = published()["energy.import"], published()["waste.collected"]
AGREEMENT = "A" * 22
CITY = CityFacts("bench", "Bench", {}, "IR", "UTC", 1_000_000, (), 15)
_SALT = "0" * 32


@dataclass(frozen=True)
class SignedCity:
    """A city's keys and its identity document."""

    city: str
    publish: OKPKey
    access: OKPKey
    thumbprint: str
    document: str
    expires_at: int


def signed_city(city: str, now_ms: int) -> SignedCity:
    """A city with new keys, whose document is valid for 90 days."""
    identity, publish, access = jose.new_key(), jose.new_key(), jose.new_key()
    expires_at = now_ms + 90 * DAY_MS
    document = sign_identity(
        identity,
        city=city,
        name=city.title(),
        addresses=[f"https://{city}.example"],
        contact=f"exchange@{city}.example",
        version=1,
        issued_at=now_ms,
        expires_at=expires_at,
        keys=[listed("publish", publish, now_ms), listed("access", access, now_ms)],
    )
    return SignedCity(city, publish, access, jose.thumbprint(identity), document, expires_at)


def know(connection: Connection, own: SignedCity, other: SignedCity, addresses: tuple[str, ...]) -> None:
    """Both identities, and the agreement on both metrics as `own` has it, which gives where it has no address to ask.

    Its limits are those of an ordinary agreement.
    """
    save_own_identity(connection, own.thumbprint, own.city, 1, own.document, own.expires_at)
    save_identity(connection, other.thumbprint, other.city, 1, other.document, other.expires_at)
    direction: Literal["received", "given"] = "received" if addresses else "given"
    grants = tuple(MetricGrant(direction, metric.name, 0, 0, 3660) for metric in (HOURLY, DAILY))
    agreement = InstalledAgreement(
        *(AGREEMENT, 1, own.thumbprint, other.thumbprint, other.city, b"", "", addresses),
        *(own.expires_at - 91 * DAY_MS, own.expires_at, False, 600, 2**30, 4, grants),
    )
    install(connection, agreement, None)


def areas_of(connection: Connection, metric: Metric, count: int, since: int) -> list[int]:
    """Make so many areas of a metric; returns their numbers."""
    rows = connection.execute(
        "WITH made AS (INSERT INTO area_versions (metric, valid_from) VALUES (%s, %s) RETURNING version)"
        " INSERT INTO areas (version, name, population) SELECT version, 'Area ' || n, 1000"
        " FROM made, generate_series(1, %s) AS n RETURNING number",
        (metric.registered_as, moment(since), count),
    )
    return sorted(int(number) for (number,) in rows)


class Publishing:
    """Publications one after the other, all cells released; no ledger keeps them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._catalogues = CatalogueKeeper(connection, CITY.zone)
        beginning = Beginning(CITY.id, log_facts(connection).id)
        self.state = LedgerState(beginning, 0, {})
        self.size = 0
        self._rows: list[tuple[object, ...]] = []

    def publish(self, metric: Metric, window: Window, areas: list[int]) -> None:
        """Make the next publication of a metric."""
        end = self.state.ends.get(metric.name, ChainEnd(0, None))
        header = Header(self.state.position + 1, metric.name, end.sequence + 1, window, 0, window.end)
        cells = [
            PublishedCell(area, class_, (area + end.sequence) * 1234 * metric.base, "high", metric.rule)
            for area in areas
            for class_ in sorted(metric.classes)
        ]
        body = body_bytes(header, metric.smallest_unit, cells, _SALT)
        entry = PublicationEntry(CITY.id, header, end.hash, digest(body), self._catalogues.keep(metric))
        line = entry_bytes(entry)
        self._rows.append(
            (
                *(header.position, header.metric, header.sequence, moment(window.start), moment(window.end)),
                *(moment(window.end), moment(window.end), line, body, entry.body),
            )
        )
        self.size += len(body)
        self.state = self.state.following(entry, line)

    def store(self) -> None:
        """Store what was published, without its cells in columns: partners are given the bytes of the bodies."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO publications (position, metric, sequence, window_start, window_end, revision, topic,"
                " published_at, left_at, kind, whole, entry, body, body_hash)"
                " VALUES (%s, %s, %s, %s, %s, 0, 'bench', %s, %s, 'publication', true, %s, %s, %s)",
                self._rows,
            )
            cursor.execute("UPDATE publication_log SET position = %s", (self.state.position,))


def publish_year(connection: Connection, city: SignedCity, publications: int, areas: int, now_ms: int) -> int:
    """Publish so many hours, the days in them, and a head. Returns the bytes of all bodies."""
    begin = (now_ms // DAY_MS - publications // 24 - 1) * DAY_MS
    numbers = {metric.name: areas_of(connection, metric, areas, begin) for metric in (HOURLY, DAILY)}
    publishing = Publishing(connection)
    for hour in range(publications):
        start = begin + hour * HOUR_MS
        publishing.publish(HOURLY, Window(start, start + HOUR_MS), numbers[HOURLY.name])
        if hour % 24 == 23:
            publishing.publish(DAILY, Window(start + HOUR_MS - DAY_MS, start + HOUR_MS), numbers[DAILY.name])
    publishing.store()
    if Signer(lambda: [city.publish]).sign(connection, city.city, publishing.state, now_ms) is None:
        raise SystemExit("no head was signed")
    connection.execute("ANALYZE")
    return publishing.size


@contextmanager
def served(url: str) -> Iterator[str]:
    """The partner API of the database at `url`, in a process of its own; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(url, listening))
        process.start()
    try:
        yield address
    finally:
        process.terminate()
        process.join()


def _serve(url: str, listening: socket.socket) -> None:
    BoundedServer(create_partner_api(CITY, url), Listening("127.0.0.1", 0), log_level="error").run([listening])


def verify(url: str) -> tuple[int, int]:
    """Verify what is stored of the partner; its entries and bodies. Raises what `sistercity verify` does."""
    with connect(url) as connection, one_state(connection):
        catalogues = {hash_ for hash_, content in catalogue_hashes(connection) if digest(content) == hash_}
        [partner] = partner_cities(connection)
        assert partner.document is not None
        identity = open_identity(partner.document, pinned=partner.thumbprint, now_ms=None)
        heads, _ = verified_heads(heads_seen(connection, partner.thumbprint), identity)
        rows = partner_entries(connection, partner.thumbprint)
        chains = verify_chains(partner.city, heads, rows, catalogues, whole=False)
    if any(chain.signed != chain.last or chain.uncatalogued for chain in chains):
        raise SystemExit("not everything that was stored is signed and has its catalogue")
    return sum(chain.entries for chain in chains), sum(chain.bodies for chain in chains)


def parse(url: str) -> Spent:
    """Time to parse the stored bodies, without reading them."""
    with connect(url) as connection:
        bodies = [bytes(body) for (body,) in connection.execute("SELECT body FROM partner_bodies")]
    begun = now()
    for body in bodies:
        json.loads(body)
    return now() - begun


def _pull(url: str, key: Path, expected: int, output: Path) -> None:
    """What the puller's process does; its figures are in `output`, as JSON."""
    begun_mb = round(peak_mb())
    pulling = Pulling(url, [read_key(key, "access")], network=Network(private_addresses=True))
    begun = now()
    [done] = asyncio.run(pull(pulling))
    pulled = now() - begun
    pulled_mb = round(peak_mb())
    if done.failure is not None or done.result is None:
        raise SystemExit(f"the pull failed: {done.failure}")
    parsed = parse(url)
    begun = now()
    counted = verify(url)
    verified = now() - begun
    if not expected == done.result.entries == done.result.bodies == counted[0] == counted[1]:
        raise SystemExit(f"{expected} publications, but {done.result} and {counted} verified")
    spent = {name: asdict(each) for name, each in (("pull", pulled), ("parse", parsed), ("verify", verified))}
    seconds = {name: {unit: round(value, 2) for unit, value in each.items()} for name, each in spent.items()}
    output.write_text(json.dumps({**seconds, "peak_memory_mb": {"begun": begun_mb, "pulled": pulled_mb}}))


def run(server_url: str, publications: int, areas: int) -> Mapping[str, object]:
    """All figures of one pull of so many hours, with the days in them."""
    giving, taking = (create_database(server_url, f"bench_{name}") for name in ("giving", "taking"))
    now_ms = time.time_ns() // 1_000_000
    giver, taker = signed_city(CITY.id, now_ms), signed_city("taker", now_ms)
    for url in (giving, taking):
        migrate(url)
    with connect(giving) as connection:
        know(connection, giver, taker, ())
        size = publish_year(connection, giver, publications, areas, now_ms)
        role_url = partner_login(connection, giving)
    with TemporaryDirectory() as folder, served(role_url) as address:
        with connect(taking) as connection:
            know(connection, taker, giver, (address,))
        key, output = Path(folder, "access.key"), Path(folder, "figures.json")
        write_key(key, taker.access, "access", taker.city)
        expected = publications + publications // 24
        terms = (taking, key, expected, output)
        process = multiprocessing.get_context("spawn").Process(target=_pull, args=terms)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the puller's process has failed")
        figures = json.loads(output.read_text())
    return {
        "publications": expected,
        "cells_per_publication": {metric.name: areas * len(metric.classes) for metric in (HOURLY, DAILY)},
        "megabytes": round(size / 1e6, 1),
        **figures,
    }


def tables(figures: Mapping[str, Any]) -> Sequence[ResultTable]:
    """The steps, which are the mappings with the time by the clock, and all other figures."""
    steps, others = [], []
    for name, figure in figures.items():
        if not isinstance(figure, Mapping):
            others.append((name, figure))
        elif "wall" in figure:
            steps.append((name, figure["wall"], figure["cpu"]))
        else:
            others += [(f"{name}, {part}", value) for part, value in figure.items()]
    return [
        ResultTable("Seconds of each step", ["step", "by the clock", "processor time"], steps),
        ResultTable("Size and memory", ["what", "how much"], others),
    ]


def measure_year(
    name: str, title: str, description: str | None, run: Callable[[str, int, int], Mapping[str, Any]]
) -> None:
    """Measure with services of its own and write the result. `run` takes database, publications and areas."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--publications", type=int, default=8760, help="hours; a day is one publication more")
    parser.add_argument("--areas", type=int, default=23, help="of each metric; the hourly one has two classes in each")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    measuring = Measuring(name, title, "publication", {"areas": given.areas}, seed=None)
    with own_services(given.installed) as services:
        figures = run(services.database_url, given.publications, given.areas)
    measuring.tables += tables(figures)
    measuring.write(given.output)


if __name__ == "__main__":
    measure_year("pull", "A partner's year, pulled and verified", __doc__, run)
