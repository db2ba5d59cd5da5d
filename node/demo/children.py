"""The demo's processes: started with what they need, watched, and stopped with whoever started them.

They are forked from a single process that has imported everything: sixteen processes that import at once keep two
cores busy for ten seconds (docs/decisions/0014-forked-roles.md).
"""

import os
import runpy
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path

from errors import OperatorError

_CONTEXT = get_context("forkserver")
_STOP_S = 15
_TAIL_BYTES = 2_000


class ChildEnded(OperatorError):
    """A process that should have gone on has ended; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running command. It ends when this process closes `lifeline` or ends itself, by a signal too.

    `lasting`: it must not end by itself.
    """

    name: str
    process: ForkServerProcess
    lifeline: Connection
    log: Path
    lasting: bool


class Children:
    """All processes of a demo. `close` stops them, last started first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, lasting: bool = True
    ) -> None:
        """Run `sistercity ARGUMENTS`. A `lasting` one may not end by itself, any other only with code 0."""
        log = self._folder / f"{name}.log"
        receiver, lifeline = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=_run, args=(receiver, log, arguments, dict(environment)), name=name)
        process.start()
        receiver.close()
        self._children.append(Child(name, process, lifeline, log, lasting))

    def check(self) -> None:
        """Raise `ChildEnded` if a process has ended that should not have."""
        for child in self._children:
            code = child.process.exitcode
            if code is not None and (child.lasting or code != 0):
                tail = child.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
                raise ChildEnded(f"{child.name} ended with code {code}; {child.log} says:\n{tail}")

    def join(self) -> None:
        """Wait until every process that is not lasting has ended. Raises `ChildEnded` if one of them failed."""
        for child in self._children:
            if not child.lasting:
                child.process.join()
        self.check()

    def close(self) -> None:
        """Ask all processes to end, and kill those that are still running after 15 seconds."""
        for child in reversed(self._children):
            child.lifeline.close()
        for child in reversed(self._children):
            child.process.join(_STOP_S)
            if child.process.exitcode is None:
                child.process.kill()
                child.process.join()
        self._children.clear()


def preload() -> None:
    """Start the process that imports what the commands need and that they are forked from. Returns at once."""
    _CONTEXT.set_forkserver_preload(["node.demo.fork_server"])
    ensure_running()


def _run(lifeline: Connection, log: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command in a process that was just forked, as a shell would: with these redirections and variables."""
    os.setsid()  # so that Ctrl-C reaches the demo alone, which then stops its children in order
    os.dup2(lifeline.fileno(), 0)
    lifeline.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (of an open file; multiprocessing had put another there)
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment, SISTERCITY_STOP_WITH_STDIN="true")
    sys.argv = ["sistercity", *arguments]
    runpy.run_module("node", run_name="__main__")


def emptied(folder: Path) -> Path:
    """A folder for this user alone, without what an earlier demo left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else any port of the loopback address that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port of the loopback address is free")
