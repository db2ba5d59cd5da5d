"""One city of the demo: its database, its processes, and how far they have come."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.services import Services
from ingest.cities import City, load_city
from node.demo.children import Children, free_port
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.database import Connection, connect, create_database, migrate
from store.overview import Stream, pulled, refused, streams
from store.publications import ready_windows

DATASET = "energy.readings"
_METRICS_ROLES = ("ingest", "process", "publish", "pull")


@dataclass(frozen=True, slots=True)
class DemoCity:
    """A city of the demo. `report` is the file in which its simulator says what it sent."""

    city: City
    database_url: str
    port: int
    metrics_ports: Mapping[str, int]
    report: Path
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Address of the city's API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def topic(self) -> str:
        """The topic of its energy readings."""
        return live(self.city.id, DATASET)


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a city has come. `expected` is what its simulator sent, once it has sent all."""

    stream: Stream | None
    expected: Mapping[str, int] | None
    refused: int
    unpublished: int
    pulled: Mapping[str, int]

    def done(self) -> bool:
        """Whether all that was sent is accounted for and published."""
        if self.expected is None or self.stream is None or self.unpublished:
            return False
        # Once all was replayed the meters go on in real time, so there may be more by now.
        known = self.stream.account.messages
        caught_up = known >= self.expected["messages"] and known == self.stream.acknowledged.messages
        return caught_up and self.stream.publications > 0

    def describe(self) -> str:
        """One short line of progress."""
        if self.stream is None:
            return "loading the register"
        account = self.stream.account
        sent = self.stream.acknowledged.readings
        text = f"{account.readings / 1e6:.2f} of {sent / 1e6:.2f} M readings, {self.stream.publications} publications"
        return text if self.expected is None else f"{text}, all sent"


def prepare(name: str, number: int, services: Services, home: Path) -> DemoCity:
    """Make the city's database and choose its ports."""
    city = load_city(name)
    url = create_database(services.database_url, city.id.replace("-", "_"))
    migrate(url)
    folder = home / city.id
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "sent.json"
    report.unlink(missing_ok=True)  # an earlier demo's
    environment = {
        "SISTERCITY_CITY": name,
        "SISTERCITY_KAFKA": services.kafka,
        "SISTERCITY_DATABASE_URL": url,
        "SISTERCITY_HOME": str(folder),
    }
    ports = {role: free_port(9100 + 10 * number + index) for index, role in enumerate(_METRICS_ROLES)}
    return DemoCity(city, url, free_port(8080 + number), ports, report, environment)


def start(one: DemoCity, partner: DemoCity, children: Children, *, meters: int, follow: bool) -> None:
    """Start every role of a city."""
    roles = {
        "serve": ["serve", "--port", str(one.port)],
        "process": ["process"],
        "ingest": ["ingest", "simulate", "--meters", str(meters), "--report", str(one.report)]
        + (["--follow"] if follow else []),
        "publish": ["publish", "--every", "0.5"],
        "pull": ["pull", partner.url, "--follow", "--every", "1"],
    }
    for role, arguments in roles.items():
        environment = dict(one.environment)
        if role in one.metrics_ports:
            environment["SISTERCITY_METRICS_PORT"] = str(one.metrics_ports[role])
        children.start(f"{one.city.id}-{role}", arguments, environment, lasting=role != "ingest" or follow)


def stand(one: DemoCity) -> Stand:
    """Look at the city's database."""
    with connect(one.database_url, name="sistercity demo") as connection:
        stream = next((found for found in streams(connection) if found.topic == one.topic), None)
        return Stand(
            stream=stream,
            expected=json.loads(one.report.read_text()) if one.report.exists() else None,
            refused=sum(refused(connection).values()),
            unpublished=_unpublished(connection, one.topic),
            pulled={partner.city: partner.publications for partner in pulled(connection)},
        )


def _unpublished(connection: Connection, topic: str) -> int:
    """How many windows are ready to be published; at most one a metric is looked for."""
    return sum(
        len(ready_windows(connection, topic, metric.name, metric.lateness_ms, 1)) for metric in metrics_of(DATASET)
    )
