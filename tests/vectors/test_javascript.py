"""A verifier in another language, written from docs/wire.md with a stock JOSE library, judges every vector as we do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.vectors.making import FOLDER, vectors

HERE = Path(__file__).parent / "javascript"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs Node.js 20 or newer")
@pytest.mark.skipif(
    not (HERE / "node_modules").exists(), reason="needs its library: npm ci --prefix tests/vectors/javascript"
)
def test_the_verifier_in_javascript_judges_every_vector_as_it_says():
    command = [NODE, str(HERE / "verify.mjs"), str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{sum(map(len, vectors().values()))} vectors\n"
