"""What signals do to a process that runs until it is stopped."""

import signal
import subprocess
import sys

import pytest

ROLE = """
from node import lifecycle
stop = lifecycle.start("test", metrics=False)
print("begun", flush=True)
stop.wait()
print("stopping", flush=True)
input()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 0, id="container engines send several to one stop"),
        pytest.param(signal.SIGINT, -signal.SIGINT, id="who asks twice from a terminal does not want to wait"),
    ],
)
def test_a_second_signal_while_it_stops(number, code):
    with subprocess.Popen(
        [sys.executable, "-c", ROLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as role:
        assert role.stdin and role.stdout
        for said in ("begun", "stopping"):
            assert role.stdout.readline().strip() == said
            role.send_signal(number)
        role.communicate("done\n")
    assert role.returncode == code
