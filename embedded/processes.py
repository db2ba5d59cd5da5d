"""Find and end processes by what stands in their command line: nothing recorded in a file can be stale."""

import time
from collections.abc import Iterator, Sequence
from signal import SIGKILL, SIGTERM

import psutil

# The clock that a start time is computed from may be stepped between two readings.
SAME_START_SECONDS = 5.0


def with_arguments(*arguments: str) -> list[int]:
    """The ids of the processes whose command line contains these arguments, one after another."""
    found = []
    for process in psutil.process_iter():
        try:
            if contains(process.cmdline(), arguments):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def contains(command: Sequence[str], arguments: Sequence[str]) -> bool:
    width = len(arguments)
    return any(tuple(command[at : at + width]) == tuple(arguments) for at in range(len(command) - width + 1))


def start_time(pid: int) -> float | None:
    """Seconds since the epoch when the process started, or None if there is no such process (or only its remains)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Is this process, and not a later one with the same id, running?"""
    actual = start_time(pid)
    return actual is not None and abs(actual - started) < SAME_START_SECONDS


def end(pids: Sequence[int], *, grace_seconds: float) -> None:
    """Ask the processes to end, and kill those that have not after the grace, with all that they started."""
    processes = list(opened(pids))
    for process in processes:
        signal(process, SIGTERM)
    if await_end(processes, grace_seconds):
        return
    family = [member for process in processes for member in (process, *descendants(process))]
    for member in family:
        signal(member, SIGKILL)
    await_end(family, grace_seconds)


def await_end(processes: Sequence[psutil.Process], seconds: float) -> bool:
    """Wait until none is running. The remains of one that nobody waited for do not count: they may stay."""
    deadline = time.monotonic() + seconds
    while any(start_time(process.pid) == process.create_time() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def opened(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue


def signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []
