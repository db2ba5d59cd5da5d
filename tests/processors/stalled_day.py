"""A day of readings with a watermark that stands still until its end, folded in a process of its own.

    python -m tests.processors.stalled_day AREAS LIMIT_MB FOLDER

Every area has 5,000 meters with a reading in each quarter of an hour, and about every hundredth message comes twice.
Prints as JSON what came of it: the account, how many cells are right, and the most memory in MB that the process had
taken at the start, after each quarter of the day, and when its windows had closed.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from eventlog.memory import MemoryRecord
from processors.open_memory import OpenMemory
from processors.reading_fold import ReadingFold, ReadingFoldFactory
from processors.spilling import SpillFolder
from schemas.batch import ROW, encode
from schemas.catalogue import metrics_of
from store.processing import Position

DATASET = "energy.readings"
TOPIC = f"isfahan.{DATASET}.v1"
METERS = 5_000
QUARTERS = 96
QUARTER_MS = 15 * 60_000
DAY_MS = QUARTERS * QUARTER_MS
START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS - 12_600_000  # a midnight in Tehran
AT_ONCE = 32
MB = 1 << 20


def rows_of(area: int) -> np.ndarray:
    """A reading of every meter of an area."""
    rows = np.zeros(METERS, ROW)
    rows["source"] = rows["contributor"] = np.arange(METERS) + area * METERS
    rows["value"] = np.arange(METERS) % 1_000 + area + 1
    rows["quality"] = 1
    return rows


def message(area: int, start: int, rows: np.ndarray) -> bytes:
    """A batch of an area; without rows a tick."""
    return encode(
        1, metric="energy.import", area=area, class_="residential", interval=QUARTER_MS, start=start, rows=rows
    )


def records(areas: int) -> Iterator[list[MemoryRecord]]:
    """The records of the day, those of a quarter of an hour at a time."""
    rows, offset = [rows_of(area) for area in range(areas)], 0
    for quarter in range(QUARTERS):
        some = []
        for area in range(areas):
            value = message(area, START_MS + quarter * QUARTER_MS, rows[area])
            for _ in range(1 + (offset % 100 == 0)):
                some.append(MemoryRecord(offset, START_MS + 3 * DAY_MS, b"%d" % area, value))
                offset += 1
        yield some


def peak_mb() -> int:
    """The most memory that this process has taken so far, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def close(fold: ReadingFold) -> float:
    """Close what is due; returns the CPU seconds of the longest piece."""
    longest = 0.0
    while fold.closing:
        began = time.process_time()
        fold.close_some()
        longest = max(longest, time.process_time() - began)
    return longest


def main(areas: int, limit_mb: int, folder: Path) -> None:
    memory = OpenMemory(limit_mb * MB, SpillFolder(folder))
    metrics = [replace(metric, lateness_ms=DAY_MS) for metric in metrics_of(DATASET)]  # the watermark does not move
    factory = ReadingFoldFactory({TOPIC: metrics}, "Asia/Tehran", memory=memory)
    fold = factory.create(TOPIC, Position(), lambda first, until: frozenset(), gap=False)
    peaks, longest_feed, offset = [peak_mb()], 0.0, 0
    began = time.process_time()
    for quarter, some in enumerate(records(areas), 1):
        for first in range(0, len(some), AT_ONCE):
            before = time.process_time()
            fold.feed(some[first : first + AT_ONCE])
            longest_feed = max(longest_feed, time.process_time() - before)
            close(fold)
        offset = some[-1].offset + 1
        if quarter % (QUARTERS // 4) == 0:
            peaks.append(peak_mb())
    folded, open_before, disk = time.process_time() - began, fold.buffered, fold.held[1]
    tick = message(1, START_MS + 2 * DAY_MS, np.empty(0, ROW))
    fold.feed([MemoryRecord(offset, START_MS + 3 * DAY_MS, None, tick)])
    longest_piece = close(fold)
    step = fold.step()
    right = sum(
        cell.amounts.value == 4 * int(rows_of(cell.area)["value"].sum())
        and cell.amounts.readings == 4 * METERS == 4 * cell.amounts.contributors
        for cell in step.cells
    )
    print(json.dumps({
        "account": asdict(step.position.account), "open_before": open_before, "cells": len(step.cells), "right": right,
        "peaks_mb": [*peaks, peak_mb()], "disk_mb": disk // MB, "fold_cpu_s": folded,
        "cpu_s": time.process_time() - began, "longest_feed_s": longest_feed, "longest_piece_s": longest_piece,
    }))  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
