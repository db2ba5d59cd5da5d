"""The settings of a node: read from the environment once, here, and passed on as plain values."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, FilePath, Json, Secret, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSource

from errors import OperatorError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "SISTERCITY_"
_LEAST_CELL_DAYS = 100
_ALIKE = 0.85
"""The share of a setting's name that another has in common if it may be meant."""


def secrets_folder() -> Path | None:
    """The folder of settings that are files, if there is one: that of containers, unless a variable names another."""
    folder = Path(os.environ.get(f"{PREFIX}SECRETS_DIR") or "/run/secrets")
    return folder if folder.is_dir() else None


class Settings(BaseSettings):
    """Every setting is a variable `SISTERCITY_<NAME>`, or a file of that name, in lower case, in /run/secrets.

    A variable comes before a file; an empty one counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    city: str | None = Field(None, description="a shipped city (isfahan, ho-chi-minh-city) or the path of a city file")
    home: Path = Field(Path(".sistercity"), description="folder of what is installed and kept on this machine")
    kafka: str | None = Field(None, description="bootstrap servers; without it the embedded Kafka")
    kafka_client: Literal["kafka-python", "confluent-kafka"] = Field(
        "kafka-python", description="which library reads and writes messages; confluent-kafka is in the extra [fast]"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to speak to Kafka: with TLS (SSL), with user and password (SASL), or both"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how user and password are proved to Kafka"
    )
    kafka_username: str | None = Field(None, description="this process's user at Kafka")
    kafka_password: SecretStr | None = Field(None, description="its password")
    kafka_ca_file: FilePath | None = Field(
        None, description="PEM file of the authorities that may vouch for Kafka; without it the system's"
    )
    kafka_cert_file: FilePath | None = Field(None, description="PEM file of this process's own certificate")
    kafka_key_file: FilePath | None = Field(
        None, description="PEM file of its key, not encrypted; without it the key lies in the certificate's file"
    )
    database_url: SecretStr | None = Field(
        None, description="the city's database, its TLS too (sslmode); without it the embedded PostgreSQL"
    )
    database_password: SecretStr | None = Field(
        None, description="password for the database, so that the URL need not hold it"
    )
    cameras: FilePath | None = Field(
        None, description="TOML file of the running cameras: where each is, and how to get in"
    )
    partitions: int = Field(
        32, ge=1, le=1024, description="partitions of a new topic; `topics grow` makes one with more"
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of this process's Prometheus metrics; without it none"
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics listen on")
    instance: str | None = Field(
        None, description="name of this machine or container among those of the city; without it the host name"
    )
    session_timeout_ms: int = Field(10_000, ge=1_000, description="silence after which a processor counts as gone")
    commit_seconds: float = Field(1.0, gt=0, description="seconds between a processor's commits")
    open_memory_mb: int = Field(
        1024, ge=1, description="memory for a processor's open windows, in MB; what is above goes to disk"
    )
    spill_folder: Path | None = Field(
        None, description="folder on a local disk for open windows that don't fit into memory; without it in HOME"
    )
    ledger: Path | None = Field(
        None,
        description="file of the ledger of publications, on storage that outlives the database and that every publisher"
        " shares; without it in HOME",
    )
    publish_key: Path | None = Field(
        None, description="file of the key that signs what is published; without it HOME/identity/publish.key"
    )
    access_key: Path | None = Field(
        None, description="file of the key with which partners are asked; without it HOME/identity/access.key"
    )
    partner_private_addresses: bool = Field(
        False, description="partners may be at addresses of private networks and of this machine"
    )
    partner_ca_file: FilePath | None = Field(
        None, description="PEM file of authorities that may vouch for partners, besides the system's"
    )
    partner_proxy: SecretStr | None = Field(None, description="URL of an HTTP proxy through which partners are reached")
    partner_headers: Secret[Json[dict[str, str]]] | None = Field(
        None, description="JSON object of headers for each request to a partner, as a security server may need"
    )
    poll_proxy: SecretStr | None = Field(
        None, description="URL of an HTTP proxy through which `ingest run` reaches polled sources on other machines"
    )
    dead_letter_days: int = Field(
        90, ge=0, description="days after which a processor removes dead letters; 0 keeps all of them"
    )
    audit_days: int = Field(
        730,
        ge=0,
        description="days after which the publisher removes lines of the audit and assertions; 0 keeps all of them",
    )
    cell_days: int = Field(
        1096,
        ge=0,
        description="days after its publication left, or after the end of a window that will not be published, until"
        " `publish` removes the window's cells: 100 at least, or 0, which keeps all",
    )
    database_budget_gb: float | None = Field(
        None, gt=0, description="GB that the database may take: doctor warns three days before"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="how much is logged")
    log_format: Literal["text", "json"] = Field("text", description="lines of text, or one JSON object a line")
    stop_with_stdin: bool = Field(False, description="stop when standard input ends: for whoever starts this process")
    serve_in_container: bool = Field(
        False,
        description="`serve` has a container's network of its own and may listen on all of it, unguarded",
    )
    own_hosts: str | None = Field(
        None, description="names, with commas, under which `serve` is reached besides localhost and 127.0.0.1"
    )
    exchange_cert_file: FilePath | None = Field(
        None, description="PEM file with the certificate of `serve-partners` and its chain; read again when renewed"
    )
    exchange_key_file: FilePath | None = Field(
        None, description="PEM file of its key, not encrypted; without it the key lies in the certificate's file"
    )
    exchange_hosts: str | None = Field(
        None, description="names, with commas, under which partners reach `serve-partners`"
    )
    exchange_proxies: str | None = Field(
        None,
        description="addresses or networks, with commas, of the reverse proxies of `serve-partners`: only they are"
        " answered, and what they say of the client is believed",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if wrong := _wrong_security(self):
            raise ValueError(wrong)
        if 0 < self.cell_days < _LEAST_CELL_DAYS:
            words = f"{PREFIX}CELL_DAYS must be {_LEAST_CELL_DAYS} at least, or 0 to keep all cells"
            raise ValueError(f"{words}: what is open in a month is decided from those of the month before")
        if self.database_password is not None and self.database_url is None:
            raise ValueError(f"{PREFIX}DATABASE_PASSWORD goes with {PREFIX}DATABASE_URL, which is not set")
        return self


def misspelled() -> Sequence[tuple[str, str]]:
    """Variables and files of the secrets' folder that no setting reads, sorted, each with the setting that it is like.

    Names that are like no setting are left out: other programs, such as Compose, have theirs.
    """
    settings_read = {name.upper() for name in (*Settings.model_fields, "secrets_dir")}
    folder = secrets_folder()
    files = [] if folder is None else [path for path in folder.iterdir() if path.name.startswith(PREFIX.lower())]
    given = [(name, name, False) for name in os.environ if name.startswith(PREFIX)]
    given += [(str(path), path.name.upper(), True) for path in files]
    found = []
    for shown, full, is_file in sorted(given):
        name = full.removeprefix(PREFIX)
        if name not in settings_read and (near := get_close_matches(name, settings_read, 1, _ALIKE)):
            meant = PREFIX + near[0]
            found.append((shown, meant.lower() if is_file else meant))
    return found


def _wrong_security(given: Settings) -> str | None:
    """What is wrong with the settings of Kafka's security, in a sentence; None if they fit together."""
    protocol = given.kafka_security_protocol
    who = {
        "KAFKA_SASL_MECHANISM": given.kafka_sasl_mechanism,
        "KAFKA_USERNAME": given.kafka_username,
        "KAFKA_PASSWORD": given.kafka_password,
    }
    files = {
        "KAFKA_CA_FILE": given.kafka_ca_file,
        "KAFKA_CERT_FILE": given.kafka_cert_file,
        "KAFKA_KEY_FILE": given.kafka_key_file,
    }
    named = f"{PREFIX}KAFKA_SECURITY_PROTOCOL={protocol}"
    if protocol != "PLAINTEXT" and given.kafka is None:
        return f"{named} goes with {PREFIX}KAFKA, which is not set: the embedded Kafka knows neither TLS nor users"
    missing, present = _named(who, absent=True), _named(who, absent=False)
    if protocol.startswith("SASL_") and missing:
        return f"{named} needs {missing}"
    if not protocol.startswith("SASL_") and present:
        return f"{named} knows no users, but there is {present}; use SASL_SSL"
    if not protocol.endswith("SSL") and (useless := _named(files, absent=False)):
        return f"{named} knows no TLS, but there is {useless}; use SSL or SASL_SSL"
    if given.kafka_key_file is not None and given.kafka_cert_file is None:
        return f"{PREFIX}KAFKA_KEY_FILE goes with {PREFIX}KAFKA_CERT_FILE, which is not set"
    return None


