"""Messages of an MQTT broker: each is acknowledged when the log has what it says, and not before.

The broker keeps the session while nobody is connected, and sends what was not acknowledged again; so a process that is
killed loses nothing, and what comes twice counts once (R6).
"""

import logging
import ssl
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Event

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from prometheus_client import Gauge

from errors import OperatorError
from ingest.live.adapter import Delivered, ToldNothing
from ingest.live.inbox import WAITING

CONNECTED = Gauge("sistercity_mqtt_connected", "Sources that are connected to their broker, with all topics")

LONGEST = 1 << 20
"""Bytes of a packet: the broker keeps back what is longer."""
_KEEP_ALIVE_S = 30
_LONGEST_PAUSE_S = 30
_LAST_ANSWER_S = 2.0
_FULL_S = 10.0
_GATHER_S = 0.1
_NO_TOPIC = "sistercity/nobody-publishes-here"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttBroker:
    """Where a broker is, and who we are to it. `ca_file` makes it TLS; `in_flight` messages wait for the log at most.

    `session_s`: how long the broker keeps the session of a client that is gone.
    """

    host: str
    port: int
    topics: Sequence[str]
    client_id: str
    group: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password: str | None = None
    in_flight: int = 2_000
    session_s: int = 7 * 86_400


@dataclass(frozen=True, slots=True)
class _Message:
    payload: bytes
    number: int
    qos: int
    connection: int


class BrokerFailed(OperatorError):
    """A broker does not answer, or refuses; the text says where and why."""


def ask_broker(broker: MqttBroker, patience_s: int) -> str:
    """Connect once and leave, under a name of its own, so that nobody loses a session; what came of it, in words.

    Raises `BrokerFailed`, and `OSError` for TLS files that cannot be used.
    """
    name, where = f"{broker.client_id}-doctor", f"{broker.host}:{broker.port}"
    client = _client(broker, name)
    answers: SimpleQueue[ReasonCode] = SimpleQueue()
    client.on_connect = lambda client, data, flags, code, properties: answers.put(code)
    client.connect_timeout = patience_s
    try:
        client.connect(broker.host, broker.port, patience_s, clean_start=True)
    except OSError as error:
        raise BrokerFailed(f"{where} does not answer: {error}") from None
    client.loop_start()
    try:
        code = answers.get(timeout=patience_s)
    except Empty:
        raise BrokerFailed(f"{where} does not answer as a broker of MQTT 5 within {patience_s} s") from None
    finally:
        client.disconnect()
        client.loop_stop()
    if code.is_failure:
        raise BrokerFailed(f"{where} refuses {name}: {code}")
    return "its broker lets this node in"


def _client(broker: MqttBroker, name: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5, manual_ack=True)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.ca_file is not None:
        context = ssl.create_default_context(cafile=broker.ca_file)
        if broker.cert_file is not None:
            context.load_cert_chain(broker.cert_file, broker.key_file or broker.cert_file)
        client.tls_set_context(context)
    return client


