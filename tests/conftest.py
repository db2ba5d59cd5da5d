"""The real Kafka and PostgreSQL, started once for all of pytest's workers, with names that keep tests apart."""

import fcntl
import gc
import itertools
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.soak import CONTAINERS, PROFILE, SOAKING, soak

# What starts services is imported where it is used: the tests of a room that needs none begin a second earlier.
if TYPE_CHECKING:
    from embedded.services import Services
    from eventlog.kafka import KafkaLog
    from tests.databases import Databases

INSTALLED = Path(__file__).parent.parent / ".sistercity"
LONG = {Path(__file__).parent / folder for folder in ("embedded", "system", "upgrade")}
"""The folders of the long tests, which are those of whole processes."""
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
"""The id of this worker; part of the name of every database and city, because all workers share the services."""

_numbers = itertools.count()

settings.register_profile("tests", PROFILE)
settings.load_profile("tests")

gc.disable()
"""Until the tests are collected: what is imported and collected stays, and passes over it find nothing to free."""


def pytest_collection_finish() -> None:
    """Let the collector run again, over what the tests make alone."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Mark every property test as one of the soak, leave out what only the soak runs, and begin with the long tests.

    The order comes last, after `-m` has left tests out: it says which of them each worker begins with.
    """
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(soak)
    others = [name for name, wanted in (("soak_only", SOAKING), ("containers", CONTAINERS)) if not wanted]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in others)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not any(item.get_closest_marker(name) for name in others)]
    result = yield
    items[:] = _long_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return result


def _long_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in an order in which no worker ends with a long test while the others have nothing left to do.

    pytest-xdist cuts the list into a piece of the same length for each worker; each piece begins with its share of the
    long files, the longest first. A file's tests stay together: they share what is set up for the file.
    """
    files = [(path, list(of_file)) for path, of_file in itertools.groupby(items, lambda item: item.path)]
    long = [(_minutes(path, of_file), of_file) for path, of_file in files if _minutes(path, of_file)]
    rest = [item for path, of_file in files if not _minutes(path, of_file) for item in of_file]
    begins: list[list[pytest.Item]] = [[] for _ in range(workers)]
    busy = [0.0] * workers
    for minutes, of_file in sorted(long, key=lambda file: -file[0]):
        worker = busy.index(min(busy))
        busy[worker] += minutes
        begins[worker] += of_file
    ordered: list[pytest.Item] = []
    for worker, begun in enumerate(begins):
        taken = max((len(items) - len(ordered)) // (workers - worker) - len(begun), 0)
        ordered += begun + rest[:taken]
        del rest[:taken]
    return ordered + rest


def _minutes(path: Path, of_file: list[pytest.Item]) -> float:
    """About how long a file's tests take in the soak, where they say so; else 1 for a file of `LONG`, and 0."""
    said = [mark.kwargs.get("minutes", 0.0) for item in of_file for mark in item.iter_markers() if SOAKING]
    return sum(said) or float(not LONG.isdisjoint(path.parents))


@pytest.fixture(scope="session", autouse=True)
def children_receive_ctrl_c() -> None:
    """Let processes that tests start be interrupted, also where the suite itself ignores Ctrl-C (`nohup make test &`).

    A child inherits an ignored signal, but not a handler.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)


@pytest.fixture(scope="session")
def running_services(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Services]":
    """Kafka and PostgreSQL, started by the first worker that needs them and stopped when no worker does any more."""
    with _shared_services(_shared_folder(tmp_path_factory)) as found:
        yield found


@pytest.fixture(scope="session")
def services_home(running_services: "Services", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the data of Kafka and PostgreSQL."""
    del running_services
    return _shared_folder(tmp_path_factory) / "services"


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that all workers share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@contextmanager
def _shared_services(folder: Path) -> "Iterator[Services]":
    from embedded.remove import remove
    from embedded.services import running, services

    home, lock = folder / "services", folder / "services.lock"
    with (folder / "services.users").open("w") as users, ExitStack() as own:
        with _locked(lock):
            fcntl.flock(users, fcntl.LOCK_SH)
            found = running(home)
            starts_them = found is None
            if starts_them:
                home.mkdir(mode=0o755, exist_ok=True)
                own.callback(remove, home)
                found = own.enter_context(services(home, installed=INSTALLED, report=lambda line: None, lasting=False))
        try:
            yield found
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if starts_them:
                with _locked(lock):  # no other worker begins to use what is about to stop
                    fcntl.flock(users, fcntl.LOCK_EX)  # waits for the other users
                    own.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def server_url(running_services: "Services") -> str:
    """URL of the PostgreSQL server's own database, as its superuser."""
    return running_services.database_url


@pytest.fixture(scope="session")
def databases(server_url: str) -> "Iterator[Databases]":
    """The databases of this worker."""
    from tests.databases import Databases

    with closing(Databases(server_url, WORKER)) as own:
        yield own


@pytest.fixture
def database_url(databases: "Databases") -> Iterator[str]:
    """URL of a fresh database with all tables."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def second_database_url(databases: "Databases") -> Iterator[str]:
    """URL of another fresh database: of a second city, or for a second result to compare with."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(databases: "Databases") -> Iterator[str]:
    """URL of a database with all tables that the tests of one file share."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="session")
def kafka(running_services: "Services") -> str:
    """Bootstrap servers of the Kafka cluster."""
    return running_services.kafka


@pytest.fixture(scope="session")
def kafka_log(kafka: str) -> "KafkaLog":
    """The cluster, with sessions short enough to wait for."""
    from eventlog.kafka import KafkaLog

    return KafkaLog(kafka, session_timeout_ms=3_000)


@pytest.fixture
def city() -> str:
    """A city id that no other test uses, so that its topics and groups belong to this test alone."""
    return f"city-{WORKER}-{next(_numbers)}"
