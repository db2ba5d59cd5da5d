"""A city that follows docs/operator.md on a host, with embedded services of its own, and a partner to exchange with."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

from embedded.record import Services, running
from embedded.remove import remove
from ingest.cities import load_city
from ingest.register_file import write_register
from ingest.simulated.fleet import Fleet
from node.demo.certificates import Authority
from node.probe import why_not
from store.database import connect, create_database
from store.migrations import migrate
from tests.conftest import INSTALLED
from tests.node.test_partner_command import contradicted, met, visit
from tests.ports import free_port, free_ports
from tests.system.command import Command
from tests.system.processes import SistercityProcess
from tests.waiting import until

CITY, PARTNER = "isfahan", "hue"
METERS = 1000
_CITY_FILE = Path(__file__).parents[2] / "ingest" / "cities" / f"{CITY}.toml"
_IMPORT = ("--give", "energy.import", "--receive", "energy.import")


class _Machine:
    """One city's folder, home and settings, and the port of its door for partners."""

    def __init__(self, folder: Path, city_file: Path, authority: Authority) -> None:
        self.folder, self.home, self.port = folder, folder / "home", free_port()
        self.home.mkdir(parents=True)
        certificate = authority.certify(city_file.stem, ["127.0.0.1"])
        self.command = Command(city_file, "127.0.0.1:1", "", self.home)
        self.command.environment |= {
            "SISTERCITY_EXCHANGE_CERT_FILE": str(certificate.certificate),
            "SISTERCITY_EXCHANGE_KEY_FILE": str(certificate.key),
            "SISTERCITY_PARTNER_CA_FILE": str(authority.certificate),
            "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
        }

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def identity(self) -> str:
        """The file of its identity document."""
        return str(self.home / "identity" / "identity.jws")

    @property
    def door(self) -> tuple[str, ...]:
        return ("serve-partners", "--host", "127.0.0.1", "--port", str(self.port))

    def create_identity(self) -> None:
        self.command("identity", "create", "--contact", "exchange@city.example", "--address", self.address)


