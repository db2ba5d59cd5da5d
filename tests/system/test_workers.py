"""`sistercity process --workers`: several processes as one command, on the real Kafka and PostgreSQL."""

import os
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.ports import free_ports
from tests.system.days import ENERGY, energy_day
from tests.system.processes import SistercityProcess
from tests.system.streams import (
    ASKING_S,
    PROCESS,
    SHARE,
    Processor,
    Topics,
    city_file,
    process_undisturbed,
    shares,
    table,
)
from tests.waiting import until

pytestmark = pytest.mark.services


@pytest.fixture
def topics(kafka_log, kafka, city):
    return Topics(kafka_log, kafka, city, [ENERGY])


def children(process: SistercityProcess) -> list[int]:
    """The process ids of the workers."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def run(folder, kafka, database_url, city, *options: str, **settings: str) -> Processor:
    role = (*PROCESS, "--workers", "2", *options)
    return Processor(city_file(folder, city), kafka, database_url, folder / "process.log", role, settings)


def test_workers_end_together_when_all_is_read(
    kafka, kafka_log, topics, city, database_url, second_database_url, tmp_path
):
    topics.send(energy_day(600))
    parent = run(tmp_path, kafka, database_url, city, "--until-caught-up")
    assert parent.process.wait(120) == 0, (tmp_path / "process.log").read_text()
    process_undisturbed(kafka_log, topics.names, second_database_url, f"alone-{city}")
    workers, alone = table(database_url), table(second_database_url)
    assert len(alone["cells"]) > 50  # how many depends on the hour of the day
    assert workers["cells"] == alone["cells"]
    assert workers["dead"] == alone["dead"]
    assert {row[0] for row in workers["account"]} > {row[0] for row in alone["account"]}
    assert [row for row in workers["account"] if row[0] in topics.names] == alone["account"]


def test_workers_share_the_partitions_have_a_port_each_and_stop_with_their_parent(
    kafka, topics, city, database_url, tmp_path
):
    port, _ = free_ports(2)
    parent = run(tmp_path, kafka, database_url, city, SISTERCITY_METRICS_PORT=str(port))
    until(
        lambda: shares(kafka, f"{city}.process") == [SHARE, SHARE] or parent.process.poll() is not None,
        "both share the partitions of all topics",
        pause_s=ASKING_S,
    )
    assert parent.process.poll() is None, (tmp_path / "process.log").read_text()
    for number in range(2):
        with urllib.request.urlopen(f"http://127.0.0.1:{port + number}/metrics", timeout=10) as answer:
            assert b"sistercity_lag_messages" in answer.read()
    assert len(children(parent.process)) == 2
    assert parent.stop() == 0
    until(lambda: shares(kafka, f"{city}.process") == [], "the group has missed both", pause_s=ASKING_S)


def test_workers_end_when_their_parent_is_killed_and_the_parent_when_a_worker_fails_early(
    kafka, topics, city, database_url, tmp_path
):
    parent = run(tmp_path, kafka, database_url, city)
    until(lambda: len(shares(kafka, f"{city}.process")) == 2, "both have joined", pause_s=ASKING_S)
    parent.kill()
    until(lambda: shares(kafka, f"{city}.process") == [], "both have left", pause_s=ASKING_S)
    parent = run(tmp_path, kafka, database_url, city)
    until(lambda: len(shares(kafka, f"{city}.process")) == 2, "both have joined", pause_s=ASKING_S)
    os.kill(children(parent.process)[0], signal.SIGKILL)
    assert parent.process.wait(60) == 1
    assert "was killed by signal 9" in (tmp_path / "process.log").read_text()
