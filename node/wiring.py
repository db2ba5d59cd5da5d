"""Makes the parts that commands work with, from the settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errors import OperatorError
from node.instance import host
from node.settings import read_again, settings

if TYPE_CHECKING:
    from pathlib import Path

    from eventlog.kafka import KafkaLog
    from eventlog.security import Security
    from ingest.cities import City
    from store.database import Connection, DatabaseUrl

_EMBEDDED_MISSING = (
    "set SISTERCITY_{setting} to your own {name}, or start the embedded one with `sistercity services` in another"
    " terminal and leave it running"
)


class CommandError(OperatorError):
    """A command can't do its work; the text says why and what to do."""


def city() -> "City":
    """The city of this node. Raises `CommandError` and `ingest.cities.CityFileError`."""
    from ingest.cities import load_city, shipped_cities

    if settings().city is None:
        raise CommandError(
            f"set SISTERCITY_CITY to one of {', '.join(shipped_cities())}, or to the path of your own city file"
        )
    return load_city(str(settings().city))


def poll_proxy() -> str | None:
    """The proxy through which polled sources on other machines are reached."""
    chosen = settings().poll_proxy
    return None if chosen is None else chosen.get_secret_value()


def log(patience_s: float = 30.0) -> "KafkaLog":
    """The Kafka cluster of this node. Raises `CommandError`, and `AccessRefused` for a useless certificate."""
    return _client()(
        bootstrap(),
        security=security(),
        client_id=f"sistercity-{host()}",
        session_timeout_ms=settings().session_timeout_ms,
        patience_s=patience_s,
    )


def log_of_others(servers: str, used: "Security", patience_s: float = 30.0) -> "KafkaLog":
    """A cluster that is not this node's own, of which topics are read. Raises `AccessRefused` for a useless file."""
    from eventlog.kafka import KafkaLog

    name = f"sistercity-{host()}"
    return KafkaLog(
        servers,
        security=used,
        client_id=name,
        session_timeout_ms=settings().session_timeout_ms,
        patience_s=patience_s,
    )


def _client() -> "type[KafkaLog]":
    if settings().kafka_client == "kafka-python":
        from eventlog.kafka import KafkaLog

        return KafkaLog
    try:
        from eventlog.confluent import ConfluentLog
    except ImportError as error:
        raise CommandError(
            "SISTERCITY_KAFKA_CLIENT=confluent-kafka needs what the extra [fast] brings: pip install 'sistercity[fast]'"
        ) from error
    return ConfluentLog


def security() -> "Security":
    """How this node's clients authenticate to Kafka."""
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


def database_url() -> "DatabaseUrl":
    """URL of the city's database. An embedded database is created and migrated here; any other is left as it is.

    That of the settings is read again, with its password, whenever a connection is made. Raises `CommandError`.
    """
    return _own_database_url if settings().database_url is not None else _embedded_database_url()


def _embedded_database_url() -> str:
    from store.database import create_database
    from store.migrations import migrate

    server, name = _embedded_database()
    url = create_database(server, name)
    migrate(url)
    return url


def partner_database_url() -> "DatabaseUrl":
    """URL of the city's database for the server that partners reach.

    That of the settings, whose user is to be of `migrate --partner-role`; of an embedded database, that of a role which
    is made here. Raises `CommandError`.
    """
    if settings().database_url is not None:
        return _own_database_url
    from store.database import connect
    from store.partner_role import partner_login

    url = _embedded_database_url()
    with connect(url) as connection:
        return partner_login(connection, url)


def known_database_url() -> "DatabaseUrl":
    """URL of the city's database, which need not exist: nothing is created or changed. Raises `CommandError`."""
    from store.database import database_named

    return _own_database_url if settings().database_url is not None else database_named(*_embedded_database())


def new_database_url() -> str:
    """URL of the city's database, without migrating it: an embedded one is created. Raises `CommandError`."""
    from store.database import create_database

    return _own_database_url() if settings().database_url is not None else create_database(*_embedded_database())


def _embedded_database() -> tuple[str, str]:
    """The embedded server's URL, and the name of the city's database on it."""
    embedded = _embedded()
    if embedded is None:
        raise CommandError(_EMBEDDED_MISSING.format(setting="DATABASE_URL", name="PostgreSQL"))
    return embedded[1], city().id.replace("-", "_")


def _own_database_url() -> str:
    from store.database import with_password

    chosen = read_again()
    given, password = chosen.database_url, chosen.database_password
    assert given is not None
    url = given.get_secret_value()
    return url if password is None else with_password(url, password.get_secret_value())


@contextmanager
def database(role: str) -> "Iterator[Connection]":
    """A connection to the city's database, closed at the end."""
    from store.database import connect

    with connect(database_url(), name=f"sistercity {role}") as connection:
        yield connection


def ledger_path(city_id: str) -> "Path":
    """The file of the city's ledger of publications."""
    return settings().ledger or settings().home / f"ledger-{city_id}.jsonl"


def revocations_path() -> "Path":
    """The file of what was revoked, beside the ledger."""
    ledger = settings().ledger
    return (settings().home if ledger is None else ledger.parent) / "revocations.jsonl"


def revoked_again(connection: "Connection") -> list[str]:
    """Apply the file of revocations to the database, which may have been restored; what was done, in words."""
    from federation.agreements.revocations import apply

    return apply(connection, revocations_path())


def ensure_topic(log: "KafkaLog", topic: str, partitions: int | None = None) -> bool:
    """Create the topic unless it exists; whether it was created. A topic that exists is left as it is.

    Without `partitions` it gets as many as the settings say.
    """
    from eventlog.protocol import UnknownTopic
    from schemas.topics import dataset_of
    from schemas.topics import settings as topic_settings

    try:
        log.describe(topic)
    except UnknownTopic:
        log.create(topic, partitions or settings().partitions, topic_settings(dataset_of(topic)))
        return True
    return False


def retention_ms(log: "KafkaLog", topics: Sequence[str]) -> dict[str, int]:
    """How long these topics keep messages, milliseconds: as planned where Kafka does not tell. Without those that never
    delete any.

    Raises `LogUnavailable` and `UnknownTopic`.
    """
    from schemas.topics import dataset_of
    from schemas.topics import settings as topic_settings

    found = {topic: log.retention_ms(topic) for topic in topics}
    planned = {topic: int(topic_settings(dataset_of(topic))["retention.ms"]) for topic in topics}
    kept = {topic: planned[topic] if known is None else known for topic, known in found.items()}
    return {topic: span_ms for topic, span_ms in kept.items() if span_ms > 0}


def _embedded() -> tuple[str, str] | None:
    """Kafka's and PostgreSQL's addresses, if `sistercity services` is running on this node's home."""
    try:
        from embedded.services import running
    except ImportError:  # installed without the extra
        return None
    found = running(settings().home)
    return None if found is None else (found.kafka, found.database_url)
