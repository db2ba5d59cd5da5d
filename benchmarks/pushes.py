"""Readings a second that senders post in batches of 500: from HTTP on loopback to what Kafka has acknowledged.

One process of `ingest run` serves; another posts bodies that were made before, over several connections. The processor
time is that of the serving process. What Kafka acknowledged, as the database says, is compared with what was sent.
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, peak_mb
from benchmarks.timed import own_services
from embedded.services import Services
from ingest.cities.city import load_city
from store.database import connect, create_database
from store.migrations import migrate
from tests.ports import free_port

CITY = "ho-chi-minh-city"
TOKEN = "token"
METERS = 25_000
BATCH = 500


def register(path: Path) -> None:
    """A register of the meters, in the districts by turns."""
    districts = [district.id for district in load_city(CITY).districts]
    rows = (
        f"meter-{n},energy.import,{districts[n % len(districts)]},customer-{n},residential,2020-01-01,\n"
        for n in range(METERS)
    )
    path.write_text("source,metric,district,contributor,class,valid_from,valid_to\n" + "".join(rows))


def bodies(count: int) -> Sequence[bytes]:
    """Requests, in the order of their times: every meter's quarter of an hour, then the next."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=10)
    found = []
    for number in range(count):
        first = number * BATCH % METERS
        start = begin + timedelta(minutes=15 * (number * BATCH // METERS))
        items = [
            {
                **{"source": f"meter-{first + n}", "metric": "energy.import", "start": start.isoformat()},
                **{"interval_s": 900, "value": (number * 7 + n) % 2_000 / 1_000, "unit": "kWh"},
            }
            for n in range(BATCH)
        ]
        found.append(json.dumps(items).encode())
    return found


def node(running: Services, folder: Path, client: str = "kafka-python") -> tuple[str, dict[str, str]]:
    """A city with the register of the meters: the URL of its database, and the environment of its commands."""
    url = create_database(running.database_url, "bench")
    migrate(url)
    environment = {
        **os.environ,
        **{"SISTERCITY_CITY": CITY, "SISTERCITY_KAFKA": running.kafka, "SISTERCITY_DATABASE_URL": url},
        **{"SISTERCITY_HOME": str(folder), "SISTERCITY_KAFKA_CLIENT": client},
    }
    register(folder / "register.csv")
    load = [sys.executable, "-m", "node", "register", "load", str(folder / "register.csv")]
    subprocess.run(load, env=environment, check=True, capture_output=True)
    return url, environment


@contextmanager
def serving(environment: Mapping[str, str], folder: Path, sources: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ingest run` with this list; stopped at the end."""
    (folder / "sources.toml").write_text(sources)
    command = [sys.executable, "-m", "node", "ingest", "run", str(folder / "sources.toml")]
    with (folder / "run.log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            yield process
        finally:
            process.terminate()


async def post(url: str, sent: Sequence[bytes], connections: int, *, keyed: bool) -> None:
    """Post all, each until it is taken; if `keyed`, under a key of its own."""
    waiting = iter(sent)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    async def one(client: httpx.AsyncClient) -> None:
        for body in waiting:
            more = {**headers, "Idempotency-Key": str(uuid.uuid4())} if keyed else headers
            while (found := await client.post(url, content=body, headers=more)).status_code != 202:
                await asyncio.sleep(0.2)
            if found.json()["refused_count"]:
                sys.exit(f"refused: {found.text[:300]}")

    async with httpx.AsyncClient(timeout=120) as client:
        await asyncio.gather(*(one(client) for _ in range(connections)))


def acknowledged(url: str) -> int:
    """Readings that Kafka has, as the database records it."""
    with connect(url) as connection:
        found = connection.execute("SELECT coalesce(sum(readings), 0) FROM deliveries").fetchone()
    return int(found[0]) if found else 0


def measure(
    url: str, process: psutil.Process, port: int, sent: Sequence[bytes], connections: int, *, keyed: bool
) -> MeasuredRun:
    """One run. Ends the program if Kafka has another number of readings than was sent."""
    before, used, began = acknowledged(url), sum(process.cpu_times()[:2]), time.perf_counter()
    asyncio.run(post(f"http://127.0.0.1:{port}/v1/readings", sent, connections, keyed=keyed))
    wall, cpu = time.perf_counter() - began, sum(process.cpu_times()[:2]) - used
    if (found := acknowledged(url) - before) != len(sent) * BATCH:
        sys.exit(f"Kafka has {found} readings of {len(sent) * BATCH}")
    return MeasuredRun(wall, cpu, peak_mb(process.pid))


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=1_000)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--client", choices=("kafka-python", "confluent-kafka"), default="kafka-python")
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    stated = {"requests": chosen.requests, "connections": chosen.connections, "client": chosen.client}
    measuring = Measuring("pushes", "Readings over HTTP", "reading", stated)
    with own_services(chosen.installed) as running, tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        url, environment = node(running, folder, chosen.client)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        source = f'name = "bench"\nreadings = "energy.readings"\nrequests_per_s = 100000\ntoken_sha256 = "{digest}"\n'
        sent = bodies(chosen.requests)
        with serving(environment, folder, f"[listen]\nport = {port}\n[[http]]\n{source}") as process:
            watched = psutil.Process(process.pid)
            while not any(found.laddr.port == port for found in watched.net_connections()):
                time.sleep(0.1)
            runs = [
                [measure(url, watched, port, sent, chosen.connections, keyed=keyed) for keyed in (False, True)]
                for _ in range(chosen.rounds + 1)
            ][1:]
    verified = "the readings that Kafka acknowledged, with those that were sent"
    for system, of_system in zip(
        ("ingest run", "ingest run, a key with each request"), zip(*runs, strict=True), strict=True
    ):
        measuring.systems.append(MeasuredSystem(system, chosen.requests * BATCH, list(of_system), verified))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
