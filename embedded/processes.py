"""Find and end processes by their command lines, since an id that was written to a file may be out of date."""

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
    """Whether `arguments` stand in `command`, one after another."""
    width = len(arguments)
    return any(tuple(command[at : at + width]) == tuple(arguments) for at in range(len(command) - width + 1))


def start_time(pid: int) -> float | None:
    """When the process started, in seconds since 1970; None if there is no such process, or it is a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Whether this process is running, and not a later one with the same id. `started`: seconds since 1970."""
    actual = start_time(pid)
    return actual is not None and abs(actual - started) < SAME_START_SECONDS


def end(pids: Sequence[int], *, grace_seconds: float) -> None:
    """Send SIGTERM to the processes, and after `grace_seconds` SIGKILL to those that are left and their descendants."""
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
    """Whether all processes end within `seconds`. Zombies count as ended."""
    deadline = time.monotonic() + seconds
    while any(start_time(process.pid) == process.create_time() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def opened(pids: Sequence[int]) -> Iterator[psutil.Process]:
    """The processes with these ids that exist."""
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue


def signal(process: psutil.Process, number: int) -> None:
    """Send a signal to the process, if it still exists."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Its children, their children and so on; none if it has ended."""
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []
