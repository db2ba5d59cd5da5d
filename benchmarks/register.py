"""Seconds and memory to load the register of a large city, to read it, and to go on to another time.

A file of `--sources` meters in the districts of a shipped city, with beginnings on different days, of which one in a
hundred has changed its customer, is loaded into an empty register, read by one process as of now, resolved as of an
earlier day, looked up source by source, and loaded again unchanged. Then a restart in the middle of a day: a process
reads all as of noon and looks up every source. Loading, reading, loading again and the restart have a process each,
whose largest memory is given, with the seconds by the clock and of processor time: of that process, and of all of
PostgreSQL's.

The result is checked outside the timed part: every source is found, under a number of its own. It doesn't measure a
network, a disk that is slower than this one, or other loads at the same time.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from benchmarks.result import Measuring, ResultTable
from benchmarks.timed import now, own_services
from ingest.cities import City, load_city
from ingest.register_file import LoadReport, load_register
from ingest.register_table import COLUMNS
from ingest.simulated.sources import marks, places
from schemas.catalogue import catalogue
from store.database import Connection, connect, create_database
from store.migrations import migrate
from store.resolution import SourceReader

CITY = "ho-chi-minh-city"
METRIC = catalogue()["energy.import"]
DAY_MS = 86_400_000
FIRST_DAY = np.datetime64("2015-01-01")
BEGINNINGS = 3_000
"""Days on which sources begin; those on which a customer changes are in the year after the last of them."""
MOVED = 0.01

T = TypeVar("T")


def lines(city: City, sources: int) -> Iterator[str]:
    """The lines of the register file."""
    yield f"{','.join(COLUMNS)}\n"
    rng = np.random.default_rng(1)
    district = places(city, rng, sources).tolist()
    meter, customer = marks(rng, sources).tolist(), marks(rng, 2 * sources).tolist()
    commercial, moved = rng.random(sources) < 0.13, rng.random(sources) < MOVED
    begins = rng.integers(0, BEGINNINGS, sources)
    for n in range(sources):
        ends = FIRST_DAY + BEGINNINGS + int(begins[n]) % 365 if moved[n] else ""
        first, then = str(FIRST_DAY + int(begins[n])), str(ends)
        source = f"METER-{meter[n]:010d},{METRIC.name},{city.districts[district[n]].id}"
        class_ = METRIC.classes[int(commercial[n])]
        spans = [(customer[n], first, then)] + ([(customer[sources + n], then, "")] if moved[n] else [])
        for owner, valid_from, valid_to in spans:
            yield f"{source},CUSTOMER-{owner:010d},{class_},{valid_from},{valid_to}\n"


@dataclass(frozen=True, slots=True)
class LargeRegister:
    """Where the register is, from what, and as of when it is read, in milliseconds since 1970."""

    database_url: str
    path: Path
    sources: int
    now_ms: int

    @property
    def noon_ms(self) -> int:
        """The middle of the day before."""
        return self.now_ms // DAY_MS * DAY_MS - DAY_MS // 2


Steps = Mapping[str, Mapping[str, float]]
"""By step: seconds by the clock, of processor time of the process, and of PostgreSQL; the process's largest memory."""


def timed(connection: Connection, run: Callable[[], T]) -> tuple[T, Mapping[str, float]]:
    """What `run` returns, with what it took."""
    postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None
    began, before = now(), _server_cpu(postmaster)
    result = run()
    spent = now() - began
    taken = {"wall_s": spent.wall, "cpu_s": spent.cpu, "postgres_cpu_s": _server_cpu(postmaster) - before}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return result, {name: round(value, 2) for name, value in taken.items()} | {"peak_mb": round(peak_mb)}


def _server_cpu(postmaster: psutil.Process) -> float:
    """Processor time of a server's processes: those that run, and those that have ended."""
    total = float(sum(postmaster.cpu_times()[:4]))
    for child in postmaster.children():
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


def load(of: LargeRegister) -> Steps:
    """Load into an empty register. Ends the program if the result is wrong."""
    with connect(of.database_url) as connection:
        report, taken = timed(connection, lambda: _loaded(connection, of))
    if report.rows.sources_updated or not report.drawn:
        sys.exit(f"a first load found something to change, or drew no areas: {report}")
    return {"load into an empty register, areas drawn": taken}


def load_again(of: LargeRegister) -> Steps:
    """Load the same file again. Ends the program if that changes anything."""
    with connect(of.database_url) as connection:
        report, taken = timed(connection, lambda: _loaded(connection, of))
    if report.rows.sources_new or report.rows.sources_updated or report.drawn:
        sys.exit(f"loading the same file again changed the register: {report}")
    return {"load again, unchanged": taken}


def _loaded(connection: Connection, of: LargeRegister) -> LoadReport:
    return load_register(connection, load_city(CITY), of.path, lambda: of.now_ms)


def read(of: LargeRegister) -> Steps:
    """Read all, go on to another time, and look up. Ends the program if the result is wrong."""
    with connect(of.database_url) as connection:
        reader = SourceReader(connection, METRIC.name, METRIC.classes)
        resolved, reading = timed(connection, lambda: reader.at(of.now_ms))
        earlier, another = timed(connection, lambda: reader.at(of.now_ms - 4_000 * DAY_MS // 3))
        ids = resolved.ids()
        found, look_up = timed(connection, lambda: resolved.rows_of(ids))
    if len(ids) != of.sources or (found < 0).any() or earlier.holds(of.now_ms):
        sys.exit(f"{len(ids)} sources were found of {of.sources}")
    if len(np.unique(resolved.values(found).number)) != of.sources:
        sys.exit("two sources have the same number")
    return {"read all as of now": reading, "go on to another time": another, "look up every source": look_up}


def restart(of: LargeRegister) -> Steps:
    """Read all as of noon, and look up. Ends the program if a source is not found."""
    with connect(of.database_url) as connection:
        reader = SourceReader(connection, METRIC.name, METRIC.classes)
        resolved, reading = timed(connection, lambda: reader.at(of.noon_ms))
        ids = resolved.ids()
        found, look_up = timed(connection, lambda: resolved.rows_of(ids))
    if len(ids) != of.sources or (found < 0).any():
        sys.exit("a source was not found after the restart")
    return {"restart: read all as of noon": reading, "restart: look up every source": look_up}


def measure(of: LargeRegister) -> ResultTable:
    """Each stage in a process of its own."""
    rows: list[Mapping[str, object]] = []
    for stage in (load, read, load_again, restart):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            for step, taken in process.submit(stage, of).result().items():
                print(step, taken, flush=True)
                rows.append({"step": step, **taken})
    return ResultTable.of("Seconds of each step, and the largest memory of its process until then", rows)


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sources", type=int, default=1_000_000)
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring("register", "The register", "source", {"sources": chosen.sources})
    city = load_city(CITY)
    with tempfile.TemporaryDirectory(prefix="sistercity-bench-") as folder:
        path = Path(folder) / "register.csv"
        with path.open("w") as file:
            file.writelines(lines(city, chosen.sources))
        with own_services(chosen.installed) as running:
            url = create_database(running.database_url, "bench_register")
            migrate(url)
            of = LargeRegister(url, path, chosen.sources, time.time_ns() // 1_000_000)
            measuring.tables.append(measure(of))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
