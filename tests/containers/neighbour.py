"""A city in containers that exchanges with another one on the same machine, and the machine on which its keys lie."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from node.demo.certificates import Authority
from tests.containers.city import ContainerCity, run
from tests.ports import free_port
from tests.waiting import until

NODE = ("run", "--rm", "--no-TTY", "cli")
_HOSTS = {"isfahan": "exchange.isfahan.example", "ho-chi-minh-city": "exchange.hcmc.example"}
_TESTED = """
services:
  publish: { command: [publish, --since, yesterday] }
  pull: { command: [pull, --follow, --every, "1"] }
"""
_METRICS = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9100/metrics').read().decode())"


class Keys:
    """The machine of its own on which a city's identity lies. `city` is the name or the file of the city."""

    def __init__(self, city: str, folder: Path) -> None:
        self._city, self.folder = city, folder / "identity"
        folder.mkdir()

    def sistercity(self, *words: str) -> None:
        """A command on that machine."""
        own = {"SISTERCITY_CITY": self._city, "SISTERCITY_HOME": str(self.folder.parent)}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SISTERCITY_")} | own
        command = [sys.executable, "-m", "node", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def identity(self) -> Path:
        """The document."""
        return self.folder / "identity.jws"


class Neighbour(ContainerCity):
    """A city with the profile `partners`. It publishes since yesterday, and asks its partner each second."""

    def __init__(self, city: str, folder: Path) -> None:
        self.city, self.host = city, _HOSTS[city]
        super().__init__(
            folder / "node",
            {
                "COMPOSE_PROJECT_NAME": f"{city}-{os.getpid()}",
                "COMPOSE_PROFILES": "kafka,postgres,demo,partners",
                "COMPOSE_FILE": "docker-compose.yml:docker-compose.neighbours.yml:docker-compose.tested.yml",
                "SISTERCITY_IMAGE": "sistercity-tested",
                "SISTERCITY_CITY_FILE": f"./ingest/cities/{city}.toml",
                "SISTERCITY_API_PORT": str(free_port()),
                "SISTERCITY_EXCHANGE_PORT": str(free_port()),
                "SISTERCITY_EXCHANGE_HOSTS": self.host,
                "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
                "SISTERCITY_DEMO_METERS": "1000",
                "SISTERCITY_PARTITIONS": "2",
                "KAFKA_HEAP_OPTS": "-Xms128m -Xmx384m",
            },
        )
        (self.folder / "docker-compose.tested.yml").write_text(_TESTED)
        self.keys = Keys(city, folder / "keys")

    def make_keys(self, authority: Authority) -> None:
        """Make the city's identity, and install its keys and certificate as docs/operator.md says."""
        address = ("--address", f"https://{self.host}:8443")
        self.keys.sistercity("identity", "create", "--contact", f"exchange@{self.host}", *address)
        certificate = authority.certify(self.city, [self.host])
        own = ["install", "-D", "-o", "10001", "-m", "600"]
        for source, target in (
            (self.keys.folder / "publish.key", "publish/publish.key"),
            (self.keys.folder / "access.key", "access/access.key"),
            (certificate.certificate, "tls/fullchain.pem"),
            (certificate.key, "tls/privkey.pem"),
        ):
            done = run([*own, str(source), f"secrets/{target}"], self.folder)
            assert done.returncode == 0, done.stderr
        (self.folder / "secrets" / "partner-ca.pem").write_bytes(authority.certificate.read_bytes())
        (self.folder / "secrets" / "partner_database_password").write_text(f"{os.urandom(24).hex()}\n")
        for name in ("partner-ca.pem", "partner_database_password"):
            (self.folder / "secrets" / name).chmod(0o644)

    def let_partners_in(self, agreement: Path) -> None:
        """Give the public door its role of the database, and install the agreement."""
        self.do("up", "--detach", "--wait", "--no-build", "postgres")
        self.do("run", "--rm", "--no-TTY", "migrate")
        password = (self.folder / "secrets" / "partner_database_password").read_text().strip()
        self.sql(f"ALTER ROLE sistercity_partners LOGIN PASSWORD '{password}'")
        self.do(*NODE, "identity", "import", "/dev/stdin", "--own", given=self.keys.identity.read_text())
        self.do(*NODE, "agreement", "install", "/dev/stdin", given=agreement.read_text())

    def finds_fresh(self, partner: str) -> bool:
        """Whether this city has pulled and verified what the partner's log holds."""
        return f"partner {partner} is fresh" in self.compose(*NODE, "status").stdout

    def pulls(self) -> Counter[str]:
        """How often the puller has pulled since its start, by outcome."""
        said = self.do("exec", "--no-TTY", "pull", "python", "-c", _METRICS)
        found = re.findall(r'^sistercity_pulls_total\{outcome="(\w+)"\} (\S+)$', said, re.MULTILINE)
        return Counter({outcome: int(float(value)) for outcome, value in found})

    def pulled_since(self, before: int) -> bool:
        """Whether the puller has ended more pulls than `before`."""
        return sum(self.pulls().values()) > before

    def kill(self, service: str, patience_s: float) -> None:
        """Crash a container, and wait until the engine, or for meters the operator, has started it again."""
        [container] = self.of_project(service)
        state = ["docker", "inspect", "--format", "{{.State.StartedAt}} {{.State.Running}}", container]
        before = run(state, self.folder).stdout.split()[0]

        def started_again() -> bool:
            started, running = run(state, self.folder).stdout.split()
            if started == before and running == "true":
                self.crash(service)
            elif running == "false" and service == "ingest":
                run(["docker", "start", container], self.folder)
            return started != before and running == "true"

        until(started_again, f"{service} of {self.city} was killed and is back", patience_s, 0.2)
