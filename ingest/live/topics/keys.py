"""The keys of a topic in the list of sources."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from addresses import is_safe_on_its_way
from errors import OperatorError
from eventlog.kafka.member import Start
from eventlog.protocol import AccessRefused, DecidedBy, LogUnavailable
from eventlog.security import Security
from ingest.live.answers import Connecting
from ingest.live.poll_keys import poll_trust
from ingest.live.topics.avro_schema import AvroSchema, UnusableSchema, avro_schema
from ingest.live.topics.registry import RegistryAddress, SchemaRegistry
from ingest.tables.keys import TomlKeys, WrongKey

TOPIC_KEYS = (
    *("bootstrap", "topic", "group", "start", "security_protocol", "sasl_mechanism", "username", "password_file"),
    *("ca_file", "cert_file", "key_file", "values", "registry", "schema_file"),
)
_REGISTRY = ("url", "header_files", "ca_file", "cert_file", "key_file")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_STARTS: Mapping[str, Start] = {"earliest": "earliest", "latest": "latest"}
_LOOK_AT: Mapping[DecidedBy, str] = {
    "address": "bootstrap and security_protocol",
    "user": "username, password_file and sasl_mechanism",
    "authority": "ca_file, and the names in bootstrap",
    "certificate": "cert_file and key_file",
    "rights": "username, which must have the right to read the topic, and in the group",
}
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TopicAddress:
    """A topic of a cluster, and the group whose positions the cluster keeps."""

    bootstrap: str
    security: Security
    topic: str
    group: str
    start: Start


@dataclass(frozen=True, slots=True)
class AvroValues:
    """Values of Avro: by a registry's schemas, which messages name, or all by one schema."""

    by: RegistryAddress | AvroSchema

    def reader(self) -> Callable[[bytes], object]:
        """What reads a message. It raises `NotInSchema`, and `LogUnavailable` if a registry does not answer."""
        return self.by.read if isinstance(self.by, AvroSchema) else SchemaRegistry(self.by, monotonic).read

    def ask(self) -> None:
        """Ask the registry, if there is one, whether it is there. Raises `LogUnavailable`."""
        if isinstance(self.by, RegistryAddress):
            SchemaRegistry(self.by, monotonic).ask()


def with_keys(error: OperatorError) -> str:
    """What is wrong with a cluster, and the keys of the list of sources that decide it."""
    decided_by = error.decided_by if isinstance(error, AccessRefused | LogUnavailable) else None
    return str(error) if decided_by is None else f"{error}: see {_LOOK_AT[decided_by]}"


def topic_address(keys: TomlKeys, beside: Path, name: str) -> TopicAddress:
    """Where the topic is. Raises `WrongKey`."""
    topic = keys.text("topic")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise keys.wrong("topic", "it is no name of a topic of Kafka")
    return TopicAddress(
        bootstrap=keys.text("bootstrap"),
        security=_security(keys, beside),
        topic=topic,
        group=keys.text("group", f"sistercity-{name}"),
        start=_STARTS[keys.one_of("start", list(_STARTS), "earliest")],
    )


def avro_values(keys: TomlKeys, beside: Path) -> AvroValues | None:
    """How values of Avro are read; None for JSON. Raises `WrongKey`."""
    kind = keys.one_of("values", ("json", "avro"), "json")
    registry = keys.table("registry", _REGISTRY)
    if kind == "json":
        if registry is not None or "schema_file" in keys:
            raise WrongKey(f'{keys.label} has a registry or schema_file, which belong to values = "avro"')
        return None
    if (registry is None) == ("schema_file" not in keys):
        raise WrongKey(f"{keys.label} needs either a registry or a schema_file: values are Avro")
    return AvroValues(_schema(keys, beside) if registry is None else _registry(registry, beside))


def _schema(keys: TomlKeys, beside: Path) -> AvroSchema:
    try:
        return avro_schema((beside / keys.text("schema_file")).read_bytes())
    except (OSError, UnusableSchema) as error:
        raise keys.wrong("schema_file", f"it cannot be used: {error}") from None


def _registry(keys: TomlKeys, beside: Path) -> RegistryAddress:
    url = keys.text("url")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(parts.hostname) and not parts.query and not parts.fragment and url.isascii()
    except ValueError:
        usable = False
    if not usable or "@" in url:
        raise keys.wrong("url", "it must be an address without user, password, query or fragment")
    if not is_safe_on_its_way(parts):
        raise keys.wrong("url", "it must begin with https:// (http:// only to the machine itself)")
    files = {name: beside / path for name, path in keys.names("header_files").items()}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise WrongKey(f"{keys.label} has header_files, but there is no file {missing[0]}")
    return RegistryAddress(url, Connecting(poll_trust(keys, beside)), files)


def _security(keys: TomlKeys, beside: Path) -> Security:
    protocol = keys.one_of("security_protocol", _PROTOCOLS, "PLAINTEXT")
    of_user = ("sasl_mechanism", "username", "password_file")
    of_tls = ("ca_file", "cert_file", "key_file")
    if protocol.startswith("SASL_") and (missing := [key for key in of_user if key not in keys]):
        raise WrongKey(f"{keys.label} has security_protocol {protocol}, which needs {missing[0]}")
    if not protocol.startswith("SASL_") and (extra := [key for key in of_user if key in keys]):
        raise WrongKey(f"{keys.label} has {extra[0]}, but security_protocol {protocol} knows no users")
    if not protocol.endswith("SSL") and (extra := [key for key in of_tls if key in keys]):
        raise WrongKey(f"{keys.label} has {extra[0]}, but security_protocol {protocol} knows no TLS")
    if "key_file" in keys and "cert_file" not in keys:
        raise keys.wrong("key_file", "it needs cert_file")
    files = {key: beside / keys.text(key) for key in of_tls if key in keys}
    if missing := [key for key, path in files.items() if not path.is_file()]:
        raise keys.wrong(missing[0], "there is no such file")
    return Security(
        protocol=protocol,
        mechanism=keys.one_of("sasl_mechanism", _MECHANISMS) if "sasl_mechanism" in keys else None,
        username=keys.text("username") if "username" in keys else None,
        password=keys.secret("password_file", beside) if "password_file" in keys else None,
        **files,
    )
