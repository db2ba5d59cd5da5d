"""The sample of docs/push.md as an operator runs it: from a sender's request to the cells; TLS and kills."""

import csv
import io
import json
import re
import shutil
import ssl
import subprocess
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.api.connections import certified
from tests.ports import free_port
from tests.system.command import Command
from tests.system.streams import city_file
from tests.waiting import until

pytestmark = pytest.mark.services

PAGE = Path(__file__).parents[2] / "docs/push.md"


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    path = city_file(tmp_path, city)
    path.write_text(re.sub(r'zone = ".*"', 'zone = "UTC"', path.read_text()))
    return Command(path, kafka, database_url, tmp_path)


def test_the_sample_of_the_page_comes_to_the_cells(command, database_url, tmp_path):
    blocks = dict(reversed(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)))
    port = free_port()
    sources, log = tmp_path / "sources.toml", tmp_path / "run.log"
    sources.write_text(blocks["toml"].replace("8444", str(port)))
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        "meter-1,energy.import,a,customer-1,residential,2026-01-01,\n"
    )
    command("register", "load", str(register))
    with command.running(log, "ingest", "run", str(sources)) as process:
        until(lambda: "listening on" in log.read_text(), "the door is open")
        sample = blocks["sh"].replace("8444", str(port)).replace("-sS", "-sS --fail --retry 30 --retry-delay 1")
        found = subprocess.run(["sh", "-c", sample], check=True, capture_output=True, text=True).stdout
        assert f"can't listen on 127.0.0.1:{port}" in command.fails("ingest", "run", str(sources))
        later = {"source": "meter-1", "metric": "energy.import", "start": "2026-11-27T14:00:00Z"}
        headers = {"Authorization": "Bearer secret"}
        body = later | {"interval_s": 900, "value": 1, "unit": "Wh"}
        assert httpx.post(f"http://127.0.0.1:{port}/v1/readings", json=body, headers=headers).status_code == 202
        process.terminate()
        assert process.wait(60) == 0
    assert found == '{"refused_count": 1, "refused": [{"position": 2, "reason": "unknown-source"}]}'
    command("process", "--until-caught-up")
    rows = csv.DictReader(io.StringIO(command("query", "energy.import")))
    assert {row["window_start"]: int(row["value"]) for row in rows if int(row["value"])} == {
        "2026-11-27T10:00:00+00:00": 900_000_000
    }
    with psycopg.connect(database_url) as connection:
        kept = connection.execute("SELECT reason, original FROM source_dead_letters").fetchall()
    assert [(reason, b"meter-2" in bytes(original)) for reason, original in kept] == [("unknown-source", True)]


SECURED = """
[listen]
port = {port}
cert_file = "certificate.pem"
key_file = "key.pem"
[[http]]
name = "head-end"
token_sha256 = ["{digest}"]
readings = "energy.readings"
"""


def test_keys_hold_over_a_kill_and_in_another_process_and_a_renewed_certificate_is_served(command, tmp_path):
    made = list(certified(tmp_path, "old", "new"))
    for name in ("certificate", "key"):
        shutil.copy(getattr(made[0], name), tmp_path / f"{name}.pem")
    address = ""

    def post(key: str, value: int, context: ssl.SSLContext) -> httpx.Response:
        body = [
            {"source": source, "metric": "energy.import", "start": "2026-11-27T14:00:00Z", "interval_s": 900}
            | {"value": value, "unit": "Wh"}
            for source in ("meter-1", "nobody")
        ]
        headers = {"Authorization": "Bearer secret", "Idempotency-Key": key}
        return httpx.post(address, json=body, headers=headers, verify=context, trust_env=False, timeout=60)

    def is_taken(context: ssl.SSLContext) -> bool:
        return post("one", 5, context).status_code == 202

    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        "meter-1,energy.import,a,customer-1,residential,2026-01-01,\n"
    )
    command("register", "load", str(register))
    trusts = [ssl.create_default_context(cafile=tmp_path / name / "authority.pem") for name in ("old", "new")]
    for number in range(2):
        port, log = free_port(), tmp_path / f"run-{number}.log"
        address = f"https://127.0.0.1:{port}/v1/readings"
        (tmp_path / "sources.toml").write_text(SECURED.format(port=port, digest=sha256(b"secret").hexdigest()))
        with command.running(log, "ingest", "run", str(tmp_path / "sources.toml")):  # killed at the end of the block
            until(partial(is_open, log), "the door is open")
            until(partial(is_taken, trusts[number]), "it is taken")
            assert post("one", 5, trusts[number]).json() == {
                "refused_count": 1,
                "refused": [{"position": 2, "reason": "unknown-source"}],
            }
            assert post("one", 6, trusts[number]).status_code == 422
            if number == 0:
                for name in ("key", "certificate"):
                    shutil.copy(getattr(made[1], name), tmp_path / f"{name}.pem")
                assert post("two", 7, trusts[1]).status_code == 202
    assert post_counts(command) == 2


def is_open(log: Path) -> bool:
    return "listening on" in log.read_text()


def post_counts(command: Command) -> int:
    """Readings that came into the log: of each key once."""
    command("process", "--until-caught-up")
    [stream] = [found for found in json.loads(command("status", "--json"))["streams"] if "energy" in found["topic"]]
    return stream["account"]["readings"]
