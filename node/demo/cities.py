"""One city of the demo: its database, its processes, and how far they have come."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from embedded.services import Services
from ingest.cities import City, load_city
from node.demo.children import Children, free_port
from schemas.catalogue import catalogue, datasets, metrics_of
from schemas.topics import FRAMES, REGIONS, live
from store.accounts import StreamAccount, receptions_by_metric, refusals_by_origin, stream_accounts
from store.database import Connection, connect, create_database
from store.publications import ready_windows

STREAMS = (*datasets(), FRAMES)
"""Every dataset that the demo carries."""

_METRICS_ROLES = ("meters", "waste", "cameras", "process", "detect", "publish", "pull")
_PARTITIONS = "4"
"""Fewer than a city would choose: one processor reads all of them, and Kafka creates them sooner."""

_SOURCES = ("meters", "waste", "cameras")


@dataclass(frozen=True, slots=True)
class DemoCity:
    """A city of the demo. Its processes keep their files in `folder`."""

    facts: City
    database_url: str
    port: int
    metrics_ports: Mapping[str, int]
    folder: Path
    environment: Mapping[str, str]

    @property
    def id(self) -> str:
        """The city's id."""
        return self.facts.id

    @property
    def url(self) -> str:
        """Address of the city's API."""
        return f"http://127.0.0.1:{self.port}"

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
        if self.unpublished or set(self.streams) != set(STREAMS):
            return False
        if any(stream.account.messages < self._replayed(dataset) for dataset, stream in self.streams.items()):
            return False
        if any(not self.streams[dataset].publications for dataset in datasets()):
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


def prepare(name: str, number: int, services: Services, home: Path) -> DemoCity:
    """Make the city's database, without tables yet, and choose its ports."""
    city = load_city(name)
    url = create_database(services.database_url, city.id.replace("-", "_"))
    folder = home / city.id
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "SISTERCITY_CITY": name,
        "SISTERCITY_KAFKA": services.kafka,
        "SISTERCITY_DATABASE_URL": url,
        "SISTERCITY_HOME": str(folder),
        "SISTERCITY_PARTITIONS": _PARTITIONS,
    }
    ports = {role: free_port(9100 + 10 * number + index) for index, role in enumerate(_METRICS_ROLES)}
    prepared = DemoCity(city, url, free_port(8080 + number), ports, folder, environment)
    for source in _SOURCES:
        prepared.report(source).unlink(missing_ok=True)  # an earlier demo's
    return prepared


def set_up(cities: Sequence[DemoCity], children: Children) -> None:
    """Make the tables and topics of all cities.

    Before any role starts: sixteen that find no topic and make it take the processors that Kafka needs to do so.
    """
    for city in cities:
        for role, arguments in (("topics", ["topics", "create"]), ("migrate", ["migrate"])):
            children.start(f"{city.id}-{role}", arguments, city.environment, lasting=False)
    children.join()


def start(city: DemoCity, partner: DemoCity, children: Children, *, meters: int, follow: bool) -> None:
    """Start every role of a city."""
    going_on = ["--follow"] if follow else []
    roles = {
        "serve": ["serve", "--port", str(city.port)],
        "process": ["process"],
        "detect": ["detect"],
        "meters": ["ingest", "simulate", "--meters", str(meters), "--report", str(city.report("meters")), *going_on],
        "waste": ["ingest", "simulate-waste", "--report", str(city.report("waste")), *going_on],
        "cameras": ["ingest", "simulate-cameras", "--report", str(city.report("cameras")), *going_on],
        "publish": ["publish", "--every", "0.5"],
        "pull": ["pull", partner.url, "--follow", "--every", "1"],
    }
    for role, arguments in roles.items():
        environment = dict(city.environment)
        if role in city.metrics_ports:
            environment["SISTERCITY_METRICS_PORT"] = str(city.metrics_ports[role])
        children.start(f"{city.id}-{role}", arguments, environment, lasting=role not in _SOURCES or follow)


def read_progress(city: DemoCity) -> CityProgress:
    """Read a city's progress from its database and from its simulators' reports."""
    topics = {live(city.id, dataset): dataset for dataset in STREAMS}
    with connect(city.database_url, name="sistercity demo") as connection:
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
    """How many windows are ready to be published, counting at most one for each metric."""
    return sum(
        len(ready_windows(connection, live(city.id, dataset), metric.name, metric.lateness_ms, 1))
        for dataset in datasets()
        for metric in metrics_of(dataset)
    )
