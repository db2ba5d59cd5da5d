"""Two cities that never met, in two folders as on two machines, follow docs/partner.md: its commands, in its order."""

import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from federation.compare import comparisons
from federation.publications.slots import due_windows
from ingest.cities import load_city
from node.demo.certificates import Authority
from schemas.catalogue import catalogue
from store.database import connect
from store.moments import milliseconds, moment
from store.partner_standing import partner_standings
from tests.federation.city import HOUR, found_areas, open_topic, pass_time
from tests.ports import free_port
from tests.publishing import open_everything
from tests.system.command import Command
from tests.waiting import until

pytestmark = pytest.mark.services

DOCUMENT = Path(__file__).parents[2] / "docs" / "partner.md"
CITIES = ("isfahan", "ho-chi-minh-city")
ADDRESS = {"isfahan": "https://exchange.isfahan.example", "ho-chi-minh-city": "https://exchange.hcmc.example"}
IMPORT = catalogue()["energy.import"]
PEOPLE = (1000, 3000)
LASTING = ("serve-partners", "pull")
MAILED = {"identity.jws": "{city}.jws", "proposal.json": "proposal.json", "agreement.json": "agreement.json"}
"""What the document says is sent to the other city, and under which name it arrives."""


def written_commands() -> list[tuple[str, list[str]]]:
    """(city, words) of every command that the document gives to one of the cities, in its order."""
    blocks = re.findall(r"^```sh (\S+)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    found = [(city, shlex.split(line)) for city, block in blocks for line in block.splitlines()]
    assert all(words[0] == "sistercity" for _, words in found)
    return [(city, words[1:]) for city, words in found]


def measured(database_url: str, city: str, now: int) -> str:
    """Put the last hours of a city's figures into its database, as its processor would; the first hour's start."""
    zone = load_city(city).zone
    windows = list(due_windows(IMPORT, zone, now - 8 * HOUR, now))[:4]
    topic = f"{city}.{IMPORT.dataset}.v1"
    with connect(database_url) as connection:
        since = windows[0].start
        areas = found_areas(connection, PEOPLE, since=since - 1000 * HOUR)
        open_topic(connection, topic)
        for window in windows:
            for area in areas:
                connection.execute(
                    "INSERT INTO cells"
                    " VALUES (%s, %s, %s, %s, 'residential', %s, 0, %s, 7, 200, 10, 1000, %s, 0, 1, false)",
                    (IMPORT.name, moment(window.start), moment(window.end), area, topic, 10**12, HOUR),
                )
        open_everything(connection, IMPORT, since)
        pass_time(connection, now, topic=topic)
    return moment(since).isoformat()


class Machine:
    """One city's folder, database and settings. `mail` is the other city's folder."""

    def __init__(self, city: str, folder: Path, database_url: str, authority: Authority) -> None:
        folder.mkdir()
        self.city, self.folder, self.database_url = city, folder, database_url
        self.port = free_port()
        certificate = authority.certify(city, ["127.0.0.1"])
        self.command = Command(Path(city), "127.0.0.1:1", database_url, folder / ".sistercity")
        self.command.environment |= {
            "SISTERCITY_EXCHANGE_CERT_FILE": str(certificate.certificate),
            "SISTERCITY_EXCHANGE_KEY_FILE": str(certificate.key),
            "SISTERCITY_PARTNER_CA_FILE": str(authority.certificate),
            "SISTERCITY_PARTNER_PRIVATE_ADDRESSES": "true",
        }

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def placed(self, word: str) -> str:
        """A word of a command, with this machine's address and folder."""
        here = {"0.0.0.0": "127.0.0.1", "443": str(self.port)} | dict.fromkeys(ADDRESS.values(), self.address)
        if word in here:
            return here[word]
        return str(self.folder / word) if word.endswith((".jws", ".json")) else word

    def start(self, stack: ExitStack, *words: str) -> None:
        log = self.folder / f"{words[0]}.log"
        stack.enter_context(self.command.running(log, *words))

    def said(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))


@pytest.fixture
def machines(database_url: str, second_database_url: str, tmp_path: Path) -> Iterator[Mapping[str, Machine]]:
    authority = Authority(tmp_path, datetime.now(UTC))
    urls = (make_conninfo(database_url), make_conninfo(second_database_url))
    yield {city: Machine(city, tmp_path / city, url, authority) for city, url in zip(CITIES, urls, strict=True)}


def post(sender: Machine, receiver: Machine, file: Path) -> None:
    """Send a file by e-mail, if it is one that the document says is sent."""
    name = MAILED.get(file.name)
    if name is not None and file.exists():
        shutil.copy(file, receiver.folder / name.format(city=sender.city))


def verified(machine: Machine, partner: str, now: int) -> bool:
    """Whether this city holds fresh figures of the partner."""
    with connect(machine.database_url) as connection:
        fresh = [found.city for found in partner_standings(connection, now) if found.standing == "fresh"]
        rows = comparisons(connection, machine.city, {IMPORT.name: IMPORT})
    return fresh == [partner] and any(row.city == partner and row.figure is not None for row in rows)


def test_the_commands_of_the_document_bring_two_cities_to_verified_figures_of_each_other(
    machines: Mapping[str, Machine],
) -> None:
    commands = written_commands()
    assert {city: sum(of == city for of, _ in commands) for city in CITIES} == dict.fromkeys(CITIES, 6)
    now = milliseconds(datetime.now(UTC))
    with ExitStack() as stack:
        for machine in machines.values():  # the node that publishes, which the document takes for granted
            since = measured(machine.database_url, machine.city, now)
            machine.start(stack, "publish", "--every", "0.5", "--since", f"{IMPORT.name}={since}")
        for city, words in commands:
            machine = machines[city]
            [other] = [each for name, each in machines.items() if name != city]
            placed = [machine.placed(word) for word in words]
            if words[0] in LASTING:
                machine.start(stack, *placed, *(["--every", "0.5"] if words[0] == "pull" else []))
                continue
            confirmed = ["--yes"] if words[:2] == ["agreement", "accept"] else []  # the telephone call
            said = machine.command(*placed, *confirmed)
            if words[0] == "agreement":
                assert re.search(r"(\d+ ){6,}", said), said  # the fingerprint, in groups of digits
            post(machine, other, machine.folder / ".sistercity" / "identity" / "identity.jws")
            for file in machine.folder.glob("*.json"):
                post(machine, other, file)
        for city, machine in machines.items():
            [partner] = [name for name in machines if name != city]
            until(partial(verified, machine, partner, now), f"{city} has verified {partner}; {machine.said()}")
            assert f"partner {partner} is fresh" in machine.command("status")
