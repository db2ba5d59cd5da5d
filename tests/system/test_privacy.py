"""Known plates and known source ids go in at one end; none comes out anywhere but in the register and the pictures.

A whole city runs: its simulated sources, processors, detector, publisher, API and a partner that pulls. Then everything
that was written or said is searched: topics, tables, answers, logs, metrics.
"""

import csv
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from federation.city import CityFacts
from ingest.cameras.simulated import SimulatedCameras
from ingest.cities import load_city
from schemas.catalogue import catalogue, leaving
from schemas.frames import decode_frame
from schemas.topics import FRAMES, live
from tests.federation.handing import hand_over
from tests.ports import free_port
from tests.system.command import Command
from tests.system.streams import ASKING_S, city_file, everything_in
from tests.waiting import until

pytestmark = pytest.mark.services

SECONDS, RATE = 20, 1.0
REGISTER = {"sources", "contributors"}
"""The only tables in which real ids may stand."""

PAGES = ("/?lang=en", "/?lang=vi", "/?lang=fa")
ANSWERS = ("/v1/catalog", "/healthz", "/openapi.json", "/subjects", "/schemas/ids/5")


@pytest.fixture
def town(kafka, city, database_url, tmp_path) -> Command:
    path = city_file(tmp_path, city)
    path.write_text(path.read_text().replace('country = "IR"', 'country = "VN"'))  # plates with letters among digits
    command = Command(path, kafka, database_url, tmp_path / "home")
    command.environment["SISTERCITY_LOG_LEVEL"] = "DEBUG"
    (tmp_path / "home").mkdir()
    return command


@contextmanager
def running(command: Command, log: Path, *arguments: str, port: int | None = None) -> Iterator[None]:
    """A command that lasts for the block and ends well; its output goes to `log`, its metrics to a port."""
    settings = {} if port is None else {"SISTERCITY_METRICS_PORT": str(port)}
    with command.running(log, *arguments, **settings) as process:
        yield
        process.terminate()
        assert process.wait(30) == 0, log.read_text()[-3000:]


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return bytes(answer.read()) + str(answer.headers).encode()


def answers(address: str) -> bool:
    try:
        fetched(address)
    except OSError:
        return False
    return True


