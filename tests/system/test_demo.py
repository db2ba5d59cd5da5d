"""The demo of two cities, small: what it writes, what it serves, and that nothing of it is left."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from embedded.remove import remove
from schemas.catalogue import catalogue, datasets, leaving
from schemas.topics import FRAMES, REGIONS
from tests.conftest import INSTALLED
from tests.labels import LABELS
from tests.soak import soak_only
from tests.waiting import until

pytestmark = pytest.mark.services

WRONG = ("duplicate", "late", "rejected", "dead", "refused")
OUTCOMES = ("aggregated", "duplicate", "late", "rejected", "open", "lost")


class Demos:
    """Starts demos in a folder, and stops those that still run at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        for path in INSTALLED.iterdir():  # what was installed, and nothing of what another demo left
            if path.name != "demo":
                (home / path.name).symlink_to(path)
        environment = {**os.environ, "SISTERCITY_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        options = ["--meters", "2000", "--output", str(self._folder / "demo.json")]
        command = [sys.executable, "-m", "node", "demo", *options, *arguments]
        with (self._folder / "demo.log").open("w") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, text=True)
        self._started.append(process)
        return process

    def close(self) -> None:
        """Stop what runs: its services are to have ended before the folder goes."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def demos(tmp_path):
    """Demos of this test. PostgreSQL's files lie elsewhere where its user can't enter the test's folder."""
    found = Demos(tmp_path)
    yield found
    found.close()
    remove(tmp_path / "home" / "demo")


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=0)[1]


def family(process: "subprocess.Popen[str]", folder: Path) -> list[psutil.Process]:
    """The demo's processes, and whatever else runs on its data."""
    children = psutil.Process(process.pid).children(recursive=True)
    mine = str(folder / "home")
    others = [
        found for found in psutil.process_iter(["cmdline"]) if any(mine in part for part in found.info["cmdline"] or ())
    ]
    return list({found.pid: found for found in [*children, *others]}.values())


def test_two_cities_exchange_a_day_and_every_account_adds_up(tmp_path, demos):
    process = demos.start("--once")
    assert process.wait(240) == 0, (tmp_path / "demo.log").read_text()
    content = json.loads((tmp_path / "demo.json").read_text())
    assert content["seconds"] > 0
    assert set(content["cities"]) == {"isfahan", "ho-chi-minh-city"}
    for name, streams in content["cities"].items():
        [partner] = [other for city, other in content["cities"].items() if city != name]
        assert set(streams) == {*datasets(), FRAMES} - {"traffic.counts"}  # nothing of it is simulated
        for dataset, counts in streams.items():
            assert counts["in"] == sum(counts[name] for name in OUTCOMES) == counts["acknowledged"] > 0
            assert counts["messages"] == counts["acknowledged_messages"]
            assert counts["lost"] == 0
            if dataset != FRAMES:
                assert counts["publications_made"] > 0
                assert counts["windows_closed"] > 0
                # By the time of day, a day has closed in one city and not yet in the other.
                assert counts["publications_pulled"] == partner[dataset]["publications_made"]
                # Of traffic nothing was measured before, so what is open is decided after seven days.
                assert (counts["cells_released"] > 0) == (dataset != REGIONS)
            on_purpose = {REGIONS: (), FRAMES: ("duplicate", "rejected", "dead", "refused")}.get(dataset, WRONG)
            assert min((counts[name] for name in on_purpose), default=1) > 0, dataset
        assert streams["energy.readings"]["publications_made"] >= 48
        assert streams[FRAMES]["aggregated"] == streams[REGIONS]["in"]
    answers = content["without_agreement"]
    assert answers.pop("POST /v1/token") == "401 invalid_client"
    assert len(answers) >= 3 and set(answers.values()) == {"401 Bearer"}
    said = (tmp_path / "demo.log").read_text()
    assert "hue has no agreement" in said
    assert "per person and day" in said
    assert all(metric.name in said for metric in leaving(catalogue().values(), catalogue()))


def assert_metrics_name_nobody(address: str) -> None:
    """Our own metrics are there, and their labels are those that may be (P2)."""
    with urllib.request.urlopen(address) as answer:
        families = [
            family for family in text_string_to_metric_families(answer.read().decode()) if "sistercity" in family.name
        ]
    labels = {name for family in families for sample in family.samples for name in sample.labels}
    assert labels <= LABELS | {"le"}  # the bounds of histograms
    if any(family.name == "sistercity_readings" and family.samples for family in families):  # the processor's
        assert {"sistercity_lag_messages", "sistercity_latest_event_seconds"} <= {family.name for family in families}


@soak_only
def test_it_stays_up_until_ctrl_c_and_then_nothing_of_it_is_left(tmp_path, demos):
    process = demos.start()
    log = tmp_path / "demo.log"
    until(lambda: "Ctrl-C stops everything" in log.read_text() or process.poll() is not None, "it is up", 240)
    [address] = {word for word in log.read_text().split() if word.endswith(":8080/v1/compare?format=csv")} or {None}
    if address is not None:
        with urllib.request.urlopen(address) as answer:
            cities = {row["city"] for row in csv.DictReader(io.TextIOWrapper(answer, "utf-8"))}
        assert cities == {"isfahan", "ho-chi-minh-city"}
    for address in {word for word in log.read_text().split() if word.endswith("/metrics")}:
        assert_metrics_name_nobody(address)
    processes = family(process, tmp_path)
    assert len(processes) > 16
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, log.read_text()
    until(lambda: gone(processes), "all processes ended")


@soak_only
def test_killed_it_takes_everything_with_it(tmp_path, demos):
    """What `make test` shows of the services and of workers by themselves: `embedded.test_services`, `test_workers`."""
    process = demos.start()
    log = tmp_path / "demo.log"
    until(lambda: "started both cities" in log.read_text() or process.poll() is not None, "it has begun", 120)
    deadline = time.monotonic() + 60
    while len(processes := family(process, tmp_path)) <= 16:
        assert time.monotonic() < deadline, log.read_text()
    process.kill()
    process.wait()
    until(lambda: gone(processes), "all processes ended")