class GuidedCity:
    """What the commands of the guide are run on. Nothing is set but the city and its home, until the guide says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = Authority(folder, datetime.now(UTC))
        self._stack = ExitStack()
        self._machine = _Machine(folder / CITY, _CITY_FILE, self._authority)
        for path in INSTALLED.iterdir():  # as `make install` leaves it
            if path.name != "demo":
                (self._machine.home / path.name).symlink_to(path)
        self.command = self._machine.command
        for name in ("SISTERCITY_KAFKA", "SISTERCITY_DATABASE_URL"):
            del self.command.environment[name]
        self.home, self.backups = self._machine.home, folder / "backups"
        self.address, self.identity, self.door = self._machine.address, self._machine.identity, self._machine.door

    def close(self) -> None:
        """Stop everything, and remove its files, of which some belong to PostgreSQL's user."""
        self._stack.close()
        for path in self.home.iterdir():
            if path.is_symlink():
                path.unlink()
        remove(self.home)

    def start_services(self, *words: str) -> None:
        """Start Kafka and PostgreSQL, which run to the end of the test."""
        log = self.folder / "services.log"
        process = self._stack.enter_context(self.command.running(log, *words))
        self._stack.callback(_stop, process, log)
        until(lambda: "Ctrl-C stops both" in log.read_text() or process.poll() is not None, "the services run")

    @property
    def services(self) -> Services:
        """Where `sistercity services` has started Kafka and PostgreSQL."""
        found = running(self.home)
        assert found is not None, (self.folder / "services.log").read_text()
        return found

    @contextmanager
    def lasting(self, *words: str, processes: int = 1, **settings: str) -> Iterator[Mapping[str, str]]:
        """A role that is healthy, with its settings; at the end it is stopped as a service manager stops it."""
        ports = free_ports(processes)
        first = ports[0]
        settings |= {"SISTERCITY_METRICS_PORT": str(first)}
        log = self.folder / f"{words[0]}.log"
        with self.command.running(log, *words, **settings) as process:
            for port in ports:
                until(partial(_answers, process, port), f"{words} is healthy")
            assert process.poll() is None, log.read_text()
            yield settings
            _stop(process, log)

    def register_file(self) -> Path:
        """A register of simulated meters as a file."""
        path = self.folder / "register.csv"
        write_register(path, Fleet(load_city(CITY), METERS, 1).register())
        return path

    def camera_register(self, *sources: str) -> Path:
        """A register of cameras as a file."""
        district = load_city(CITY).districts[0].id
        path = self.folder / "cameras.csv"
        rows = [f"{source},traffic.regions,{district},premises-of-{source},any,2015-01-01," for source in sources]
        path.write_text("\n".join(["source,metric,district,contributor,class,valid_from,valid_to", *rows, ""]))
        return path

    def sql(self, query: str) -> list[tuple]:
        """The rows of a query in the city's database."""
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    @cached_property
    def database_url(self) -> str:
        """The database that the city has in the embedded PostgreSQL."""
        said = self.services.database_url
        with connect(said) as connection:
            [name] = [row[0] for row in connection.execute("SELECT datname FROM pg_database") if CITY in row[0]]
        return said.rpartition("/")[0] + f"/{name}"

    def new_database(self, name: str) -> str:
        """The URL of another database, which is empty."""
        return create_database(self.services.database_url, name)

    @cached_property
    def partner(self) -> _Machine:
        """The other city, with an identity and a database."""
        file = self.folder / f"{PARTNER}.toml"
        file.write_text(_CITY_FILE.read_text().replace(f'id = "{CITY}"', f'id = "{PARTNER}"'))
        made = _Machine(self.folder / PARTNER, file, self._authority)
        made.command.environment["SISTERCITY_DATABASE_URL"] = self.new_database(PARTNER)
        made.create_identity()
        made.command("migrate")
        made.command("identity", "import", made.identity, "--own")
        return made

    @cached_property
    def agreement(self) -> str:
        """The agreement's id: figures have left and are signed, both doors are open, and both cities have pulled."""
        self.publish("publish")
        proposal, signed = str(self.folder / "proposal.json"), str(self.folder / "agreement.json")
        self.command("agreement", "propose", self.partner.identity, *_IMPORT, "--out", proposal)
        self.partner.command("agreement", "accept", proposal, "--yes", "--out", signed)
        for machine in (self._machine, self.partner):
            machine.command("agreement", "install", signed)
            log = machine.folder / "door.log"
            self._stack.enter_context(machine.command.running(log, *machine.door))
            until(partial(_says, log, "running on https"), "the door is open")
        until(self._both_have_pulled, "both have pulled", pause_s=1)
        return str(self.sql("SELECT id FROM agreements")[0][0])

    def _both_have_pulled(self) -> bool:
        """The first who asks is refused once: the other has not read its identity document there yet."""
        outcomes = [machine.command.outcome("pull").code for machine in (self._machine, self.partner)]
        return not any(outcomes)

    def publish(self, *words: str) -> None:
        """Publish since yesterday, until something has left and is signed."""
        with self.lasting(*words, "--since", "yesterday"):
            until(lambda: self.sql("SELECT 1 FROM publications JOIN heads ON true LIMIT 1"), "figures leave")

    def with_settings(self, **settings: str) -> Command:
        """The city's commands with further settings."""
        made = Command(_CITY_FILE, "", "", self.home)
        made.environment = self.command.environment | settings
        return made

    def begin_contradicted(self) -> None:
        """A node that has pulled two stories of a partner, which is named `liar`."""
        self._url = self._with_tables("contradicted")
        place, _ = self._stack.enter_context(contradicted(self._url))
        self.liar = place.city.city

    def begin_refused_body(self) -> str:
        """A node that has refused a body of a partner, which is named `liar`; the number of the body's entry."""
        self._url = self._with_tables("refused")
        place, pulling = self._stack.enter_context(met(self._url, "unknown-area"))
        self.liar = place.city.city
        refused = re.search(r"body (\d+) of", str(visit(pulling).failure))
        assert refused is not None, visit(pulling).failure
        return refused[1]

    def contradicted(self, *words: str, answer: str = "") -> str:
        """A command of the node that `begin_...` began, which must succeed; the answer to what it asks."""
        done = subprocess.run(
            [sys.executable, "-m", "node", *words],
            env=self.command.environment | {"SISTERCITY_DATABASE_URL": self._url},
            input=answer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _with_tables(self, name: str) -> str:
        url = self.new_database(name)
        migrate(url)
        return url

    def lose_ledger(self) -> None:
        [ledger] = self.home.glob("ledger-*.jsonl")
        ledger.unlink()

    def another_identity(self) -> Command:
        """The same city with an identity of its own, on a machine without a node."""
        home = self.folder / "another"
        home.mkdir()
        made = Command(_CITY_FILE, "127.0.0.1:1", "", home)
        made("identity", "create", "--contact", "exchange@city.example", "--address", self.address)
        return made


def _answers(process: SistercityProcess, port: int) -> bool:
    """Whether it is healthy, or has ended."""
    return process.poll() is not None or why_not(f"http://127.0.0.1:{port}/healthz", 3) is None


def _says(log: Path, words: str) -> bool:
    return words in log.read_text()


def _stop(process: SistercityProcess, log: Path) -> None:
    process.terminate()
    assert process.wait(60) == 0, log.read_text()
