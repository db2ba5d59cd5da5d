"""Two cities in containers on one machine, from their keys to figures of each other, by TLS and under an agreement.

The commands are those of docs/partner.md and of docs/operator.md ("To exchange with other cities").
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from node.demo.certificates import Authority
from tests.containers.city import ContainerCity, run
from tests.ports import free_port
from tests.waiting import until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to user 10001 (`sudo install -o 10001`): run it as root"),
]

PATIENCE_S = 400
HOSTS = {"isfahan": "exchange.isfahan.example", "ho-chi-minh-city": "exchange.hcmc.example"}
NETWORK = "sistercity-neighbours"


class Neighbour(ContainerCity):
    """A city with the profile `partners`. `keys` is the machine of its own on which its identity lies.

    Only Isfahan has meters, and Kafka: the other city gives its log of publications as it is, empty.
    """

    def __init__(self, city: str, folder: Path) -> None:
        self.city, self.host, self.keys = city, HOSTS[city], folder / "keys"
        super().__init__(
            folder / "node",
            {
                "COMPOSE_PROJECT_NAME": f"{city}-{os.getpid()}",
                "COMPOSE_PROFILES": "kafka,postgres,demo,partners" if city == "isfahan" else "postgres,partners",
                "COMPOSE_FILE": "docker-compose.yml:docker-compose.neighbours.yml",
                "SISTERCITY_IMAGE": "sistercity-tested",
                "SISTERCITY_CITY_FILE": f"./ingest/cities/{city}.toml",
                "SISTERCITY_API_PORT": str(free_port()),
                "SISTERCITY_EXCHANGE_PORT": str(free_port()),
                "SISTERCITY_EXCHANGE_HOSTS": self.host,
                "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
                "SISTERCITY_DEMO_METERS": "300",
                "SISTERCITY_PARTITIONS": "2",
            },
        )
        self.keys.mkdir()

    def sistercity(self, *words: str) -> None:
        """A command on the machine with the keys."""
        own = {"SISTERCITY_CITY": self.city, "SISTERCITY_HOME": str(self.keys)}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SISTERCITY_")} | own
        command = [sys.executable, "-m", "node", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def identity(self) -> Path:
        return self.keys / "identity" / "identity.jws"

    def install_keys(self, authority: Authority) -> None:
        certificate = authority.certify(self.city, [self.host])
        own = ["install", "-D", "-o", "10001", "-m", "600"]
        for source, target in (
            (self.keys / "identity" / "publish.key", "publish/publish.key"),
            (self.keys / "identity" / "access.key", "access/access.key"),
            (certificate.certificate, "tls/fullchain.pem"),
            (certificate.key, "tls/privkey.pem"),
        ):
            done = run([*own, str(source), f"secrets/{target}"], self.folder)
            assert done.returncode == 0, done.stderr
        (self.folder / "secrets" / "partner-ca.pem").write_bytes(authority.certificate.read_bytes())
        (self.folder / "secrets" / "partner_database_password").write_text(f"{os.urandom(24).hex()}\n")
        for name in ("partner-ca.pem", "partner_database_password"):
            (self.folder / "secrets" / name).chmod(0o644)

    def let_partners_in(self) -> None:
        """Start, and give the door its role of the database."""
        self.do("up", "--detach", "--wait", "--no-build", "postgres")
        self.do("run", "--rm", "--no-TTY", "migrate")
        password = (self.folder / "secrets" / "partner_database_password").read_text().strip()
        self.sql(f"ALTER ROLE sistercity_partners LOGIN PASSWORD '{password}'")

    def finds_fresh(self, partner: str) -> bool:
        """Whether this city has pulled and verified what the partner's log holds."""
        return f"partner {partner} is fresh" in self.compose("run", "--rm", "--no-TTY", "cli", "status").stdout


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[Mapping[str, Neighbour]]:
    made = run(["docker", "network", "create", NETWORK], tmp_path).returncode == 0
    cities = {city: Neighbour(city, tmp_path / city) for city in HOSTS}
    yield cities
    for city in cities.values():
        city.remove()
    if made:
        run(["docker", "network", "rm", NETWORK], tmp_path)


def test_two_cities_on_one_machine_exchange_under_an_agreement_by_tls(neighbours, tmp_path):
    authority = Authority(tmp_path, datetime.now(UTC))
    ours, theirs = neighbours.values()
    for each in (ours, theirs):
        each.configure()
        each.sistercity("identity", "create", "--contact", f"exchange@{each.host}", *_address(each))
        each.install_keys(authority)
    ours.do("build", "migrate")
    proposal, agreement = tmp_path / "proposal.json", tmp_path / "agreement.json"
    terms = ("--give", "energy.import", "--receive", "energy.import", "--out", str(proposal))
    ours.sistercity("agreement", "propose", str(theirs.identity), *terms)
    theirs.sistercity("agreement", "accept", str(proposal), "--yes", "--out", str(agreement))
    for each in (ours, theirs):
        each.let_partners_in()
        node = ("run", "--rm", "--no-TTY", "cli")
        each.do(*node, "identity", "import", "/dev/stdin", "--own", given=each.identity.read_text())
        each.do(*node, "agreement", "install", "/dev/stdin", given=agreement.read_text())
    ours.do("up", "--detach", "--wait", "--no-build", "--wait-timeout", "500")
    theirs.do("up", "--detach", "--wait", "--no-build", "publish", "serve-partners", "pull")
    for each, partner in ((ours, theirs.city), (theirs, ours.city)):
        until(partial(each.finds_fresh, partner), f"{each.city} has verified {partner}", PATIENCE_S, 2)
    given = "SELECT count(*) FROM partner_bodies"
    until(lambda: theirs.sql(given) != "0", "figures have come with their proof", PATIENCE_S, 2)


def _address(city: Neighbour) -> tuple[str, str]:
    return "--address", f"https://{city.host}:8443"
