"""The demo's processes: started with what they need, watched, and stopped with whoever started them."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import OperatorError

_STOP_S = 15
_TAIL_BYTES = 2_000


class ChildEnded(OperatorError):
    """A process that should have gone on has ended; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running command. It ends when its standard input does, so also when this process is killed."""

    name: str
    process: "subprocess.Popen[bytes]"
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
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "node", *arguments],
                env={**os.environ, **environment, "SISTERCITY_STOP_WITH_STDIN": "true"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches this process alone, which then stops them in order
            )
        self._children.append(Child(name, process, log, lasting))

    def check(self) -> None:
        """Raise `ChildEnded` if one has ended that should not have."""
        for child in self._children:
            code = child.process.poll()
            if code is not None and (child.lasting or code != 0):
                tail = child.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
                raise ChildEnded(f"{child.name} ended with code {code}; {child.log} says:\n{tail}")

    def close(self) -> None:
        """Ask all to end, and end those that do not."""
        for child in reversed(self._children):
            if child.process.stdin is not None:
                child.process.stdin.close()
        for child in reversed(self._children):
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else any port that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port of the loopback address is free")