def _named(settings: Mapping[str, object], *, absent: bool) -> str:
    """The names of those that are not set, or of those that are."""
    return ", ".join(f"{PREFIX}{name}" for name, value in settings.items() if (value is None) == absent)


class SettingsError(OperatorError):
    """The environment holds settings that can't be used; the text names each."""


@cache
def settings() -> Settings:
    """This process's settings. Raises `SettingsError`."""
    try:
        return Settings(_secrets_dir=secrets_folder())  # type: ignore[call-arg]  # mypy sees no defaults of pydantic's
    except ValidationError as error:
        raise SettingsError("; ".join(map(_in_words, error.errors()))) from None
    except UnreadableSource as error:
        if isinstance(error.__cause__, OSError):  # `explain` has words for it
            raise error.__cause__ from None
        raise SettingsError(str(error)) from None


def read_again() -> Settings:
    """The settings as they are now: a secret's file may hold another password than before. Raises `SettingsError`."""
    settings.cache_clear()
    return settings()


def _in_words(error: "ErrorDetails") -> str:
    if not error["loc"]:  # of several settings together: the text names them
        return error["msg"].removeprefix("Value error, ")
    name = f"{PREFIX}{'_'.join(map(str, error['loc'])).upper()}"
    if error["type"] == "path_not_file":
        return f"{name} names {error['input']}, and there is no such file: correct the setting, or put the file there"
    return f"{name}: {error['msg']}"
