"""A system in a process of its own, and what it uses between its `begin` and its `end`; then it gives its cells.

Processor time is that of /proc, user and system of all threads, in steps of 10 ms. What a process uses before it says
`begin` is apart: starting, compiling a plan, joining a group. After `end` it waits until its standard input is closed;
after its cells it says `done`.
"""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.readings import CellAmounts, CellKey
from benchmarks.result import peak_mb

_LAST_LINES = 25


class PeerFailed(Exception):
    """A system ended without a result, or took too long; the text ends with its last lines."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a system did. Seconds; `start_cpu_s` was used before it began to read; memory in MB (10^6 bytes).

    `broker_cpu_s` and `postgres_cpu_s` are those of both services in the same time.
    """

    cells: Mapping[CellKey, CellAmounts]
    wall_s: float
    cpu_s: float
    start_cpu_s: float
    peak_mb: float
    broker_cpu_s: float
    postgres_cpu_s: float


@dataclass(frozen=True, slots=True)
class ServiceProcesses:
    """The broker and PostgreSQL, by the ports that they listen on."""

    broker: psutil.Process
    postgres: psutil.Process

    @classmethod
    def on(cls, broker_port: int, postgres_port: int) -> "ServiceProcesses":
        found = {c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        return cls(psutil.Process(found[broker_port]), psutil.Process(found[postgres_port]))

    def cpu_s(self) -> tuple[float, float]:
        """Processor time so far: of the broker; of PostgreSQL, with its sessions that have ended."""
        main = self.postgres.cpu_times()
        postgres = main.user + main.system + main.children_user + main.children_system
        for session in self.postgres.children(recursive=True):
            try:
                times = session.cpu_times()
            except psutil.NoSuchProcess:
                continue
            postgres += times.user + times.system
        broker = self.broker.cpu_times()
        return broker.user + broker.system, postgres


def watch(command: Sequence[str], services: ServiceProcesses, log: Path, limit_s: float) -> Watched:
    """Run a system to its end. Its errors go to `log`. Raises PeerFailed."""
    cells: dict[CellKey, CellAmounts] = {}
    begun: tuple[float, float, float, float] | None = None
    spent: list[float] = []
    memory = 0.0
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        overdue = threading.Timer(limit_s, process.kill)
        overdue.start()
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in process.stdout:
                match line.split():
                    case ["begin"]:
                        begun = _moment(process.pid, services)
                    case ["cell", hour, area, class_, total, rows]:
                        cells[CellKey(int(hour), int(area), class_)] = CellAmounts(int(total), int(rows))
                    case ["end"] if begun is not None:
                        spent = [now - then for now, then in zip(_moment(process.pid, services), begun, strict=True)]
                        memory = peak_mb(process.pid)
                        process.stdin.close()
                    case ["done"] if begun is not None and spent:
                        wall, cpu, broker, postgres = spent
                        return Watched(cells, wall, cpu, begun[1], memory, broker, postgres)
        finally:
            overdue.cancel()
            process.kill()
            process.stdout.close()
            process.wait()
    last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
    raise PeerFailed(f"{command[0]} ended without a result, or took over {limit_s:.0f} s:\n{last}")


def _moment(pid: int, services: ServiceProcesses) -> tuple[float, float, float, float]:
    """The clock; processor time so far of the process, of the broker and of PostgreSQL."""
    times = psutil.Process(pid).cpu_times()
    return time.perf_counter(), times.user + times.system, *services.cpu_s()
