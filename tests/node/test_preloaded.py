"""What the demo imports before it forks its roles."""

import subprocess
import sys


def test_preloading_starts_no_thread_and_reads_no_setting():
    """A process that has threads must not fork: their locks would stay locked in the child."""
    code = (
        "import gc, threading, node.demo.fork_server, node.settings\n"
        "print(threading.active_count(), node.settings.settings.cache_info().currsize, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 0 True\n"
