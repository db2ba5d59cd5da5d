"""Roles of release 0.1.0 beside those of this version, on the tables of this version: see docs/containers.md.

The program of the release is that of its commit, run by this version's Python and libraries.
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from eventlog.kafka import KafkaLog
from federation.publications.publisher import publish_due
from federation.publications.schedule import Stream
from federation.publications.slots import slot
from schemas.catalogue import catalogue, metrics_of
from schemas.topics import dataset_of, live
from store.database import connect
from store.moments import milliseconds
from store.publications import Window
from tests.publishing import appender
from tests.system.streams import by_partition, process_undisturbed
from tests.upgrade.recording import PUBLICATIONS, TOPICS, rows
from tests.waiting import until

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of release 0.1.0."""
    named = re.search(r"^## \[0\.1\.0]\n\nCommit `(\w+)`", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert named
    try:
        words = ["git", "archive", "--format=zip", named[1]]
        archive = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs git, and a clone with release 0.1.0 in its history: `git fetch --unshallow` brings it")
    folder = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
    return folder


class Roles:
    """Commands of the release for one city."""

    def __init__(self, release: Path, home: Path, city: str, kafka: str, database_url: str) -> None:
        self._release, self._home = release, home
        own = (release / "ingest" / "cities" / "isfahan.toml").read_text()
        (home / "city.toml").write_text(re.sub(r'^id = ".*"', f'id = "{city}"', own, count=1, flags=re.MULTILINE))
        passed = {name: value for name, value in os.environ.items() if not name.startswith("SISTERCITY_")}
        self._environment = passed | {
            "PYTHONPATH": str(release),  # comes before where this version is installed
            "SISTERCITY_CITY": str(home / "city.toml"),
            "SISTERCITY_HOME": str(home),
            "SISTERCITY_KAFKA": kafka,
            "SISTERCITY_DATABASE_URL": database_url,
            "SISTERCITY_PARTITIONS": "4",
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "node", *arguments]
        with (self._home / f"{arguments[0]}.err").open("w") as log:
            return subprocess.Popen(
                words, cwd=self._home, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def said(self, command: str) -> str:
        return (self._home / f"{command}.err").read_text()


@pytest.fixture
def roles(release: Path, tmp_path: Path, city: str, kafka: str, restored_url: str) -> Roles:
    return Roles(release, tmp_path, city, kafka, restored_url)


def test_publish_of_the_release_ends_and_commits_nothing(roles: Roles, restored_url: str) -> None:
    before = _written(restored_url)
    assert roles.start("publish", "--once").wait(120) > 0
    assert "UndefinedColumn" in roles.said("publish")
    assert _written(restored_url) == before


def test_serve_of_the_release_goes_on_until_this_version_publishes(roles: Roles, restored_url: str) -> None:
    with _serving(roles) as url:
        assert _served(url) == len(rows(restored_url, PUBLICATIONS)) > 0
        assert _publish(restored_url)
        with pytest.raises(HTTPError, match="500"):  # metrics that the release does not know: `serve` is replaced first
            _served(url)


def test_what_the_release_still_sends_is_processed_by_this_version_alone(
    roles: Roles, restored_url: str, city: str, kafka_log: KafkaLog
) -> None:
    topic = live(city, "energy.readings")
    assert roles.start("ingest", "simulate", "--meters", "260").wait(120) == 0, roles.said("ingest")
    sent = sum(map(len, by_partition(kafka_log, topic).values()))
    before = _written(restored_url)
    assert roles.start("process", "--until-caught-up").wait(120) > 0
    assert "UndefinedColumn" in roles.said("process")
    assert _written(restored_url) == before
    process_undisturbed(kafka_log, [topic], restored_url, f"{city}.process")
    counted = (
        "SELECT sum(messages), sum(decoded), bool_and(messages = decoded + dead + lost_messages) FROM stream_offsets"
    )
    [(messages, decoded, balanced)] = rows(restored_url, f"{counted} WHERE topic = %s", topic)
    assert messages == sent > 0
    assert balanced
    assert decoded > 0


@contextmanager
def _serving(roles: Roles) -> Iterator[str]:
    role = roles.start("serve", "--port", "0")
    try:
        until(lambda: PORT.search(roles.said("serve")), "the release serves")
        yield PORT.search(roles.said("serve"))[0]
    finally:
        role.send_signal(signal.SIGINT)
        assert role.wait(60) == 0, roles.said("serve")


def _served(url: str) -> int:
    """How many publications a partner finds."""
    found, after = 0, ""
    while True:
        with urllib.request.urlopen(f"{url}/v1/publications?limit=1000{after}") as answer:
            page: dict[str, Any] = json.load(answer)
        found += len(page["publications"])
        if not page["publications"]:
            return found
        after = f"&after={page['next']}"


def _publish(database_url: str) -> int:
    """Publish, by this version, what is due some hours after the last window; how many that were."""
    streams = [Stream(topic, metrics_of(dataset_of(topic))) for topic in TOPICS]
    energy = [row for row in rows(database_url, PUBLICATIONS) if row[0] == "energy.import"]
    last = Window(milliseconds(energy[-1][2]), milliseconds(energy[-1][3]))
    now = slot(catalogue()["energy.import"], last) + 3 * 3_600_000
    with connect(database_url) as connection:
        return len(publish_due(appender(connection), streams, "Asia/Tehran", now))


def _written(database_url: str) -> list[list[tuple]]:
    """What processing and publishing write, and how far it was read."""
    read = "SELECT topic, partition, next_offset, messages FROM stream_offsets WHERE messages > 0 ORDER BY 1, 2"
    tables = ("cells", "dead_letters", "publications", "published_cells")
    return [
        rows(database_url, query) for query in (read, *(f"SELECT * FROM {table} ORDER BY 1, 2, 3" for table in tables))
    ]
