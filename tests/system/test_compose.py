"""Every service of docker-compose.yml, started by its own command line, asked by its own health check, and stopped.

There is no container engine here: what the containers would find at their fixed addresses is put in from outside, and
what an engine does (users, file systems, networks) is read in tests/node/test_containers.py.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from node.clock import now_ms
from node.demo.certificates import Authority
from node.demo.exchange import settle_agreement, settle_identity
from schemas.catalogue import datasets
from schemas.topics import FRAMES
from tests.ports import free_port
from tests.system.command import Outcome, completed
from tests.system.compose import arguments, compose, example, services_of_ours
from tests.system.processes import SistercityProcess
from tests.system.streams import city_file
from tests.waiting import until

pytestmark = pytest.mark.services

API_PORT, EXCHANGE_PORT, METRICS_PORT = "8080", "8443", "9100"
_OF_THE_IMAGE = ("SISTERCITY_HOME", "SISTERCITY_SECRETS_DIR")
ANYWHERE, HERE = "0.0.0.0", "127.0.0.1"
"""In a container the API listens on all of the container; here it stays on this machine."""

CAMERA_FILE = '[[cameras]]\nsource = "K-17"\nurl = "http://127.0.0.1:9/"\nrate = 0.1\n'
"""A camera that nobody registered, where nobody listens: it is waited for."""


class Node:
    """The services of one city, as the compose file describes them."""

    def __init__(self, folder: Path, kafka: str, database: str, city: Path, authority: Authority) -> None:
        self.folder, self.database = folder, database
        facts: dict[str, Any] = conninfo_to_dict(database)
        self.role = f"{facts['dbname']}_role"
        partner = {**facts, "user": self.role, "password": "a secret of its own"}
        certificate = authority.certify(folder.name, [HERE])
        urls = {}
        for name, found in (("secrets", facts), ("partner-secrets", partner)):
            (folder / name).mkdir(mode=0o700)
            (folder / name / "sistercity_database_password").write_text(f"{found.pop('password')}\n")
            urls[name] = make_conninfo(**found)  # without the password, as in .env.example
        (folder / "home").mkdir()
        (folder / "cameras.toml").write_text(CAMERA_FILE)
        given = {"SISTERCITY_PARTNER_ROLE": self.role, "SISTERCITY_EXCHANGE_HOSTS": HERE}
        document = compose({**example(), **given, "SISTERCITY_DEMO_METERS": "300"})
        self.services = services_of_ours(document)
        self._addresses = {
            "SISTERCITY_KAFKA": kafka,
            "SISTERCITY_DATABASE_URL": urls["secrets"],
            "SISTERCITY_CITY": str(city),
            "SISTERCITY_CAMERAS": str(folder / "cameras.toml"),
            "SISTERCITY_HOME": str(folder / "home"),
            "SISTERCITY_LEDGER": str(folder / "ledger.jsonl"),
            "SISTERCITY_SECRETS_DIR": str(folder / "secrets"),
            "SISTERCITY_PARTITIONS": "4",
            "SISTERCITY_METRICS_HOST": HERE,
            "SISTERCITY_EXCHANGE_CERT_FILE": str(certificate.certificate),
            "SISTERCITY_EXCHANGE_KEY_FILE": str(certificate.key),
        }
        self._of_the_door = {
            "SISTERCITY_DATABASE_URL": urls["partner-secrets"],
            "SISTERCITY_SECRETS_DIR": str(folder / "partner-secrets"),
        }
        # What an operator sets for a partner that is on this machine.
        self._of_this_machine = {
            "SISTERCITY_PARTNER_CA_FILE": str(authority.certificate),
            "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
        }
        ports = (API_PORT, EXCHANGE_PORT, METRICS_PORT)
        self._ports = {name: {port: str(free_port()) for port in ports} for name in self.services}
        self.running: dict[str, SistercityProcess] = {}

    @property
    def door(self) -> str:
        return f"https://{HERE}:{self._ports['serve-partners'][EXCHANGE_PORT]}"

    def let_the_role_in(self) -> None:
        """What docs/operator.md tells an operator to do once, after the first `migrate`."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {self.role} LOGIN PASSWORD 'a secret of its own'")

    def forget_the_role(self) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {self.role}")
            connection.execute(f"DROP ROLE {self.role}")

    def once(self, name: str, *instead: str) -> str:
        """Run a service, or other arguments in its place, to its end, which must be good; what it prints."""
        done = self.ended(name, *instead)
        assert done.code == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def ended(self, name: str, *instead: str) -> Outcome:
        """Run a service, or other arguments in its place, to its end."""
        return completed(instead or self._placed(name, arguments(self.services[name])), self._environment(name))

    def start(self, name: str) -> None:
        """Start a service that lasts."""
        log = self.folder / f"{name}.log"
        words = self._placed(name, arguments(self.services[name]))
        self.running[name] = SistercityProcess(words, self._environment(name), log, log)

    def healthy(self, name: str) -> bool:
        """What the service's own health check says; it must not have ended meanwhile."""
        assert self.running[name].poll() is None, self.log(name)
        check = self.services[name]["healthcheck"]["test"]
        assert check[:4] == ["CMD", "python", "-m", "node.probe"]
        return completed(["health", "--url", *self._placed(name, check[4:])], self._environment(name)).code == 0

    def log(self, name: str) -> str:
        return f"{name}: {(self.folder / f'{name}.log').read_text()[-3000:]}"

    def stop(self) -> dict[str, int]:
        """SIGTERM to all, as an engine sends it; exit codes by name."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(30) for name, process in self.running.items()}

    def kill(self) -> None:
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def _environment(self, name: str) -> dict[str, str]:
        own = {key: str(value) for key, value in self.services[name]["environment"].items()}
        outside = {key: value for key, value in os.environ.items() if not key.startswith("SISTERCITY_")}
        addresses = {key: value for key, value in self._addresses.items() if key in own or key in _OF_THE_IMAGE}
        addresses |= self._of_the_door if name == "serve-partners" else {}
        addresses |= self._of_this_machine if name in ("pull", "cli") else {}
        port = {"SISTERCITY_METRICS_PORT": self._ports[name][METRICS_PORT]} if own["SISTERCITY_METRICS_PORT"] else {}
        return {**outside, **own, **addresses, **port}

    def _placed(self, name: str, words: list[str]) -> list[str]:
        """The words with this machine's addresses in place of the container's."""
        places: dict[str, Any] = {**self._ports[name], ANYWHERE: HERE}
        for inside, here in places.items():
            words = [word.replace(inside, here) for word in words]
        return words


@pytest.fixture
def databases(server_url: str, city: str) -> Iterator[tuple[str, str]]:
    """Two databases without tables."""
    names = [f"{city.replace('-', '_')}_{which}" for which in ("ours", "theirs")]
    with psycopg.connect(server_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(server_url, dbname=names[0]), make_conninfo(server_url, dbname=names[1])
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, datetime.now(UTC))


def node(tmp_path: Path, name: str, kafka: str, database: str, authority: Authority) -> Node:
    folder = tmp_path / name
    folder.mkdir()
    return Node(folder, kafka, database, city_file(folder, name), authority)


def agree(*nodes: Node) -> None:
    """Give each city an identity, and both an agreement on one metric."""
    now = now_ms() // 1000 * 1000
    settled = [
        settle_identity(each.folder.name, each.folder.name, [each.door], now, each.folder / "home" / "identity")
        for each in nodes
    ]
    databases = {each.folder.name: each.database for each in nodes}
    settle_agreement((settled[0], settled[1]), databases, ["energy.import"], now)


def test_every_service_starts_gets_healthy_and_stops_by_its_own_commands(databases, kafka, city, tmp_path, authority):
    theirs = node(tmp_path, f"{city}-partner", kafka, databases[1], authority)
    ours = node(tmp_path, city, kafka, databases[0], authority)
    lasting = [name for name, service in ours.services.items() if "healthcheck" in service]
    assert sorted(lasting) == [
        *("cameras", "correct", "detect", "ingest", "process", "publish", "pull", "relay", "serve", "serve-partners")
    ]
    with contextlib.ExitStack() as stack:
        for each in (theirs, ours):
            each.once("migrate")
            stack.callback(each.forget_the_role)
            stack.callback(each.kill)
            each.let_the_role_in()
        agree(ours, theirs)
        theirs.start("publish")
        theirs.start("serve-partners")
        ours.once("topics")
        ours.once("migrate")  # as at every later `docker compose up`
        assert ours.once("topics").count(": is there") == len({*datasets(), FRAMES})
        for name in lasting:
            ours.start(name)
        until(lambda: theirs.healthy("serve-partners"), f"the partner is healthy; {theirs.log('serve-partners')}")
        for name in lasting:
            until(partial(ours.healthy, name), f"{name} is healthy; {ours.log(name)}")
        fresh = f"partner {city}-partner is fresh"
        until(lambda: fresh in ours.once("cli", "status"), f"the partner is pulled; {ours.log('pull')}")
        said: list[str] = []

        def no_fault() -> bool:  # right after so many starts, the machine may be too busy for the first answers
            done = ours.ended("cli", "doctor")
            said.append(done.stdout)
            return done.code == 0

        with contextlib.suppress(AssertionError):  # what it says follows
            until(no_fault, "doctor finds no fault")
        assert "FAIL" not in said[-1], said[-1]
        for name in ("kafka ", "tables ", f"partner {city}-partner "):
            assert f"ok    {name}" in said[-1], said
        codes = ours.stop()
        assert codes == dict.fromkeys(lasting, 0), [ours.log(name) for name, code in codes.items() if code]
        assert theirs.stop() == {"publish": 0, "serve-partners": 0}


def test_a_health_check_says_no_while_nobody_answers(kafka, databases, city, tmp_path, authority):
    ours = node(tmp_path, city, kafka, databases[0], authority)
    with contextlib.closing(socket.socket()) as silent:
        silent.bind((HERE, 0))
        url = f"http://{HERE}:{silent.getsockname()[1]}/metrics"
        done = completed(["health", "--url", url], os.environ)
    assert done.code == 1
    assert done.stderr.startswith(f"sistercity: {url} does not answer: ")
    # An API without its tables answers, but not well.
    ours.start("serve")
    try:
        until(lambda: "running on" in ours.log("serve"), "the API listens")
        assert not ours.healthy("serve")
    finally:
        assert ours.stop() == {"serve": 0}


def test_the_database_takes_nobody_without_the_secret(kafka, databases, city, tmp_path, authority):
    ours = node(tmp_path, city, kafka, databases[0], authority)
    (ours.folder / "secrets" / "sistercity_database_password").unlink()
    with pytest.raises(AssertionError, match="no password is set"):
        ours.once("migrate", "migrate", "--wait", "0")


def test_serve_may_listen_on_a_container_only_where_it_is_told_that_it_has_one(tmp_path):
    run = ["serve", "--host", ANYWHERE]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SISTERCITY_")}
    refused = completed(run, environment)
    assert "is not a loopback address" in refused.stderr
    environment["SISTERCITY_SERVE_IN_CONTAINER"] = "true"
    allowed = completed(run, environment)
    assert "set SISTERCITY_CITY" in allowed.stderr  # the next thing that is missing
    environment["SISTERCITY_CITY"] = "isfahan"
    other = completed([*run[:-1], "192.0.2.1"], environment)
    assert "is not a loopback address" in other.stderr
