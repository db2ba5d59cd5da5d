"""One city of the demo: its database, its processes, and how far they have come."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from embedded.services import Services
from federation.publications.schedule import due
from federation.publications.slots import due_windows
from federation.wire import rfc3339
from ingest.cities import City, load_city
from node.clock import now_ms
from node.demo.certificates import Authority
from node.demo.children import Children, free_port
from schemas.catalogue import Metric, catalogue, leaving
from schemas.topics import FRAMES, REGIONS, live
from store.accounts import StreamAccount, receptions_by_metric, refusals_by_origin, stream_accounts
from store.database import Connection, connect, create_database
from store.partner_role import partner_login
from store.publishing import begins, cells_since, topic_state

LEAVING = leaving(catalogue().values(), catalogue())
"""The metrics that the cities publish: each has sources of every metric."""

PUBLISHED = tuple(sorted({metric.dataset for metric in LEAVING}))
"""The streams of which something leaves a city: each has a simulated source."""
STREAMS = (*PUBLISHED, FRAMES)
"""Every dataset that the demo carries."""

_METRICS_ROLES = ("meters", "waste", "cameras", "process", "detect", "publish", "pull")
HOST = "127.0.0.1"
"""Where every server of the demo listens."""

_PARTITIONS = "2"
"""Fewer than a city would choose: one processor reads all of them, and Kafka creates them sooner."""

_SOURCES = ("meters", "waste", "cameras")

_SPANS = ("--seconds", "10", "--still-seconds", "300")
"""Of the cameras: detection takes much processor time, and the figures of so few cameras are suppressed anyhow."""


@dataclass(frozen=True, slots=True)
class DemoCity:
    """A city of the demo. Its processes keep their files in `folder`.

    `port` is that of its own side, `public_port` that of its door for partners.
    """

    facts: City
    database_url: str
    port: int
    public_port: int
    metrics_ports: Mapping[str, int]
    folder: Path
    environment: Mapping[str, str]

    @property
    def id(self) -> str:
        """The city's id."""
        return self.facts.id

    @property
    def url(self) -> str:
        """Address of the city's own side."""
        return f"http://{HOST}:{self.port}"

    @property
    def public_url(self) -> str:
        """Address at which partners reach the city."""
        return f"https://{HOST}:{self.public_port}"

    def report(self, source: str) -> Path:
        """The file in which a simulator reports what it sent, once it has sent all."""
        return self.folder / f"sent-{source}.json"


@dataclass(frozen=True, slots=True)
class CityProgress:
    """How far a city has come, by dataset. `expected` holds what simulators sent whose replay is done."""

    streams: Mapping[str, StreamAccount]
    expected: Mapping[str, Mapping[str, int]]
    refused: Mapping[str, int]
    unpublished: int
    pulled: Mapping[tuple[str, str], int]

    def done(self, *, live: bool) -> bool:
        """Whether all that was replayed is accounted for and published. `live`: the sources go on after that."""
        if self.unpublished or not self.processed(live=live):
            return False
        return all(self.streams[dataset].publications for dataset in PUBLISHED)

    def processed(self, *, live: bool) -> bool:
        """Whether all that was replayed is accounted for."""
        if set(self.streams) != set(STREAMS):
            return False
        if any(stream.account.messages < self._replayed(dataset) for dataset, stream in self.streams.items()):
            return False
        # Regions are acknowledged before their pictures are accounted for: no more of them can follow.
        every = self.streams.values()
        return live or all(stream.account.messages >= stream.acknowledged.messages for stream in every)

    def _replayed(self, dataset: str) -> float:
        """Messages of a replay; infinity until its simulator is done. The number of regions is not known beforehand."""
        if dataset == REGIONS:
            return 1
        return self.expected.get(dataset, {}).get("messages", inf)

    def publications(self) -> int:
        """How many publications were made."""
        return sum(stream.publications for stream in self.streams.values())

    def describe(self) -> str:
        """One short line of progress."""
        if not self.streams:
            return "loading the register"
        known = sum(stream.account.readings for stream in self.streams.values())
        sent = sum(stream.acknowledged.readings for stream in self.streams.values())
        return f"{known / 1e6:.2f} of {sent / 1e6:.2f} M readings, {self.publications()} publications"


def prepare(name: str, number: int, services: Services, home: Path, authority: Authority) -> DemoCity:
    """Make the city's database, without tables yet, and its certificate, and choose its ports."""
    city = load_city(name)
    url = create_database(services.database_url, city.id.replace("-", "_"))
    folder = home / city.id
    folder.mkdir(parents=True, exist_ok=True)
    made = authority.certify(city.id, [HOST])
    environment = {
        "SISTERCITY_CITY": name,
        "SISTERCITY_EXCHANGE_CERT_FILE": str(made.certificate),
        "SISTERCITY_EXCHANGE_KEY_FILE": str(made.key),
        "SISTERCITY_PARTNER_CA_FILE": str(authority.certificate),
        "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
        "SISTERCITY_KAFKA": services.kafka,
        "SISTERCITY_DATABASE_URL": url,
        "SISTERCITY_HOME": str(folder),
        "SISTERCITY_PARTITIONS": _PARTITIONS,
    }
    ports = {role: free_port(9100 + 10 * number + index) for index, role in enumerate(_METRICS_ROLES)}
    prepared = DemoCity(city, url, free_port(8080 + number), free_port(8443 + number), ports, folder, environment)
    earlier = [prepared.report(source) for source in _SOURCES]
    for path in (*earlier, *folder.glob("ledger-*")):  # the ledger would say that this database was restored
        path.unlink(missing_ok=True)
    return prepared


