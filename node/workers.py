"""Several processes of one command, one for each core: a parent starts, watches and stops them."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic

import typer

from errors import OperatorError
from node import lifecycle
from node.settings import PREFIX, settings
from node.wiring import CommandError

logger = logging.getLogger(__name__)

_LAST_PORT = 65535
_OWN_OPTION = "workers"


class WorkerEnded(OperatorError):
    """A worker has ended that should have gone on; the others were stopped."""


@dataclass(frozen=True, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    since: float


class Workers:
    """Runs a command once for each environment, until `stop` is set or all have ended.

    Standard input of a worker is a pipe that ends with this process, however that ends; its end stops the worker.
    A `lasting` worker must not end by itself. One that was killed after `steady_s` seconds or more is started again.
    Any other end is one that a new start would meet again: it ends all (no loop of restarts). Workers that have not
    ended `patience_s` seconds after they were told to are killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        *,
        lasting: bool = True,
        steady_s: float = 60.0,
        patience_s: float = 15.0,
    ) -> None:
        self._command = command
        self._environments = environments
        self._lasting = lasting
        self._steady_s = steady_s
        self._patience_s = patience_s
        self._workers: dict[int, _Worker] = {}
        self._ended: SimpleQueue[int | None] = SimpleQueue()

    def run(self, stop: threading.Event) -> None:
        """Return when all workers have ended as they should. Raises `WorkerEnded`."""
        lifecycle.stop_when(stop, lambda: self._ended.put(None))
        try:
            for number in range(len(self._environments)):
                self._start(number)
            while self._workers:
                number_or_stop = self._ended.get()
                if number_or_stop is None:
                    break
                self._replace(number_or_stop)
        finally:
            failed = self._close()
        if failed:
            raise WorkerEnded("; ".join(failed))

    def _start(self, number: int) -> None:
        process = subprocess.Popen(
            self._command, env={**os.environ, **self._environments[number]}, stdin=subprocess.PIPE
        )
        self._workers[number] = _Worker(process, monotonic())
        logger.info("started worker %d, process %d", number + 1, process.pid)

        def wait() -> None:
            process.wait()
            self._ended.put(number)

        threading.Thread(target=wait, daemon=True).start()

    def _replace(self, number: int) -> None:
        """A worker has ended: count it as done, start another, or give up."""
        ended = self._workers.pop(number)
        code, lasted_s = ended.process.wait(), monotonic() - ended.since
        _close_stdin(ended.process)
        if code == 0 and not self._lasting:
            return
        words = f"worker {number + 1} {_in_words(code)} after {lasted_s:.0f} s"
        if code > 0 or lasted_s < self._steady_s:
            raise WorkerEnded(f"{words}; the others were stopped")
        logger.error("%s; starting another", words)
        self._start(number)

    def _close(self) -> list[str]:
        """Stop all workers; returns how those ended that did not end with code 0."""
        for worker in self._workers.values():
            _close_stdin(worker.process)
        until, failed = monotonic() + self._patience_s, []
        for number, worker in self._workers.items():
            try:
                code = worker.process.wait(max(0.0, until - monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                code = worker.process.wait()
            if code:
                failed.append(f"worker {number + 1} {_in_words(code)} when it was to stop")
        self._workers.clear()
        return failed


def run_workers(role: str, context: typer.Context, count: int, *, lasting: bool) -> None:
    """Run the command of `context` in `count` processes, until this one is stopped.

    Worker n of 0... serves its metrics n ports after the one that is set. Raises `WorkerEnded` and `CommandError`.
    """
    port = settings().metrics_port
    if port is not None and port + count - 1 > _LAST_PORT:
        raise CommandError(
            f"{count} workers need as many ports for their metrics, from {port} on; there are not so many"
        )
    stop = lifecycle.start(role, metrics=False)
    command = [sys.executable, "-P", "-m", "node", *_arguments(context)]
    common = {f"{PREFIX}STOP_WITH_STDIN": "true"}
    environments = [
        {**common, **({} if port is None else {f"{PREFIX}METRICS_PORT": str(port + number)})} for number in range(count)
    ]
    Workers(command, environments, lasting=lasting).run(stop)


def _arguments(context: typer.Context) -> Iterator[str]:
    """The name of the command, and its options as they were given, without the one that asked for workers."""
    yield str(context.command.name)
    for option in context.command.params:
        value = context.params.get(str(option.name))
        if option.name == _OWN_OPTION or value in (None, option.default, False):
            continue
        yield option.opts[0]
        if value is not True:
            yield from map(str, value if isinstance(value, tuple) else (value,))


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _in_words(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
