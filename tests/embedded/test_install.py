import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jgo.maven import MavenContext

from embedded.install import DownloadFailed, WrongHash, install
from embedded.jars import Jar
from tests.embedded.conftest import ROOT

SERVER, OTHER = "org.apache.kafka:kafka_2.13:9.9.9", "a.b:c:1"


class Repository:
    """A Maven repository in a folder, read through jgo as a remote one would be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, coordinates: str) -> Path:
        group, artifact, version = coordinates.split(":")
        return self.folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")

    def put(self, coordinates: str, content: bytes) -> Jar:
        path = self.path(coordinates)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        group, artifact, version = coordinates.split(":")
        return Jar(group, artifact, version, hashlib.sha256(content).hexdigest())

    def context(self, repo_cache: Path) -> MavenContext:
        return MavenContext(repo_cache=repo_cache, local_repos=[self.folder], offline=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def bring(tmp_path: Path, repository: Repository) -> Callable[..., dict[str, bytes]]:
    def run(*jars: Jar) -> dict[str, bytes]:
        target = install(tmp_path / "home", jars, report=lambda _: None, context_for=repository.context)
        return {path.name: path.read_bytes() for path in target.iterdir()}

    return run


def test_every_jar_of_the_lock_is_installed(repository: Repository, bring: Callable[..., dict[str, bytes]]) -> None:
    jars = repository.put(SERVER, b"server"), repository.put(OTHER, b"other")
    assert bring(*jars) == {"kafka_2.13-9.9.9.jar": b"server", "c-1.jar": b"other"}


def test_a_jar_with_another_hash_is_refused_and_not_installed(
    tmp_path: Path, repository: Repository, bring: Callable[..., dict[str, bytes]]
) -> None:
    expected = repository.put(SERVER, b"server")
    repository.put(SERVER, b"something else")
    with pytest.raises(WrongHash, match=expected.sha256):
        bring(expected)
    assert not (tmp_path / "home/kafka/9.9.9/kafka_2.13-9.9.9.jar").exists()


def test_a_run_after_an_interrupted_one_fetches_only_what_is_missing(
    repository: Repository, bring: Callable[..., dict[str, bytes]]
) -> None:
    server, other = repository.put(SERVER, b"server"), repository.put(OTHER, b"other")
    repository.path(OTHER).unlink()
    with pytest.raises(DownloadFailed, match=OTHER):
        bring(server, other)
    bring(server)
    repository.path(SERVER).unlink()
    repository.put(OTHER, b"other")
    assert set(bring(server, other)) == {"kafka_2.13-9.9.9.jar", "c-1.jar"}


def test_a_damaged_jar_is_replaced(
    tmp_path: Path, repository: Repository, bring: Callable[..., dict[str, bytes]]
) -> None:
    server = repository.put(SERVER, b"server")
    bring(server)
    (tmp_path / "home/kafka/9.9.9/kafka_2.13-9.9.9.jar").write_bytes(b"ser")
    assert bring(server) == {"kafka_2.13-9.9.9.jar": b"server"}


def install_command(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "embedded.install", str(folder)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_failed_download_is_a_single_message_with_what_to_do(tmp_path: Path) -> None:
    closed_port = "http://127.0.0.1:9"
    result = install_command(tmp_path, HTTPS_PROXY=closed_port, https_proxy=closed_port, NO_PROXY="", no_proxy="")
    assert result.returncode == 1
    assert result.stderr.startswith("could not download ")
    assert result.stderr.count("\n") == 1
    assert "check the network" in result.stderr
    assert result.stdout == ""


def test_a_folder_that_cannot_be_written_is_a_single_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = install_command(tmp_path / "file")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "can be written" in result.stderr
