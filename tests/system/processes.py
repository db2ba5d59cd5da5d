"""Processes of the `sistercity` command, forked from a server that has imported the whole product.

An interpreter that starts and imports everything costs a second or more of CPU, most of what such a test would cost.
A forked process is as separate as any other: it has its own arguments, environment, signals and exit code.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["tests.system.fork_server"])


class SistercityProcess:
    """`sistercity` with these arguments, in this environment only. Output is appended to the files.

    Its standard input is a pipe that ends with this process, so that with SISTERCITY_STOP_WITH_STDIN it does not
    outlive the test. The methods are those of `subprocess.Popen`.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
        for path in (out, err):
            path.touch()  # a test may read them before the process opens them
        stdin, self._stdin = forkserver.Pipe(duplex=False)
        self._process = forkserver.Process(
            target=_run, args=(list(arguments), dict(environment), str(out), str(err), stdin), daemon=True
        )
        self._process.start()
        atexit.register(self.kill)  # multiprocessing would wait for one that a failed test left frozen
        stdin.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], environment: dict[str, str], out: str, err: str, stdin: Connection) -> None:
    """What `python -m node` does, in a forked process."""
    from node.cli import main  # noqa: PLC0415

    os.dup2(stdin.fileno(), 0)
    for path, descriptor in ((out, 1), (err, 2)):
        with Path(path).open("ab") as file:
            os.dup2(file.fileno(), descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["sistercity", *arguments]
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which an interpreter calls at its end, and a forked process does not
