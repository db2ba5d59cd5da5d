"""The adapter of MQTT against a real Mosquitto; the log is in memory, so that it can fail as a test likes."""

import json
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from eventlog.protocol import DeliveryFailed
from ingest.feed import Feed
from ingest.journal import NoArrivals
from ingest.live.mqtt import BrokerFailed, MqttBroker, MqttInbox, ask_broker
from ingest.live.readings import SentReadings
from ingest.live.sending import LiveSource, SourceSender
from node.demo.certificates import Authority
from schemas.topics import live
from tests.ingest.account import RecordingWriter
from tests.ingest.files.imports import NOW, PARTITIONS, Journal, register, rows
from tests.mosquitto import Mosquitto, mosquitto, needs_mosquitto, publishing
from tests.ports import free_port
from tests.waiting import until

pytestmark = needs_mosquitto

SOURCES = [f"m-{number}" for number in range(50)]


class Log(RecordingWriter):
    """A log that can be away."""

    away = False

    def flush(self) -> None:
        if self.away:
            raise DeliveryFailed("the log is away")


class Receiver:
    """An inbox with what sends from it; `turn` takes what has come, as `ingest run` does."""

    def __init__(self, broker: MqttBroker, spool: Path, log: Log, journal: Journal) -> None:
        spool.mkdir(exist_ok=True)
        self.inbox = MqttInbox("bins", broker, spool, lambda: NOW)
        form = SentReadings("energy.readings", each_line=True)

        def feed(told) -> Feed:
            return Feed(log, live("town", form.dataset), told, "tests")

        source = LiveSource(self.inbox, form, None)
        self.sender = SourceSender(source, feed, journal, NoArrivals(), register(*SOURCES), lambda: NOW)
        self.inbox.start()

    def turn(self) -> int:
        try:
            return self.sender.turn(Event())
        except DeliveryFailed:
            self.inbox.forget()
            return 0


@contextmanager
def receiving(broker: MqttBroker, spool: Path, log: Log, journal: Journal) -> Iterator[Receiver]:
    receiver = Receiver(broker, spool, log, journal)
    try:
        yield receiver
    finally:
        receiver.inbox.stop()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as found:
        yield found


def to(port: int, **more: object) -> MqttBroker:
    settings: dict = {"host": "127.0.0.1", "port": port, "topics": ("meters/#",), "client_id": "node", **more}
    return MqttBroker(**settings)


def reading(number: int, value: int = 0) -> bytes:
    return json.dumps(
        {
            **{
                "source": SOURCES[number % 50],
                "metric": "energy.import",
                "start": NOW - 9_000_000 - number // 50 * 900_000,
            },
            **{"interval_s": 900, "value": value or number + 1, "unit": "Wh"},
        }
    ).encode()


def values(log: Log) -> set[int]:
    """The values in the log, in Wh."""
    return {value // 3_600_000 for _, value in rows(log)}


def publish(port: int, payloads: list[bytes], **how: object) -> None:
    """Publish with QoS 1; return when the broker has all."""
    with publishing(port) as client:
        for info in [client.publish("meters/a", payload, qos=1, **how) for payload in payloads]:  # type: ignore[arg-type]
            info.wait_for_publish(30)


def test_messages_come_to_the_log_and_rubbish_to_the_dead_letters(running: Mosquitto, tmp_path: Path) -> None:
    log, journal = Log(PARTITIONS, NOW), Journal()
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(running.port, [b"rubbish", b"", b"[1]", reading(0), b"{", reading(1), b"\xff\n{}", b"[" * 100_000])
        until(lambda: receiver.turn() or values(log) == {1, 2}, "both are there")
        until(lambda: receiver.turn() or values(log) == {1, 2}, "both are there")
    assert values(log) == {1, 2}
    assert Counter(item.reason for item in journal.kept.values()) == {"unreadable": 5}
    assert {item.original for item in journal.kept.values()} >= {b"rubbish", b"[1]", b"{"}


def test_what_the_log_has_not_is_kept_by_the_broker(running: Mosquitto, tmp_path: Path) -> None:
    """The first process gets all and sends nothing; the next one gets all of it again, and acknowledges."""
    log, journal = Log(PARTITIONS, NOW), Journal()
    log.away = True
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(running.port, [reading(number) for number in range(20)])
        until(lambda: len(receiver.inbox._queue) == 20, "all have come")
        assert receiver.turn() == 0
    log.away, log.sent = False, []
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.turn() and values(log) == set(range(1, 21)), "all are there")
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(running.port, [reading(30)])
        log.sent = []
        until(lambda: receiver.turn() and 31 in values(log), "the newest is there")
    assert values(log) == {31}  # nothing that was acknowledged came again


def test_a_broker_that_is_gone_is_found_again(running: Mosquitto, tmp_path: Path) -> None:
    log, journal = Log(PARTITIONS, NOW), Journal()
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(running.port, [reading(number) for number in range(10)])
        until(lambda: receiver.turn() and values(log) == set(range(1, 11)), "the first are there")
        running.stop()
        until(lambda: not receiver.inbox._subscribes, "it is gone")
        running.start()
        until(lambda: receiver.inbox._subscribes, "it is found again")
        log.sent = []
        publish(running.port, [reading(number) for number in range(10, 20)])
        until(lambda: receiver.turn() and values(log) >= set(range(11, 21)), "the others are there")


