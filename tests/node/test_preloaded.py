"""What the demo imports before it forks its roles."""

import subprocess
import sys
from importlib import import_module

import pytest

from node.demo.children import PRELOADED


@pytest.mark.parametrize("name", PRELOADED)
def test_a_preloaded_module_is_there(name):
    import_module(name)  # multiprocessing passes over a name that it can't import


def test_preloading_starts_no_thread():
    """A process that has threads must not fork: their locks would stay locked in the child."""
    imports = "; ".join(f"import {name}" for name in PRELOADED)
    code = f"import threading; {imports}; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
