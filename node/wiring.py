"""From settings to the parts that commands work with."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errors import OperatorError
from node.settings import settings

if TYPE_CHECKING:
    from eventlog.kafka import KafkaLog
    from eventlog.security import Security
    from ingest.cities import City
    from store.database import Connection

_EMBEDDED_MISSING = (
    "set SISTERCITY_{setting} to your own {name}, or start the embedded one with `sistercity services` in another"
    " terminal and leave it running"
)


_GRACE_S = 10


class CommandError(OperatorError):
    """A command can't do what it was told; the text says why and what to do."""


def start(role: str) -> threading.Event:
    """Prepare a process that runs until told to stop: its log, its metrics, its signals. Returns the event to obey.

    The first SIGINT or SIGTERM sets the event; a second one ends the process at once.
    """
    chosen = settings()
    logging.basicConfig(
        level=chosen.log_level, format=f"%(asctime)s {role} %(levelname)s %(message)s", stream=sys.stderr
    )
    for chatty in ("kafka", "httpx", "alembic", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_kafkas_traceback)
    stop = threading.Event()

    def obey(number: int, frame: object) -> None:
        del frame
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, obey)
    if chosen.stop_with_stdin:
        threading.Thread(target=_stop_with_stdin, args=(stop,), daemon=True).start()
    if chosen.metrics_port is not None:
        from prometheus_client import start_http_server

        try:
            start_http_server(chosen.metrics_port, addr=chosen.metrics_host)
        except OSError as error:
            raise CommandError(
                f"metrics can't listen on {chosen.metrics_host}:{chosen.metrics_port}: {error}"
            ) from None
    return stop


def _without_kafkas_traceback(record: logging.LogRecord) -> bool:
    """kafka-python logs a lost connection with a traceback; one line says as much."""
    if record.name.startswith("kafka."):
        record.exc_info = None
    return True


def stop_when(stop: threading.Event, act: Callable[[], object]) -> None:
    """Call `act`, in a thread of its own, when the event is set."""

    def wait() -> None:
        stop.wait()
        act()

    threading.Thread(target=wait, daemon=True).start()


def _stop_with_stdin(stop: threading.Event) -> None:
    """The parent holds the other end: it ends with the parent, however that ends, and so must this process."""
    while os.read(sys.stdin.fileno(), 4096):  # past Python's own buffer, whose lock would outlive the interpreter
        pass
    stop.set()
    time.sleep(_GRACE_S)
    os._exit(1)  # what it waits for, Kafka perhaps, has ended with the parent


def city() -> "City":
    """The city of this node. Raises `CommandError` and `ingest.cities.CityFileError`."""
    from ingest.cities import load_city, shipped_cities

    if settings().city is None:
        raise CommandError(
            f"set SISTERCITY_CITY to one of {', '.join(shipped_cities())}, or to the path of your own city file"
        )
    return load_city(str(settings().city))


def log(patience_s: float = 30.0) -> "KafkaLog":
    """The Kafka cluster of this node. Raises `CommandError`, and `AccessRefused` for a useless certificate."""
    from eventlog.kafka import KafkaLog

    return KafkaLog(
        bootstrap(), security=security(), session_timeout_ms=settings().session_timeout_ms, patience_s=patience_s
    )


def security() -> "Security":
    """How this node's clients prove to Kafka who they are."""
    from eventlog.security import Security

    chosen = settings()
    password = chosen.kafka_password
    return Security(
        protocol=chosen.kafka_security_protocol,
        mechanism=chosen.kafka_sasl_mechanism,
        username=chosen.kafka_username,
        password=None if password is None else password.get_secret_value(),
        ca_file=chosen.kafka_ca_file,
        cert_file=chosen.kafka_cert_file,
        key_file=chosen.kafka_key_file,
    )


def bootstrap() -> str:
    """Bootstrap servers of the Kafka cluster. Raises `CommandError`."""
    if settings().kafka is not None:
        return str(settings().kafka)
    embedded = _embedded()
    if embedded is None:
        raise CommandError(_EMBEDDED_MISSING.format(setting="KAFKA", name="Kafka"))
    return embedded[0]


def database_url() -> str:
    """URL of the city's database. The embedded one is made and migrated here; one's own is taken as it is."""
    if settings().database_url is not None:
        return _own_database_url()
    from store.database import create_database
    from store.migrations import migrate

    server, name = _embedded_database()
    url = create_database(server, name)
    migrate(url)
    return url


def known_database_url() -> str:
    """URL of the city's database, which may not be there yet: nothing is made or changed. Raises `CommandError`."""
    from store.database import database_named

    return _own_database_url() if settings().database_url is not None else database_named(*_embedded_database())


def _embedded_database() -> tuple[str, str]:
    """The embedded server's URL, and the name of the city's database on it."""
    embedded = _embedded()
    if embedded is None:
        raise CommandError(_EMBEDDED_MISSING.format(setting="DATABASE_URL", name="PostgreSQL"))
    return embedded[1], city().id.replace("-", "_")


def _own_database_url() -> str:
    from store.database import with_password

    given, password = settings().database_url, settings().database_password
    assert given is not None
    url = given.get_secret_value()
    return url if password is None else with_password(url, password.get_secret_value())


@contextmanager
def database(role: str) -> "Iterator[Connection]":
    """A connection to the city's database, closed at the end."""
    from store.database import connect

    with connect(database_url(), name=f"sistercity {role}") as connection:
        yield connection


def ensure_topic(log: "KafkaLog", topic: str) -> bool:
    """Make the topic unless it is there; whether it was made. A topic that someone else made is taken as it is."""
    from eventlog.protocol import UnknownTopic
    from schemas.topics import dataset_of
    from schemas.topics import settings as topic_settings

    try:
        log.describe(topic)
    except UnknownTopic:
        log.create(topic, settings().partitions, topic_settings(dataset_of(topic)))
        return True
    return False


def _embedded() -> tuple[str, str] | None:
    """Kafka's and PostgreSQL's addresses, if `sistercity services` is running on this node's home."""
    try:
        from embedded.services import running
    except ImportError:  # installed without the extra
        return None
    found = running(settings().home)
    return None if found is None else (found.kafka, found.database_url)
