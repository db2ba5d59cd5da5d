"""The form of a result: what every benchmark writes as JSON, and `benchmarks.report` reads.

A system is what does the work, with all of its processes; the broker and PostgreSQL are apart. Its figures are the
medians of its runs: nanoseconds of processor time for each unit (a reading, a picture), units in a second of processor
time, seconds by the clock, the largest memory. `verified` says what of the result was compared, outside the timed part.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SOFTWARE = ("numpy", "kafka-python", "confluent-kafka", "crc32c", "psycopg")
"""Packages whose versions every result names."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run of a system: seconds by the clock; seconds of processor time, user and system, and the largest memory in
    MB (10^6 bytes), of all of its processes. Memory is 0 where it was not measured."""

    wall_s: float
    cpu_s: float
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class MeasuredSystem:
    """What did the work, and its runs.

    `count`: the units of each run. `verified`: what was compared. `leaves_out`: what others in the table do besides.
    `stated`: further figures, by name.
    """

    name: str
    count: int
    runs: Sequence[MeasuredRun]
    verified: str
    leaves_out: str = ""
    stated: Mapping[str, object] = field(default_factory=dict)

    def figures(self) -> Mapping[str, Any]:
        """Medians of the runs, and the runs."""
        cpu, wall = (
            statistics.median(seconds) for seconds in zip(*((r.cpu_s, r.wall_s) for r in self.runs), strict=True)
        )
        return {
            "name": self.name,
            "count": self.count,
            "cpu_ns": _significant(cpu * 1e9 / self.count),
            "per_cpu_second": _significant(self.count / cpu),
            "wall_s": _significant(wall),
            "peak_mb": round(statistics.median(run.peak_mb for run in self.runs)),
            "verified": self.verified,
            "leaves_out": self.leaves_out,
            "stated": dict(self.stated),
            "runs": [
                {"wall_s": round(r.wall_s, 4), "cpu_s": round(r.cpu_s, 4), "peak_mb": round(r.peak_mb)}
                for r in self.runs
            ],
        }


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Figures that are no system's: rows of as many values as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    @classmethod
    def of(cls, title: str, rows: Sequence[Mapping[str, object]]) -> "ResultTable":
        """A table of rows that all have the same names."""
        return cls(title, list(rows[0]), [list(row.values()) for row in rows])


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) of each series, by its name; `x` and `y` name the axes, with their units."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]


class Measuring:
    """A benchmark while it runs; made at its beginning, because it notes the load of the machine then.

    `name` is that of the file; `unit` what is counted, in the singular; `settings` what the command was given.
    """

    def __init__(self, name: str, title: str, unit: str, settings: Mapping[str, object], seed: int | None = 1) -> None:
        self.name, self._title, self._unit = name, title, unit
        self._settings, self._seed = dict(settings), seed
        self._load, self._began = os.getloadavg()[0], time.time()
        self.systems: list[MeasuredSystem] = []
        self.tables: list[ResultTable] = []
        self.curves: list[Curve] = []

    def set(self, name: str, value: object) -> None:
        """Add to the settings what was only known later."""
        self._settings[name] = value

    def result(self, packages: Sequence[str] = SOFTWARE) -> Mapping[str, Any]:
        """All of it, ready for JSON. `packages` are the distributions whose versions it names."""
        return {
            "benchmark": self.name,
            "title": self._title,
            "unit": self._unit,
            "measured_at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(self._began)),
            "took_s": round(time.time() - self._began),
            "commit": _commit(),
            "machine": machine(),
            "load": {"begun": round(self._load, 1), "ended": round(os.getloadavg()[0], 1)},
            "versions": {"python": platform.python_version(), **_versions(packages)},
            "seed": self._seed,
            "settings": self._settings,
            "systems": [system.figures() for system in self.systems],
            "tables": [{"title": t.title, "columns": t.columns, "rows": t.rows} for t in self.tables],
            "curves": [{"title": c.title, "x": c.x, "y": c.y, "series": c.series} for c in self.curves],
        }

    def write(self, output: Path | None, packages: Sequence[str] = SOFTWARE) -> None:
        """Print the result, and write it to a file if there is to be one."""
        text = json.dumps(self.result(packages), indent=2) + "\n"
        print(text, end="", flush=True)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text)


def machine() -> Mapping[str, object]:
    """Processor, cores, memory and system of this machine; not its name."""
    found = re.search(r"^model name\s*: (.*)$", _proc("cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _proc("meminfo"), re.MULTILINE)
    return {
        "processor": found[1] if found else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) * 1024 / 1e9, 1) if memory else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def peak_mb(process: int | str = "self") -> float:
    """The largest memory that a process has had since it began, in MB of 10^6 bytes; 0 where the system does not say.

    `ru_maxrss` would count its parent's, too.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", _proc(f"{process}/status"))
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _proc(name: str) -> str:
    try:
        return Path("/proc", name).read_text()
    except OSError:  # another system than Linux
        return ""


def _versions(packages: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit of the source, with a mark if what is measured differs from it; empty where there is no git."""
    folder = Path(__file__).parent.parent
    written = [":(exclude)benchmarks/results", ":(exclude)docs", ":(exclude)node/sizing.toml"]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
        )
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *written], cwd=folder, check=False)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + (" with changes" if changed.returncode else "")


def _significant(value: float) -> float:
    """Rounded to four digits."""
    return float(f"{value:.4g}")