def tables(database_url: str) -> Mapping[str, bytes]:
    """Every row of every table as PostgreSQL writes it in binary: texts and bytes stand there as they are."""
    with psycopg.connect(database_url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = {}
        for (name,) in names:
            with connection.cursor().copy(f"COPY {name} TO STDOUT (FORMAT binary)") as copy:
                found[name] = b"".join(bytes(part) for part in copy)
    return found


def known_ids(home: Path) -> set[bytes]:
    """Ids of sources and contributors of every register that was loaded."""
    found: set[bytes] = set()
    for register in home.glob("register-*.csv"):
        with register.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found |= {row["source"].encode(), row["contributor"].encode()}
    return found


def known_plates(path: Path) -> set[bytes]:
    """What stands on every plate that the cameras had in view, also without its signs and spaces."""
    cameras = SimulatedCameras(load_city(str(path)), 2, 1)
    texts = {
        plate.text
        for index in range(2)
        for number in range(round(SECONDS * RATE))
        for plate in cameras.camera(index, RATE).truth(number)
    }
    bare = {re.sub(r"[^0-9A-Z]", "", text) for text in texts}
    return {text.encode() for text in texts | bare if re.search("[A-Z]", text)}


def pictures(log, topic: str) -> set[bytes]:
    """A piece from the middle of every picture that was sent."""
    found = set()
    for record in everything_in(log, topic):
        try:
            picture = decode_frame(record.value).picture
        except ValueError:
            continue
        if picture and len(picture) > 4_000:
            found.add(picture[-2_000:-1_960])  # coded pixels: all pictures begin alike
    return found


def test_no_plate_and_no_known_id_comes_out(kafka_log, town, city, second_database_url, tmp_path):
    home, said = tmp_path / "home", tmp_path / "said.log"
    spoken = [town("ingest", "simulate-cameras", "--seconds", str(SECONDS), "--rate", str(RATE))]
    spoken.append(town("ingest", "simulate", "--meters", "400"))
    spoken.append(town("ingest", "simulate-waste", "--containers", "150", "--premises", "300"))
    ports = {role: free_port() for role in ("detect", "process", "publish", "serve")}
    address = f"http://127.0.0.1:{ports['serve']}"
    written: dict[str, bytes] = {}
    with (
        running(town, said, "detect", port=ports["detect"]),
        running(town, said, "process", port=ports["process"]),
        running(town, said, "publish", "--every", "1", *since(), port=ports["publish"]),
        running(town, said, "serve", "--port", str(ports["serve"])),
    ):
        until(lambda: published(town) == to_be_published(town), "every metric is published", 120, ASKING_S)
        until(lambda: answers(f"{address}/healthz"), "the API answers")
        series = [f"/v1/series/{metric.name}" for metric in catalogue().values() if metric.published]
        for path in (*PAGES, *ANSWERS, *series):
            written[f"the answer {path}"] = fetched(address + path)
        for role in ("detect", "process", "publish"):
            written[f"{role}'s metrics"] = fetched(f"http://127.0.0.1:{ports[role]}/metrics")
    zone = load_city(town.environment["SISTERCITY_CITY"]).zone
    giver = CityFacts(city, "Town", {}, "IR", zone, 1, (), 1)
    hand_over(town.environment["SISTERCITY_DATABASE_URL"], giver, second_database_url, "partner")
    written["what the commands said"] = "".join(spoken).encode() + said.read_bytes()
    for dataset in {metric.dataset for metric in catalogue().values() if metric.published}:
        records = everything_in(kafka_log, live(city, dataset))
        written[f"the topic of {dataset}"] = b"".join((record.key or b"") + (record.value or b"") for record in records)
    kept = tables(town.environment["SISTERCITY_DATABASE_URL"])
    written |= {f"the table {name}": rows for name, rows in kept.items() if name not in REGISTER}
    written |= {f"the partner's table {name}": rows for name, rows in tables(second_database_url).items()}

    ids, plates = known_ids(home), known_plates(Path(town.environment["SISTERCITY_CITY"]))
    seen = pictures(kafka_log, live(city, FRAMES))
    assert min(len(ids), len(plates), len(seen)) > 20
    assert found_in(kept["sources"] + kept["contributors"], ids) == ids  # the search finds what is there
    for place, content in written.items():
        assert content, f"nothing was searched in {place}"
        for kind, secrets in (("ids", ids), ("plates", plates), ("pictures", seen)):
            assert not found_in(content, secrets), f"{kind} in {place}"


def since() -> list[str]:
    """Options with which every metric has a window that is due: the month before last, and the last days."""
    today = datetime.now(UTC).date()
    month = today.replace(day=1) - timedelta(days=40)
    return ["--since", (today - timedelta(days=3)).isoformat(), "--since", f"waste.tonnage={month.replace(day=1)}"]


def to_be_published(town: Command) -> set[str]:
    """All that may leave a city with these sources."""
    with psycopg.connect(town.environment["SISTERCITY_DATABASE_URL"]) as connection:
        registered = {metric for (metric,) in connection.execute("SELECT DISTINCT metric FROM sources").fetchall()}
    return {metric.name for metric in leaving(list(catalogue().values()), registered)}


def published(town: Command) -> set[str]:
    with psycopg.connect(town.environment["SISTERCITY_DATABASE_URL"]) as connection:
        return {metric for (metric,) in connection.execute("SELECT DISTINCT metric FROM publications").fetchall()}


def found_in(content: bytes, secrets: set[bytes]) -> set[bytes]:
    return {secret for secret in secrets if secret in content}
