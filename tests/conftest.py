"""The real Kafka and PostgreSQL, started once in each of pytest's workers for all of its tests that need them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from embedded.remove import remove
from embedded.services import Services, services
from eventlog.kafka import KafkaLog
from store.database import create_database
from store.migrations import migrate

INSTALLED = Path(__file__).parent.parent / ".sistercity"

_numbers = itertools.count()


@pytest.fixture(scope="session")
def running_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = tmp_path_factory.mktemp("services")
    home.chmod(0o755)
    with services(home, installed=INSTALLED, report=lambda line: None) as started:
        yield started
    remove(home)


@pytest.fixture(scope="session")
def server_url(running_services: Services) -> str:
    """URL of the PostgreSQL server's own database, as its superuser."""
    return running_services.database_url


@pytest.fixture(scope="session")
def _migrated(server_url: str) -> str:
    """Name of a database with all tables, to be copied."""
    migrate(create_database(server_url, "template_of_tests"))
    return "template_of_tests"


@pytest.fixture
def database_url(server_url: str, _migrated: str) -> Iterator[str]:
    """URL of a fresh database with all tables."""
    with _copy(server_url, _migrated) as url:
        yield url


@pytest.fixture
def second_database_url(server_url: str, _migrated: str) -> Iterator[str]:
    """URL of another fresh database: a second city's, or a second opinion's."""
    with _copy(server_url, _migrated) as url:
        yield url


@contextmanager
def _copy(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield create_database(server_url, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def kafka(running_services: Services) -> str:
    """Bootstrap servers of the Kafka cluster."""
    return running_services.kafka


@pytest.fixture(scope="session")
def kafka_log(kafka: str) -> KafkaLog:
    """The cluster, with sessions short enough to wait for."""
    return KafkaLog(kafka, session_timeout_ms=3_000)


@pytest.fixture
def city() -> str:
    """A city id that no other test uses, so topics and groups are this test's own."""
    return f"city-{next(_numbers)}"
