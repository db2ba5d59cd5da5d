"""Files in a watched folder, while the process that takes them is killed: nothing is lost, nothing counts twice."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from schemas.topics import live
from tests.system.command import Command
from tests.system.streams import ASKING_S, city_file
from tests.waiting import until

pytestmark = pytest.mark.services

KWH = 3_600_000_000
METERS = 600
PROFILE = """
title = "Quarter hours of a head-end"
metric = "energy.import"
[file]
delimiter = ";"
decimal = ","
[source]
text = "{meter}"
[time]
columns = "begins"
formats = "%d.%m.%Y %H:%M"
zone = "UTC"
[value]
column = "kwh"
unit = "kWh"
[interval]
seconds = 900
"""
SOURCES = """
[[folder]]
name = "head-end"
path = "drop"
profile = "meters.toml"
settle_s = 1
"""


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    path = city_file(tmp_path, city)
    path.write_text(re.sub(r'zone = ".*"', 'zone = "UTC"', path.read_text()))
    return Command(path, kafka, database_url, tmp_path)


def write(path: Path, meters: Sequence[int], times: Sequence[datetime]) -> None:
    """One file of these meters and times, with a line that is none, under its name at once."""
    lines = [
        f"meter-{meter:04};{time:%d.%m.%Y %H:%M};{meter * 7919 % 5000 // 1000},{(meter + time.minute) % 1000:03}\n"
        for meter in meters
        for time in times
    ]
    part = path.with_name(path.name + ".part")
    part.write_text("meter;begins;kwh\n" + "".join(lines) + "meter-0000;broken\n")
    part.rename(path)


def hourly(paths: Sequence[Path], before: datetime) -> dict[str, int]:
    """Millijoules of the hours that begin before a time, straight from the files."""
    sums: dict[str, int] = defaultdict(int)
    for path in paths:
        for row in csv.DictReader(io.StringIO(path.read_text()), delimiter=";"):
            if row["kwh"] is None:
                continue
            hour = datetime.strptime(row["begins"], "%d.%m.%Y %H:%M").replace(minute=0, tzinfo=UTC)
            if hour < before:
                sums[hour.isoformat()] += round(float(row["kwh"].replace(",", ".")) * 1_000) * KWH // 1_000
    return dict(sums)


def sent(consumer: KafkaConsumer, topic: str) -> int:
    """How many messages the topic holds."""
    numbers = consumer.partitions_for_topic(topic) or ()
    return sum(consumer.end_offsets([KafkaPartition(topic, number) for number in numbers]).values())


def done(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT count(*) FROM arrivals").fetchone()
        assert found is not None
        return int(found[0])


def test_what_is_dropped_while_the_process_is_killed_counts_once(command, kafka, database_url, city, tmp_path):
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    drop, log = tmp_path / "drop", tmp_path / "run.log"
    drop.mkdir()
    (tmp_path / "meters.toml").write_text(PROFILE)
    sources = tmp_path / "sources.toml"
    sources.write_text(SOURCES)
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        + "".join(f"meter-{n:04},energy.import,a,customer-{n},residential,2026-01-01,\n" for n in range(METERS))
    )
    command("register", "load", str(register))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    times = [now - timedelta(hours=5) + timedelta(minutes=15 * n) for n in range(20)]
    quarter = len(times) // 4  # later files hold later times: however long it takes, nothing in them is late
    paths = [drop / f"{name}.csv" for name in ("a", "b", "c", "d")]
    topic = live(city, "energy.readings")

    write(paths[0], range(METERS), times[:quarter])
    write(paths[1], range(METERS), times[quarter : 2 * quarter])
    with command.running(log, "ingest", "run", str(sources)):  # killed when the first messages are in Kafka
        until(lambda: sent(consumer, topic), "the first messages", pause_s=ASKING_S)
    with command.running(log, "ingest", "run", str(sources)):
        until(lambda: done(database_url) == 2, "two files are done", pause_s=ASKING_S)
        before = sent(consumer, topic)
        write(paths[2], range(METERS), times[2 * quarter : 3 * quarter])
        write(paths[3], range(METERS), times[3 * quarter :])
        until(lambda: sent(consumer, topic) > before, "messages of the other two", pause_s=ASKING_S)
    with command.running(log, "ingest", "run", str(sources)) as process:
        until(lambda: log.read_text().count("watching 1 folder") == 3, "the third process watches")
        until(lambda: done(database_url) == 4, "all files are done", pause_s=ASKING_S)
        rejects = [(path.parent / f"{path.name}.rejects.csv").read_text().splitlines() for path in paths]
        process.terminate()
        assert process.wait(60) == 0
    assert [lines[1].split(",", 2)[1] for lines in rejects] == ["unreadable"] * 4
    assert [lines[1].split(",")[0] for lines in rejects] == [str(METERS * quarter + 2)] * 4
    consumer.close()
    assert_each_reading_counts_once(command, topic, paths, now - timedelta(hours=2))


def assert_each_reading_counts_once(command, topic, paths, until_hour):
    command("process", "--until-caught-up")
    rows = csv.DictReader(io.StringIO(command("query", "energy.import")))
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        found[row["window_start"]] += int(row["value"])
    wanted = hourly(paths, until_hour)
    assert {hour: found[hour] for hour in wanted} == wanted
    assert len(wanted) == 3
    status = json.loads(command("status", "--json"))
    [stream] = [stream for stream in status["streams"] if stream["topic"] == topic]
    account = stream["account"]
    assert account["readings"] >= METERS * 20
    assert account["readings"] == sum(account[kind] for kind in ("aggregated", "duplicate", "late", "rejected", "open"))
    assert account["rejected"] == 0


def test_a_folder_is_watched_by_one_process_and_what_an_operator_can_mend_is_said(command, tmp_path):
    (tmp_path / "drop").mkdir()
    (tmp_path / "meters.toml").write_text(PROFILE)
    sources = tmp_path / "sources.toml"
    sources.write_text(SOURCES.replace("settle_s", "settle"))
    assert "unknown key settle; it may have" in command.fails("ingest", "run", str(sources))
    sources.write_text(SOURCES)
    lock, log = tmp_path / "drop" / ".sistercity.lock", tmp_path / "run.log"
    lock.symlink_to(tmp_path / "elsewhere")
    assert "can't be made" in command.fails("ingest", "run", str(sources))
    assert not (tmp_path / "elsewhere").exists()
    lock.unlink()
    with command.running(log, "ingest", "run", str(sources)):
        until(lambda: "watching 1 folder" in log.read_text(), "it watches")
        assert "another process watches this folder" in command.fails("ingest", "run", str(sources))
