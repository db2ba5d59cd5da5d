"""This machine: whether its disks have room."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from node.doctor.finding import Finding, Level

WARN = 0.10
FAIL = 0.02


def look_at_disks(folders: Iterable[Path]) -> list[Finding]:
    """One finding for each disk that holds one of the folders, or will hold it."""
    found: dict[int, Finding] = {}
    for folder in folders:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        device = there.stat().st_dev
        if device not in found:
            usage = shutil.disk_usage(there)
            found[device] = judge_disk(folder, usage.free, usage.total)
    return list(found.values())


def judge_disk(folder: Path, free: int, total: int) -> Finding:
    """How much of a disk is free, in bytes."""
    share = free / total if total else 0.0
    level: Level = "fail" if share < FAIL else "warn" if share < WARN else "ok"
    advice = "" if level == "ok" else ": make room before what writes there stops"
    return Finding(level, f"disk of {folder}", f"{share:.0%} free, {free / 2**30:,.1f} GiB{advice}")
