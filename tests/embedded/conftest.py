from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from embedded.jars import classpath, read_lock
from embedded.postgres_folder import folder_for
from embedded.remove import remove

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def installed() -> Path:
    """Where `make install` puts the Kafka runtime."""
    folder = ROOT / ".sistercity"
    classpath(folder, read_lock())
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose data all tests share, with a name that nobody's escaping should stumble over."""
    folder = tmp_path_factory.mktemp("home") / "thành phố, 1"
    folder.mkdir()
    yield folder
    remove(folder)


def family(home: Path) -> dict[int, psutil.Process]:
    """The processes that have to do with `home` (guard, broker, server) and what they started, by id."""
    folders = (str(home), str(folder_for(home).path))
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if any(folder in command for folder in folders):
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
        except psutil.Error:
            continue
    return found


def none_alive(processes: dict[int, psutil.Process]) -> bool:
    return not any(alive(process) for process in processes.values())


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
