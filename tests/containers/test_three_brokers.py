"""A city of release 0.1.0 goes on in containers of this version, on three brokers, of which one is killed under load.

The tests of this file run in their order on one city. The recording is that of `tests/upgrade`. Its messages go into
Kafka at their old offsets, written in version 1 of their schemas; what comes in later is written in version 2. Kafka
gives them new append times, so only positions and what is new are compared here: `tests/upgrade` compares every number.
"""

import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.containers.city import PATIENCE_S, ContainerCity
from tests.ports import free_port
from tests.system.compose import ROOT
from tests.waiting import until

pytestmark = pytest.mark.containers

RELEASE = ROOT / "tests" / "upgrade" / "release_0_1_0"
NODE = ("run", "--rm", "--no-TTY", "cli")
MISSING = "kafka's replicas"
ENERGY = "topic LIKE '%.energy.readings.%'"
SENT = f"SELECT sum(messages), sum(readings) FROM deliveries WHERE {ENERGY}"
READ = f"SELECT sum(next_offset) FROM stream_offsets WHERE {ENERGY}"
REACHED = f"""
SELECT sum(reached) FROM
    (SELECT max(last_offset) + 1 AS reached FROM deliveries WHERE {ENERGY} GROUP BY topic, partition) AS ends
"""
BALANCED = """
SELECT bool_and(readings = aggregated + duplicate + late + rejected + open + lost AND lost = 0 AND stopped IS NULL)
    FROM stream_offsets
"""
ENTRIES = """
SELECT md5(string_agg(concat_ws(' ', sequence, window_start, window_end, revision), ',' ORDER BY sequence))
    FROM publications WHERE metric = 'energy.import' AND position <= {}
"""
WRITE = """
import base64, json, sys
from kafka import KafkaProducer
from node import wiring
log, messages = wiring.log(), [json.loads(line) for line in sys.stdin]
text = lambda value: None if value is None else base64.b64decode(value)
producer = KafkaProducer(bootstrap_servers=wiring.bootstrap().split(","), acks="all")
sent = [producer.send(m["topic"], text(m["value"]), text(m["key"]), partition=m["partition"]) for m in messages]
producer.flush()
assert [each.get().offset for each in sent] == [each["offset"] for each in messages]
for topic in sorted(name for name in log.topics() if not name.startswith("_")):
    facts = log.describe(topic)
    ids = f"cluster_id = '{facts.cluster_id}', topic_id = '{facts.topic_id}'"
    print(f"UPDATE stream_topics SET {ids} WHERE topic = '{topic}';")
"""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerCity]:
    settings = {
        "COMPOSE_PROJECT_NAME": f"three-{os.getpid()}",
        "COMPOSE_PROFILES": "kafka,postgres",
        "COMPOSE_FILE": "docker-compose.yml:docker-compose.three-brokers.yml",
        "SISTERCITY_IMAGE": "sistercity-tested",
        "SISTERCITY_KAFKA": "kafka:9092,kafka-2:9092,kafka-3:9092",
        "SISTERCITY_API_PORT": str(free_port()),
        "SISTERCITY_PARTITIONS": "4",
        "KAFKA_HEAP_OPTS": "-Xms128m -Xmx384m",
    }
    made = ContainerCity(tmp_path_factory.mktemp("three") / "city", settings)
    made.configure()
    yield made
    made.remove()


def test_a_city_of_release_0_1_0_goes_on_with_the_documented_steps(city):
    city.do("build", "migrate")
    servers = ("postgres", "kafka", "kafka-2", "kafka-3")
    city.do("up", "--detach", "--wait", "--no-build", "--wait-timeout", "500", *servers)
    _psql(city, "DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + _read("database.sql.gz"))
    last = city.sql("SELECT max(position) FROM publications")
    released, before = city.sql(ENTRIES.format(last)), city.sql(READ)
    city.do("run", "--rm", "--no-TTY", "migrate")
    city.do("run", "--rm", "--no-TTY", "topics")
    _psql(city, city.do(*NODE[:-1], "--entrypoint", "python", "cli", "-c", WRITE, given=_read("messages.jsonl.gz")))
    city.do("up", "--detach", "--wait", "--no-build", "--wait-timeout", "500")
    assert city.sql(ENTRIES.format(last)) == released
    city.do(*NODE, "ingest", "simulate", "--meters", "260")
    until(lambda: city.sql(READ) == city.sql(REACHED), "what came in is processed", PATIENCE_S, 2)
    assert int(city.sql(READ)) > int(before)
    assert city.sql(BALANCED) == "t", city.do(*NODE, "status")
    newer = f"SELECT count(*) FROM publications WHERE metric = 'energy.import' AND position > {last}"
    until(lambda: city.sql(newer) != "0", "publishing goes on", PATIENCE_S, 2)
    assert city.sql(ENTRIES.format(last)) == released


def test_a_broker_is_killed_under_load_and_nothing_is_lost_or_counted_twice(city):
    assert not _doctor_says(city, MISSING)
    before, counted = city.sql(SENT), _counted(city)
    with ThreadPoolExecutor(1) as aside:
        sending = aside.submit(lambda: city.do(*NODE, "ingest", "simulate", "--meters", "20000"))
        until(lambda: sending.done() or _counted(city) != counted, "readings come in", PATIENCE_S)
        city.do("kill", "kafka-2")
        assert not sending.done()
        sending.result()
    until(partial(_doctor_says, city, MISSING, "2 brokers answer"), "doctor finds the broker gone", PATIENCE_S, 2)
    until(lambda: city.sql(READ) == city.sql(REACHED), "what came in is processed", PATIENCE_S, 2)
    sent = [after - earlier for after, earlier in zip(_pair(city.sql(SENT)), _pair(before), strict=True)]
    assert [after - earlier for after, earlier in zip(_counted(city), counted, strict=True)] == sent
    assert city.sql(BALANCED) == "t", city.do(*NODE, "status")
    city.do("start", "kafka-2")
    until(lambda: not _doctor_says(city, MISSING), "the broker has caught up", PATIENCE_S, 2)
    until(city.all_healthy, "all are healthy again", PATIENCE_S, 2)


def _doctor_says(city: ContainerCity, *words: str) -> bool:
    report = city.compose(*NODE, "doctor").stdout
    return all(each in report for each in words)


def _counted(city: ContainerCity) -> tuple[int, ...]:
    """Messages and readings that the account has of energy."""
    return _pair(city.sql(f"SELECT sum(messages), sum(readings) FROM stream_offsets WHERE {ENERGY}"))


def _pair(row: str) -> tuple[int, ...]:
    return tuple(map(int, row.split("|")))


def _psql(city: ContainerCity, commands: str) -> None:
    words = ("exec", "--no-TTY", "postgres", "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1")
    city.do(*words, "--host", "127.0.0.1", "--username", "sistercity", "--dbname", "sistercity", given=commands)


def _read(name: str) -> str:
    return gzip.decompress((RELEASE / name).read_bytes()).decode()
