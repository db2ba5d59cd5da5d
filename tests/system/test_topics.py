"""Topics of another Kafka as an operator reads them: a cluster that wants users under TLS, and a registry of schemas.

The other Kafka is that of a city with a platform of its own: its readings are written by Confluent's serializer, whose
registry is that city's API. Nothing of the project encodes or registers on its side.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from api.own.registry.subjects import text_of
from eventlog.kafka import KafkaLog
from schemas.registry import schema_named, schemas
from schemas.topics import live
from tests.federation.city import ISFAHAN, serving
from tests.ports import free_port
from tests.system.command import Command
from tests.system.secured_kafka import Secured, password, secured
from tests.system.streams import city_file
from tests.waiting import until

pytestmark = pytest.mark.services

TOPIC = live(ISFAHAN.id, "waste.collections")
PARTITIONS = 2
OLDER, NEWER = "waste.collections.v1", "waste.collections.v2"
"""The newer one has one more field, before the rows."""
BEGIN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)
PREMISES = ["0b000000", "0c000000", "0d000000"]
"""The other city's numbers of sources, four bytes in the order of Avro's `fixed`."""
PROFILE = """
title = "Weighings of the other city's platform"
metric = "waste.collected"
[json]
lines = true
each = "rows"
[source]
text = "{rows.source}"
[time]
columns = "start"
formats = "%Y-%m-%dT%H:%M:%S.%f%z"
zone = "text"
[value]
column = "rows.value"
unit = "g"
exponent = true
[quality]
column = "rows.quality"
actual = ["01"]
estimated = ["00"]
"""
LIST = """
[[topic]]
name = "{name}"
bootstrap = "{kafka}"
topic = "{topic}"
group = "{name}"
profile = "weighings.toml"
values = "avro"
registry = {{ url = "{registry}" }}
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
username = "{user}"
password_file = "{password}"
ca_file = "{authority}"
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The other Kafka, where the user `ingest` may read the topic in groups, and do nothing else."""
    with secured(tmp_path_factory.mktemp("foreign")) as running:
        KafkaLog(running.unguarded).create(TOPIC, PARTITIONS, {})
        admin = KafkaAdminClient(bootstrap_servers=running.unguarded)
        kinds = {ResourceType.TOPIC: TOPIC, ResourceType.GROUP: "*"}
        rights = [
            ACL("User:ingest", "*", ACLOperation.READ, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
            for kind, name in kinds.items()
        ]
        assert not admin.create_acls(rights)["failed"]
        admin.close()
        yield running


@pytest.fixture
def command(kafka: str, database_url: str, city: str, tmp_path: Path) -> Command:
    (tmp_path / "weighings.toml").write_text(PROFILE)
    (tmp_path / "register.csv").write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        + "".join(f"{source},waste.collected,a,of-{source},residual,2020-01-01,\n" for source in PREMISES)
    )
    path = city_file(tmp_path, city)
    path.write_text(re.sub(r'zone = ".*"', 'zone = "UTC"', path.read_text()))
    command = Command(path, kafka, database_url, tmp_path)
    command("register", "load", str(tmp_path / "register.csv"))
    return command


def listed(foreign: Secured, folder: Path, name: str, registry: str, **other: str) -> str:
    """A source of the list, with the right user, password and authority if no other is said; secrets are in files."""
    user = other.get("user", "ingest")
    (folder / f"{name}.password").write_text(other.get("password", password(user)))
    authority = foreign.folder / other.get("authority", "ca.pem")
    return LIST.format(
        **{"name": name, "kafka": foreign.both, "topic": TOPIC, "registry": registry},
        **{"user": user, "password": f"{name}.password", "authority": authority},
    )


class Platform:
    """The other city's program: it writes batches in Avro, by the schemas that its registry has."""

    def __init__(self, foreign: Secured, registry: str) -> None:
        user = {"sasl.mechanism": "PLAIN", "sasl.username": "chief", "sasl.password": password("chief")}
        safe = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(foreign.folder / "ca.pem"), **user}
        self._client = {"bootstrap.servers": foreign.both, "log_level": 0, **safe}
        self._producer = Producer(self._client)
        self._groups: dict[str, Consumer] = {}
        client = SchemaRegistryClient({"url": registry})
        self._serializers = {
            name: AvroSerializer(client, text_of(schema_named(name)), conf={"auto.register.schemas": False})
            for name in (OLDER, NEWER)
        }
        self._context = SerializationContext(TOPIC, MessageField.VALUE)
        self.grams: dict[datetime, int] = defaultdict(int)
        """By the day of the weighings, of those that can be read."""
        self.written = 0

    def encoded(self, version: str, minute: int, day: int = 0) -> bytes:
        """A message of the premises' weighings at one time, within the lateness: partitions come in any order."""
        when = BEGIN + timedelta(days=day, minutes=minute)
        grams = {source: 1_000 + 10 * minute + place for place, source in enumerate(PREMISES)}
        self.grams[when.replace(minute=0)] += sum(grams.values())
        rows = [
            {"source": bytes.fromhex(source), "contributor": bytes(4), "after": 0.0, "value": float(value)}
            | {"quality": b"\x01"}
            for source, value in grams.items()
        ]
        batch = {"metric": "waste.collected", "area": 1, "class": "residual", "interval": 0, "start": when}
        added = {"feeder": "scales"} if version == NEWER else {}
        encoded: bytes = self._serializers[version]({**batch, **added, "rows": rows}, self._context)
        return encoded

    def write(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self._producer.produce(TOPIC, message, partition=self.written % PARTITIONS)
            self.written += 1
        assert self._producer.flush(60) == 0

    def taken(self, group: str) -> int:
        """How many messages are before the positions of a group."""
        if group not in self._groups:
            self._groups[group] = Consumer({**self._client, "group.id": group})
        asked = [ConfluentPartition(TOPIC, number) for number in range(PARTITIONS)]
        return sum(max(at.offset, 0) for at in self._groups[group].committed(asked, timeout=30))


def dead(database_url: str) -> set[tuple[str, bytes]]:
    """Reason and original of every dead letter."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT reason, original FROM source_dead_letters").fetchall()
        return {(reason, bytes(original)) for reason, original in found}


def cells(command: Command) -> dict[datetime, int]:
    rows = csv.DictReader(io.StringIO(command("query", "waste.collected")))
    return {datetime.fromisoformat(row["window_start"]): int(row["value"]) for row in rows if int(row["value"])}


def test_avro_by_a_registry_comes_to_the_cells_also_by_a_new_version_and_after_the_registry_was_away(
    foreign, command, database_url, tmp_path
):
    port, log = free_port(), tmp_path / "run.log"
    (tmp_path / "sources.toml").write_text(listed(foreign, tmp_path, "platform", f"http://127.0.0.1:{port}"))
    with serving(database_url, ISFAHAN, port) as registry:
        platform = Platform(foreign, registry)
        first = [platform.encoded(OLDER, minute) for minute in range(10)]
        second = [platform.encoded(NEWER, minute) for minute in range(10, 20)]
        last = platform.encoded(NEWER, 0, day=8)
    unknown = b"\0" + max(schemas()).to_bytes(3, "big") + b"\xff" + first[0][5:]
    with command.running(log, "ingest", "run", str(tmp_path / "sources.toml")) as process:

        def are_taken() -> bool:
            assert process.poll() is None, log.read_text()
            return platform.taken("platform") == platform.written

        with serving(database_url, ISFAHAN, port):
            platform.write(first)
            until(are_taken, "what the first version wrote is taken")
        platform.write(first[:2])  # of a schema that is known by now
        until(are_taken, "what is known needs no registry")
        before = platform.taken("platform")
        platform.write(second)
        until(lambda: "schema registry" in log.read_text(), "the registry is missed")
        assert (platform.taken("platform"), dead(database_url)) == (before, set())
        with serving(database_url, ISFAHAN, port):
            until(are_taken, "what the second version wrote is taken")
            platform.write([unknown, second[0][:-5]])
            until(are_taken, "what can't be read is passed over")
            platform.write([last])
            until(are_taken, "it goes on")
        process.terminate()
        assert process.wait(60) == 0
    command("process", "--until-caught-up")
    assert cells(command) == {day: grams for day, grams in platform.grams.items() if day == BEGIN}
    assert dead(database_url) == {("not-in-schema", unknown), ("not-in-schema", second[0][:-5])}


REFUSED = {
    "password": ({"password": "a-wrong-secret-4711"}, "see username, password_file and sasl_mechanism"),
    "authority": ({"authority": "strangers-ca.pem"}, "see ca_file"),
    "rights": ({"user": "stranger"}, "see username, which must have the right to read the topic"),
}


def test_a_wrong_password_authority_or_user_is_said_with_its_keys_and_keeps_no_other_source_back(
    foreign, command, database_url, tmp_path
):
    lists, log, registry = tmp_path / "sources.toml", tmp_path / "run.log", f"http://127.0.0.1:{free_port()}"
    wrong = [listed(foreign, tmp_path, name, registry, **other) for name, (other, _) in REFUSED.items()]
    lists.write_text("".join(wrong) + listed(foreign, tmp_path, "right", registry))
    examined = command.outcome("doctor", "--sources", str(lists)).stdout
    with command.running(log, "ingest", "run", str(lists)) as process:
        for name in REFUSED:
            until(lambda: f"{name}: " in log.read_text(), f"{name} is said")  # noqa: B023
        until(lambda: "right: a member" in log.read_text(), "the other one reads")
        process.terminate()
        assert process.wait(60) == 0
    for name, (_, words) in REFUSED.items():
        for said in (examined, log.read_text()):
            assert re.search(rf"{name}\b.*Kafka.*{words}", said), said
    for said in (examined, log.read_text()):
        assert "pass-of-" not in said
        assert "4711" not in said
