"""A simulated city's waste through the real Kafka: every fault counted, every day and month where it belongs."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.system.command import Command
from tests.system.days import ZONE
from tests.system.streams import city_file

pytestmark = pytest.mark.services

DATASETS = ("waste.fill-levels", "waste.collections")
CLASSES = {"residual", "recycling", "organic"}


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


def test_simulated_waste_comes_to_the_account_that_it_foretells(command, city, tmp_path):
    report = tmp_path / "sent.json"
    before = datetime.now(UTC)
    command("ingest", "simulate-waste", "--containers", "300", "--premises", "4000", "--report", str(report))
    command("process", "--until-caught-up")
    command("publish", "--once", "--since", (before - timedelta(days=3)).date().isoformat())

    sent = json.loads(report.read_text())
    assert sent.keys() == set(DATASETS)
    status = json.loads(command("status", "--json"))
    streams = {stream["topic"]: stream for stream in status["streams"]}
    for dataset in DATASETS:
        expected, stream = sent[dataset], streams[f"{city}.{dataset}.v1"]
        account = stream["account"]
        for name in ("messages", "readings", "duplicate", "late", "rejected", "dead"):
            assert account[name] == expected[name] > 0, (dataset, name)
        parts = ("aggregated", "duplicate", "late", "rejected", "open", "lost")
        assert account["readings"] == sum(account[name] for name in parts)
        assert stream["publications"] > 0
    assert status["refused"] == {"unknown-source": sum(sent[dataset]["refused"] for dataset in DATASETS)}

    cells = {metric: rows(command("query", metric)) for metric in ("waste.fill", "waste.collected", "waste.tonnage")}
    clock = ZoneInfo(ZONE)
    assert {row["class"] for metric in cells for row in cells[metric]} == CLASSES
    assert len({row["window_start"] for row in cells["waste.fill"]}) >= 24
    # A whole local day, closed in time whatever time of the day it is now.
    days = {start(row).astimezone(clock) for row in cells["waste.collected"]}
    assert days and all((day.hour, day.minute) == (0, 0) for day in days)
    assert max(days) >= before.astimezone(clock) - timedelta(days=3)
    # The month before last is closed, the last one only from the 15th on.
    this = before.astimezone(clock).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = (this - timedelta(days=1)).replace(day=1)
    closed = {(last - timedelta(days=1)).replace(day=1)} | ({last} if before - this > timedelta(days=15) else set())
    assert {start(row).astimezone(clock) for row in cells["waste.tonnage"]} >= closed
    for row in cells["waste.fill"]:
        assert 0 <= int(row["value"]) <= 10_000


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def start(row):
    return datetime.fromisoformat(row["window_start"])
