"""A partner installs the extra `client`: pulling must need nothing that only the other extras bring."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def locked(extra: str) -> set[str]:
    """The distributions that an extra's lock holds."""
    text = (REQUIREMENTS / f"{extra}.txt").read_text()
    return set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))


def modules(distributions: set[str]) -> tuple[str, ...]:
    """The top-level modules that these distributions install, and no others do."""
    return tuple(
        module
        for module, owners in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} <= distributions
    )


ABSENT = modules(locked("embedded") - locked("client"))

PROGRAM = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the extra client")

sys.meta_path.insert(0, Absent())
import federation.partners.pulling, federation.compare, node.cli
import store.accounts, store.partner_entries, store.publications
from typer.testing import CliRunner
result = CliRunner().invoke(node.cli.app, ["pull", "--help"])
assert result.exit_code == 0 and "partner" in result.output, result.output
made = ["create", "--city", "town", "--name", "Town", "--contact", "it@town.example"]
for words in (made, ["show"], ["rotate", "access"], ["revoke", "publish", "--reason", "lost"], ["export"]):
    result = CliRunner().invoke(node.cli.app, ["identity", *words])
    assert result.exit_code == 0, (result.output, result.exception)
"""


def test_what_is_absent_is_what_the_client_does_not_bring():
    assert {"kafka", "numpy", "fastavro", "fastapi", "uvicorn"} <= set(ABSENT)
    assert not {"httpx", "psycopg", "typer", "prometheus_client"} & set(ABSENT)


def test_pulling_and_an_identity_need_neither_kafka_nor_numpy(tmp_path):
    environment = os.environ | {"SISTERCITY_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
