"""How a long-running command starts and stops: its log, its metrics, its signals."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from node.health import RoleHealth
from node.logs import set_up_logs
from node.machine import show_machine
from node.settings import Settings, settings
from node.wiring import CommandError

_GRACE_S = 10
"""Seconds for a process to stop after its parent has gone."""


def start(role: str, health: RoleHealth | None = None, *, metrics: bool = True) -> threading.Event:
    """Set up log, metrics and signals of a process that runs until it is stopped. Returns the event that stops it.

    The first SIGINT or SIGTERM sets the event. A second SIGINT ends the process at once; a second SIGTERM does nothing,
    for container engines send several to one stop and SIGKILL when their patience ends. `health` is served beside the
    metrics. Without `metrics` the process serves neither, whatever is set. Raises `CommandError` if the port of the
    metrics is taken.
    """
    chosen = settings()
    set_up_logs(role, chosen.log_level, chosen.log_format)
    stop = threading.Event()

    def request_stop(number: int, frame: object) -> None:
        del frame
        stop.set()
        # Ignored, not handled: Python gives a handler up when it begins to end, which is before the process has ended.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
    if chosen.stop_with_stdin:
        threading.Thread(target=_stop_with_stdin, args=(stop,), daemon=True).start()
    if metrics and chosen.metrics_port is not None:
        from node.metrics_server import MetricsServer

        show_machine(_folders(chosen))
        try:
            MetricsServer(chosen.metrics_host, chosen.metrics_port, health)
        except OSError as error:
            raise CommandError(
                f"metrics can't listen on {chosen.metrics_host}:{chosen.metrics_port}: {error}"
            ) from None
    return stop


def _folders(chosen: Settings) -> dict[str, Path]:
    """What a process may write to, by use."""
    given = {"home": chosen.home, "open-windows": chosen.spill_folder, "ledger": chosen.ledger}
    return {use: folder for use, folder in given.items() if folder is not None}


def stop_when(stop: threading.Event, act: Callable[[], object]) -> None:
    """Call `act`, in a thread of its own, when the event is set."""

    def wait() -> None:
        stop.wait()
        act()

    threading.Thread(target=wait, daemon=True).start()


def _stop_with_stdin(stop: threading.Event) -> None:
    """Stop when standard input ends: the parent holds its other end, which closes however the parent ends."""
    while os.read(sys.stdin.fileno(), 4096):  # past Python's own buffer, whose lock would outlive the interpreter
        pass
    stop.set()
    time.sleep(_GRACE_S)
    os._exit(1)  # Kafka may have ended with the parent: waiting for it has no end
