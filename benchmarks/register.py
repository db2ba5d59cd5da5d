"""Seconds and memory to load the register of a large city, to read it, and to go on to another time.

A file of `--sources` meters in the districts of a shipped city, with beginnings on different days, of which one in a
hundred has changed its customer, is loaded into an empty register, read by one process as of now, resolved as of an
earlier day, looked up source by source, and loaded again unchanged. Then a restart in the middle of a day: a reader
without anything in memory reads all as of noon and looks up every source. Each figure is given by the clock and as
processor time: of this process, and of the PostgreSQL process that serves it (not of its parallel workers).

The result is checked outside the timed part: every source is found, under a number of its own. It doesn't measure a
network, a disk that is slower than this one, or other loads at the same time.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.result import Measuring, ResultTable
from benchmarks.timed import now, own_services
from ingest.cities import City, load_city
from ingest.register_file import load_register
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


def timed(connection: Connection, run: Callable[[], T]) -> tuple[T, Mapping[str, float]]:
    """What `run` returns, with the seconds that it took."""
    server = psutil.Process(connection.info.backend_pid)
    began, before = now(), sum(server.cpu_times()[:2])
    result = run()
    spent = now() - began
    seconds = {"wall": spent.wall, "cpu": spent.cpu, "postgres_cpu": sum(server.cpu_times()[:2]) - before}
    return result, {name: round(value, 2) for name, value in seconds.items()}


def peak_mb() -> int:
    """The largest memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _restarted(connection: Connection, at_ms: int, ids: Sequence[str]) -> NDArray[np.int64]:
    return SourceReader(connection, METRIC.name, METRIC.classes).at(at_ms).rows_of(ids)


def measure(database_url: str, path: Path, city: City, sources: int) -> Sequence[ResultTable]:
    """Load, read and look up; ends the program if a result is wrong. Returns seconds by step, and memory."""
    now_ms = time.time_ns() // 1_000_000
    noon_ms = now_ms // DAY_MS * DAY_MS - DAY_MS // 2
    with connect(database_url) as connection:
        begun_mb = peak_mb()
        report, load = timed(connection, lambda: load_register(connection, city, path, lambda: now_ms))
        print(f"load {load}, {report.rows}", flush=True)
        loaded_mb = peak_mb()
        reader = SourceReader(connection, METRIC.name, METRIC.classes)
        resolved, read = timed(connection, lambda: reader.at(now_ms))
        print(f"read {read}", flush=True)
        read_mb = peak_mb()
        earlier, another = timed(connection, lambda: reader.at(now_ms - 4_000 * DAY_MS // 3))
        print(f"another time {another}", flush=True)
        ids = resolved.ids()
        found, look_up = timed(connection, lambda: resolved.rows_of(ids))
        print(f"look up {look_up}", flush=True)
        if len(ids) != sources or (found < 0).any() or earlier.holds(now_ms):
            sys.exit(f"{len(ids)} sources were found of {sources}")
        if len(np.unique(resolved.values(found).number)) != sources:
            sys.exit("two sources have the same number")
        again, reload = timed(connection, lambda: load_register(connection, city, path, lambda: now_ms))
        print(f"load again {reload}", flush=True)
        if again.rows.sources_new or again.rows.sources_updated or again.drawn:
            sys.exit(f"loading the same file again changed the register: {again}")
        reloaded_mb = peak_mb()
    with connect(database_url) as connection:
        restarted, restart = timed(connection, lambda: _restarted(connection, noon_ms, ids))
        print(f"restart at noon {restart}", flush=True)
        if (restarted < 0).any():
            sys.exit("a source was not found after the restart")
    steps = {
        "load into an empty register": load,
        "read all": read,
        "go on to another time": another,
        "look up every source": look_up,
        "load again, unchanged": reload,
        "restart at noon, look up every source": restart,
    }
    memory = {"begun": begun_mb, "loaded": loaded_mb, "read": read_mb, "loaded again": reloaded_mb}
    return [
        ResultTable.of("Seconds of each step", [{"step": step, **seconds} for step, seconds in steps.items()]),
        ResultTable.of("Largest memory of the process so far, MB", [memory]),
    ]


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
            measuring.tables += measure(url, path, city, chosen.sources)
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