class MqttInbox(ToldNothing):
    """Implements `Adapter`: a delivery is the messages that came meanwhile, one on each line, in their order.

    `spool` is a folder of this process; `clock` gives milliseconds since 1970. Raises `OSError` for TLS files that
    cannot be used.
    """

    def __init__(self, name: str, broker: MqttBroker, spool: Path, clock: Callable[[], int]) -> None:
        self.name = name
        self._broker = broker
        self._spool = spool
        self._clock = clock
        self._changed = Condition()
        self._queue: deque[_Message] = deque()
        self._taken: list[_Message] = []
        self._connection = 0
        """Counts connections and their ends: a message is acknowledged on the one that it came by, or not at all."""
        self._subscribes = False
        self._is_away = False
        self._answered = Event()
        self._client = self._made()

    def start(self) -> None:
        """Connect, and again whenever the broker is gone, in a thread."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._broker.session_s
        properties.ReceiveMaximum = self._broker.in_flight
        properties.MaximumPacketSize = LONGEST
        self._client.connect_async(
            self._broker.host, self._broker.port, _KEEP_ALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def stop(self) -> None:
        """End the connection; the broker keeps the session.

        What was acknowledged last may be lost with the connection, so the broker is asked something first, and answers
        in order. Without an answer those messages come again.
        """
        if self._client.is_connected():
            self._client.unsubscribe(_NO_TOPIC)
            self._answered.wait(_LAST_ANSWER_S)
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, seconds: float) -> None:
        """Return when there is something, or after so long."""
        with self._changed:
            if not self._queue:
                self._changed.wait(seconds)
            # A turn costs as much for one message as for hundreds.
            self._changed.wait_for(lambda: len(self._queue) >= self._broker.in_flight // 2, _GATHER_S)

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """One delivery of what has come, if anything. Raises `OSError` if the spool is full."""
        del done
        with self._changed:
            while self._queue and len(self._taken) < self._broker.in_flight:
                self._taken.append(self._queue.popleft())
        if not self._taken:
            return []
        # A line end may stand in JSON wherever a blank may.
        lines = (message.payload.replace(b"\n", b" ").replace(b"\r", b" ") for message in self._taken)
        content = b"".join(line + b"\n" for line in lines)
        path = self._spool / "messages"
        path.write_bytes(content)
        return [Delivered("messages", path, sha256(content).digest(), self._clock())]

    def acknowledge(self, delivered: Delivered) -> None:
        """Acknowledge every message that came by the present connection; the broker sends the others again."""
        delivered.path.unlink(missing_ok=True)
        with self._changed:
            for message in self._taken:
                if message.connection == self._connection and message.qos:
                    self._client.ack(message.number, message.qos)
            WAITING.dec(len(self._taken))
            self._taken = []
            self._changed.notify_all()

    def forget(self) -> None:
        """After an interruption: what was taken is not acknowledged, and is taken again."""
        with self._changed:
            self._queue.extendleft(reversed(self._taken))
            self._taken = []
        for path in self._spool.iterdir():
            path.unlink()

    def _made(self) -> mqtt.Client:
        client = _client(self._broker, self._broker.client_id)
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.on_connect = self._connected
        client.on_connect_fail = self._unreached
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_unsubscribe = lambda *_: self._answered.set()
        return client

    def _connected(
        self, client: mqtt.Client, _: object, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        del flags, properties
        self._is_away = False
        if code.is_failure:
            logger.warning("%s: the broker refuses the connection: %s", self.name, code)
            return
        with self._changed:
            self._connection += 1
        prefix = f"$share/{self._broker.group}/" if self._broker.group else ""
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe([(prefix + topic, options) for topic in self._broker.topics])

    def _unreached(self, client: mqtt.Client, _: object) -> None:
        """Say once that there is no connection; the library calls this while it handles the reason."""
        del client
        if not self._is_away:
            broker, reason = self._broker, sys.exception()
            logger.warning("%s: %s:%d does not answer: %s; trying again", self.name, broker.host, broker.port, reason)
        self._is_away = True

    def _subscribed(
        self, client: mqtt.Client, _: object, mid: int, codes: Sequence[ReasonCode], properties: Properties | None
    ) -> None:
        del client, mid, properties
        for topic, code in zip(self._broker.topics, codes, strict=False):
            if code.is_failure:
                logger.warning("%s: the broker refuses the topic %s: %s", self.name, topic, code)
        if not any(code.is_failure for code in codes):
            CONNECTED.inc()
            self._subscribes = True
            logger.info("%s: connected, %d topics", self.name, len(self._broker.topics))

    def _disconnected(
        self,
        client: mqtt.Client,
        _: object,
        flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, flags, properties
        if self._subscribes:
            CONNECTED.dec()
        self._subscribes = False
        with self._changed:
            self._connection += 1
            WAITING.dec(len(self._queue))
            self._queue.clear()  # they come again: nothing of them was acknowledged
        if code.is_failure:
            logger.warning("%s: the broker is gone: %s; trying again", self.name, code)

    def _received(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        del client
        with self._changed:
            # Mosquitto 2.0.11 was seen to send ten times as many as it was told. Nothing is read meanwhile; the wait is
            # shorter than the time after which the connection would be given up.
            most = 2 * self._broker.in_flight
            self._changed.wait_for(lambda: len(self._queue) + len(self._taken) < most, _FULL_S)
            self._queue.append(_Message(bytes(message.payload), message.mid, message.qos, self._connection))
            WAITING.inc()
            self._changed.notify_all()