def test_a_broker_that_was_never_there_is_named_with_the_reason(tmp_path: Path, caplog) -> None:
    with receiving(to(port := free_port()), tmp_path / "spool", Log(PARTITIONS, NOW), Journal()):
        until(lambda: "Connection refused" in caplog.text, "it is said in the log")
        assert f"bins: 127.0.0.1:{port} does not answer: " in caplog.text


def test_a_broker_is_asked_whether_it_lets_a_node_in(tmp_path: Path) -> None:
    authority, other = (Authority(tmp_path / name, datetime.now(UTC)) for name in folders(tmp_path, "ours", "theirs"))
    made = authority.certify("broker", ["127.0.0.1"])
    closed, tls, (open_folder, locked_folder) = free_port(), free_port(), folders(tmp_path, "open", "locked")
    more = f"listener {tls} 127.0.0.1\ncertfile {made.certificate}\nkeyfile {made.key}\n"
    with (
        mosquitto(tmp_path / open_folder, more) as running,
        mosquitto(tmp_path / locked_folder, "allow_anonymous false\n") as locked,
        receiving(to(running.port), tmp_path / "spool", Log(PARTITIONS, NOW), Journal()) as receiver,
    ):
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        connection = receiver.inbox._connection
        assert ask_broker(to(running.port), 20) == "its broker lets this node in"
        for broker, patience_s, words in (
            (to(closed), 20, f"127.0.0.1:{closed} does not answer: .*refused"),
            (to(tls), 1, f"127.0.0.1:{tls} does not answer as a broker of MQTT 5 within 1 s"),
            (to(tls, ca_file=other.certificate), 20, f"127.0.0.1:{tls} does not answer: .*certificate verify failed"),
            (to(locked.port), 20, f"127.0.0.1:{locked.port} refuses node-doctor: Not authorized"),
        ):
            with pytest.raises(BrokerFailed, match=words):
                ask_broker(broker, patience_s)
        assert receiver.inbox._connection == connection  # whoever asks takes nobody's place


def test_no_more_messages_are_held_than_the_limit(running: Mosquitto, tmp_path: Path) -> None:
    log, journal = Log(PARTITIONS, NOW), Journal()
    with receiving(to(running.port, in_flight=10), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(running.port, [reading(number) for number in range(200)])
        held = []
        while values(log) != set(range(1, 201)):
            receiver.inbox.wait(5)
            held.append(len(receiver.inbox._queue))
            receiver.turn()
    assert 0 < max(held) <= 20  # twice the limit: the broker may not keep it


def test_retained_and_repeated_messages_are_readings_like_others(running: Mosquitto, tmp_path: Path) -> None:
    log, journal = Log(PARTITIONS, NOW), Journal()
    publish(running.port, [reading(0)], retain=True)
    with receiving(to(running.port), tmp_path / "spool", log, journal) as receiver:
        until(lambda: receiver.turn() and values(log) == {1}, "the retained one is there")
        publish(running.port, [reading(1)] * 3)
        until(lambda: receiver.turn() and values(log) == {1, 2}, "the repeated one is there")


def test_processes_of_a_group_share_the_messages(running: Mosquitto, tmp_path: Path) -> None:
    logs, journal = [Log(PARTITIONS, NOW), Log(PARTITIONS, NOW)], Journal()
    one, two = (to(running.port, group="nodes", client_id=name) for name in ("node-1", "node-2"))
    with (
        receiving(one, tmp_path / "one", logs[0], journal) as first,
        receiving(two, tmp_path / "two", logs[1], journal) as second,
    ):
        until(lambda: first.inbox._subscribes and second.inbox._subscribes, "both are subscribed")
        publish(running.port, [reading(number) for number in range(40)])
        until(
            lambda: first.turn() + second.turn() and values(logs[0]) | values(logs[1]) == set(range(1, 41)),
            "all are there",
        )
    assert min(len(rows(log)) for log in logs) > 0
    assert sum(len(rows(log)) for log in logs) == 40


def test_tls_needs_the_authority_that_signed_the_broker(tmp_path: Path) -> None:
    authority, other = (Authority(tmp_path / name, datetime.now(UTC)) for name in folders(tmp_path, "ours", "theirs"))
    made, port = authority.certify("broker", ["127.0.0.1"]), free_port()
    (tmp_path / "broker").mkdir()
    more = f"listener {port} 127.0.0.1\ncertfile {made.certificate}\nkeyfile {made.key}\n"
    log, journal = Log(PARTITIONS, NOW), Journal()
    with (
        mosquitto(tmp_path / "broker", more) as plain,
        receiving(to(port, ca_file=authority.certificate), tmp_path / "spool", log, journal) as receiver,
        receiving(to(port, ca_file=other.certificate, client_id="other"), tmp_path / "other", log, journal) as refused,
    ):
        until(lambda: receiver.inbox._subscribes, "it is subscribed")
        publish(plain.port, [reading(0)])
        until(lambda: receiver.turn() and values(log) == {1}, "it is there")
        assert not refused.inbox._subscribes
    with pytest.raises(ssl.SSLError):
        MqttInbox("x", to(port, ca_file=made.key), tmp_path / "spool", lambda: NOW)


def folders(parent: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (parent / name).mkdir()
    return names
