"""The container engine that the tests of this folder run on."""

import subprocess

import pytest

NO_ENGINE = (
    "no container engine answers: install Docker 20.10 or newer with Compose 2.26 or newer, start it (DOCKER_HOST says"
    " where it listens, if not at the usual socket), and run `make containers` again"
)


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skip in words where no engine answers."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except FileNotFoundError:
            pytest.skip(NO_ENGINE)
        if done.returncode:
            pytest.skip(NO_ENGINE)
