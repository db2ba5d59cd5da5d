"""This machine: whether its disks have room."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from node.doctor.finding import Finding, Level

WARN = 0.10
FAIL = 0.02


def examine_disks(folders: Iterable[Path]) -> list[Finding]:
    """A finding for each disk that holds, or will hold, any of the folders. Raises `OSError`."""
    found: dict[int, Finding] = {}
    for folder in folders:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        device = existing.stat().st_dev
        if device not in found:
            usage = shutil.disk_usage(existing)
            found[device] = judge_disk(folder, usage.free, usage.total)
    return list(found.values())


def judge_disk(folder: Path, free: int, total: int) -> Finding:
    """Judge the free space of a disk; both sizes are in bytes."""
    share = free / total if total else 0.0
    level: Level = "fail" if share < FAIL else "warn" if share < WARN else "ok"
    advice = "" if level == "ok" else ": make room before what writes there stops"
    return Finding(level, f"disk of {folder}", f"{share:.0%} free, {free / 2**30:,.1f} GiB{advice}")
