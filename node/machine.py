"""The machine that a process runs on, as metrics: its clock, and the room on its disks."""

import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from prometheus_client import Gauge

CLOCK = Gauge("sistercity_clock_seconds", "The clock of this process's machine when it was asked, Unix time")
DISK_FREE = Gauge(
    "sistercity_disk_free_ratio", "Share of a disk that is free, by what this process keeps on it", ["use"]
)


def show_machine(folders: Mapping[str, Path]) -> None:
    """Show the clock, and the disk of each folder by what it is for. A folder need not be there yet."""
    CLOCK.set_function(time.time)
    for use, folder in folders.items():
        DISK_FREE.labels(use).set_function(partial(free_ratio, folder))


def free_ratio(folder: Path) -> float:
    """The share of the disk of `folder`, or of the nearest folder above it that is there, that users may still fill."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    usage = shutil.disk_usage(there)
    return usage.free / (usage.used + usage.free)