def set_up(cities: Sequence[DemoCity], children: Children) -> None:
    """Make the tables and topics of all cities.

    Before any role starts: sixteen that find no topic and make it take the processors that Kafka needs to do so.
    """
    for city in cities:
        for role, arguments in (("topics", ["topics", "create"]), ("migrate", ["migrate"])):
            children.start(f"{city.id}-{role}", arguments, city.environment, lasting=False)
    children.join()


def start(city: DemoCity, children: Children, *, meters: int, follow: bool) -> None:
    """Start every role of a city but publisher, as what is replayed in seconds would miss its slots, and puller."""
    going_on = ["--follow"] if follow else []
    roles = {
        "serve": ["serve", "--port", str(city.port)],
        "serve-partners": ["serve-partners", "--port", str(city.public_port)],
        "process": ["process"],
        "detect": ["detect"],
        "meters": ["ingest", "simulate", "--meters", str(meters), "--report", str(city.report("meters")), *going_on],
        "waste": ["ingest", "simulate-waste", "--report", str(city.report("waste")), *going_on],
        "cameras": ["ingest", "simulate-cameras", *_SPANS, "--report", str(city.report("cameras")), *going_on],
    }
    for role, arguments in roles.items():
        _start(city, role, arguments, children, lasting=role not in _SOURCES or follow)


def start_publishing(city: DemoCity, since: Mapping[str, int], children: Children) -> None:
    """Start the publisher, which publishes each metric's windows that begin at its time or later."""
    chosen = [text for metric, start in since.items() for text in ("--since", f"{metric}={rfc3339(start)}")]
    _start(city, "publish", ["publish", "--every", "0.5", *chosen], children, lasting=True)


def start_pulling(city: DemoCity, children: Children) -> None:
    """Start the puller, which takes over what the other city has published."""
    _start(city, "pull", ["pull", "--follow", "--every", "0.5"], children, lasting=True)


def _start(city: DemoCity, role: str, arguments: Sequence[str], children: Children, *, lasting: bool) -> None:
    environment = dict(city.environment)
    if role == "serve-partners":
        environment["SISTERCITY_DATABASE_URL"] = _partner_database_url(city)
    if role in city.metrics_ports:
        environment["SISTERCITY_METRICS_PORT"] = str(city.metrics_ports[role])
    children.start(f"{city.id}-{role}", arguments, environment, lasting=lasting)


def _partner_database_url(city: DemoCity) -> str:
    """The city's database, as a role that can read what is agreed and no more."""
    with connect(city.database_url, name="sistercity demo") as connection:
        return partner_login(connection, city.database_url)


def replayed_since(connection: Connection, city: DemoCity) -> Mapping[str, int] | None:
    """Metric -> the start of its first replayed window; None until every window that is due has been passed.

    `connection` is one to the city's database.
    """
    since = {metric: start for metric, start in cells_since(connection).items() if metric in catalogue()}
    return since if all(_passed(connection, city, metric, since) for metric in LEAVING) else None


def _passed(connection: Connection, city: DemoCity, metric: Metric, since: Mapping[str, int]) -> bool:
    reached = topic_state(connection, live(city.id, metric.dataset)).event_time
    if reached is None or metric.name not in since:
        return False
    windows = due_windows(metric, city.facts.zone, since[metric.name], now_ms())
    return all(window.end <= reached - metric.lateness_ms for window in windows)


def read_progress(connection: Connection, city: DemoCity) -> CityProgress:
    """Read a city's progress from its database, to which `connection` leads, and from its simulators' reports."""
    topics = {live(city.id, dataset): dataset for dataset in STREAMS}
    return CityProgress(
        streams={topics[found.topic]: found for found in stream_accounts(connection) if found.topic in topics},
        expected=_expected(city),
        refused=_by_dataset(refusals_by_origin(connection)),
        unpublished=_unpublished(connection, city),
        pulled=_pulled(connection),
    )


def _expected(city: DemoCity) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, Mapping[str, int]] = {}
    for source in _SOURCES:
        if city.report(source).exists():
            found |= json.loads(city.report(source).read_text())
    return found


def _by_dataset(refused: Mapping[str, int]) -> Mapping[str, int]:
    """Counts by dataset. The origin of a simulator's refused readings ends with the metric."""
    counts = dict.fromkeys(STREAMS, 0)
    for origin, count in refused.items():
        counts[_dataset_of(origin.rpartition("/")[2])] += count
    return counts


def _dataset_of(metric: str) -> str:
    dataset = catalogue()[metric].dataset
    return FRAMES if metric == "traffic.regions" else dataset


def _pulled(connection: Connection) -> Mapping[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for (city, metric), count in receptions_by_metric(connection).items():
        key = (city, catalogue()[metric].dataset)
        counts[key] = counts.get(key, 0) + count
    return counts


def _unpublished(connection: Connection, city: DemoCity) -> int:
    """How many windows are due and not published, or how many metrics of which none is published yet."""
    begun = begins(connection)
    metrics = LEAVING
    waiting = sum(metric.name not in begun for metric in metrics)
    return waiting or len(due(connection, metrics, city.facts.zone, now_ms(), 1000))
