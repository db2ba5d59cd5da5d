"""Other systems beside the product, on the same topics in the same run: what a reading costs each of them.

Topics of `benchmarks.readings`: batches of 500, of many meters and, for systems that keep each reading, of fewer; and
one reading a message. Everything goes over a topic in turns: the product and a bare poll with either client, as
`benchmarks.energy` measures them, and each peer in a process of its own with what it needs in .sistercity/peers. A
peer's time runs from its first read to its last cell: its start is apart, its warm-up by the JIT compiler is not. Each
is written as an expert would, and gives its cells, which are compared with what was written. What it leaves out is said
beside its figure.

A peer that can't be installed or fails is named, in words, and the others go on.

    make bench-peers ONLY="flink streams"
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.energy import described, whole
from benchmarks.peers.installs import NotPossible, java_version
from benchmarks.peers.oracle import every_reading
from benchmarks.peers.systems import SYSTEMS, TOPICS, ComparedSystem, TopicRun
from benchmarks.peers.watched import PeerFailed, ServiceProcesses, watch
from benchmarks.readings import SEED, CellAmounts, CellKey, SourceStream, energy, filled
from benchmarks.result import RESULTS, MeasuredRun, MeasuredSystem, Measuring, ResultTable
from benchmarks.timed import bare_poll, own_services
from benchmarks.workers import CLIENTS
from embedded.services import Services
from eventlog.confluent import ConfluentLog
from store.database import connect, create_database

FAMILIES = ("own", "poll", *dict.fromkeys(system.family for system in SYSTEMS))
TITLES = {
    "batches": "Peers: energy, in batches of 500",
    "winners": "Peers: energy, in batches of 500, one winner of readings that were sent twice",
    "singles": "Peers: energy, one reading a message",
}
_LIMIT_S = 240.0
_CELLS = """
CREATE TABLE cells (
  hour_ms bigint, area integer, class text, total bigint, readings bigint, PRIMARY KEY (hour_ms, area, class)
)
"""


@dataclass(slots=True)
class _Runs:
    """The runs of a system so far."""

    verified: str
    leaves_out: str = ""
    version: str = ""
    runs: list[MeasuredRun] = field(default_factory=list)
    start_cpu_s: list[float] = field(default_factory=list)
    services_cpu_s: list[tuple[float, float]] = field(default_factory=list)

    def system(self, name: str, readings: int) -> MeasuredSystem:
        """All of them."""
        stated: dict[str, object] = {"version": self.version} if self.version else {}
        if self.services_cpu_s:
            broker, postgres = (min(each) * 1e9 / readings for each in zip(*self.services_cpu_s, strict=True))
            stated |= {"broker, CPU ns a reading": round(broker, 1), "PostgreSQL, CPU ns": round(postgres, 1)}
        if self.start_cpu_s:
            stated["start, CPU s"] = round(min(self.start_cpu_s), 1)
        return MeasuredSystem(name, readings, self.runs, self.verified, self.leaves_out, stated)


class TopicComparison:
    """One topic, and what went over it."""

    def __init__(self, running: Services, kind: str, stream: SourceStream, installed: Path) -> None:
        self._running, self._kind, self._stream, self._installed = running, kind, stream, installed
        self._services = ServiceProcesses.on(
            int(running.kafka.rpartition(":")[2]), urlsplit(running.database_url).port or 5432
        )
        self._written = filled(ConfluentLog(running.kafka), stream)
        self._every = every_reading(stream)
        self._found: dict[str, _Runs] = {}
        self.missing: dict[str, str] = {}
        self._count = 0

    @property
    def readings(self) -> int:
        return self._written.readings

    def systems(self) -> list[MeasuredSystem]:
        """Everything that has run."""
        return [runs.system(name, self.readings) for name, runs in self._found.items()]

    def poll(self, client: str) -> None:
        """A bare poll by the product's reader."""
        before = self._services.cpu_s()
        spent = bare_poll(
            CLIENTS[client](self._running.kafka), self._name(), self._stream.topic, self._written.messages
        )
        run = MeasuredRun(spent.wall, spent.cpu)
        self._note(f"bare poll, {client}", "the messages were counted", "everything else", run, before)

    def own(self, client: str) -> None:
        """The product, from topic to committed cells."""
        before = self._services.cpu_s()
        run, verified = whole(self._running, self._name(), [(self._stream, self._written)], client)
        self._note(f"sistercity, {client}", verified, "", run, before)

    def peer(self, system: ComparedSystem, folder: Path) -> None:
        """One run of a peer, unless it is known to be impossible; what is wrong is kept in `missing`."""
        if system.name in self.missing:
            return
        name = self._name()
        given = TopicRun(
            self._running.kafka, self._stream.topic, self.readings, name, folder / name, self._database(name)
        )
        given.folder.mkdir()
        try:
            command = system.command(self._installed, given)
            seen = watch(command, self._services, folder / f"{name}.log", _LIMIT_S)
            verified = self._verified(seen.cells, winners=system.winners)
        except (NotPossible, PeerFailed) as error:
            self.missing[system.name] = str(error)
            print(f"{system.name} is left out: {error}", flush=True)
            return
        run = MeasuredRun(seen.wall_s, seen.cpu_s, seen.peak_mb)
        runs = self._note(system.name, verified, system.leaves_out, run)
        runs.version = system.version
        runs.start_cpu_s.append(seen.start_cpu_s)
        runs.services_cpu_s.append((seen.broker_cpu_s, seen.postgres_cpu_s))

    def _verified(self, cells: Mapping[CellKey, CellAmounts], *, winners: bool) -> str:
        wanted = self._written.cells if winners else self._every
        if cells != wanted:
            wrong = [key for key in cells.keys() | wanted.keys() if cells.get(key) != wanted.get(key)]
            raise PeerFailed(f"{len(wrong)} of {len(wanted)} cells are wrong, {wrong[0]} among them")
        which = "as the product's" if winners else "each reading that was sent twice counted twice"
        return f"value and readings of {len(cells):,} cells, {which}"

    def _database(self, name: str) -> str:
        """A new database with a table for cells, for a peer that writes them there."""
        url = create_database(self._running.database_url, name.replace("-", "_"))
        with connect(url) as connection:
            connection.execute(_CELLS)
        return url

    def _name(self) -> str:
        self._count += 1
        return f"{self._kind}-{self._count}"

    def _note(
        self, name: str, verified: str, leaves_out: str, run: MeasuredRun, before: tuple[float, float] | None = None
    ) -> _Runs:
        runs = self._found.setdefault(name, _Runs(verified, leaves_out))
        runs.runs.append(run)
        if before is not None:
            after = self._services.cpu_s()
            runs.services_cpu_s.append((after[0] - before[0], after[1] - before[1]))
        print(f"{self._kind}, {name}: {run.cpu_s * 1e9 / self.readings:,.0f} ns of CPU a reading", flush=True)
        return runs


def ratios(systems: Sequence[MeasuredSystem]) -> ResultTable | None:
    """Readings in a second of processor time, as a multiple of each other system's; None if the product did not run."""
    speed = {system.name: system.figures()["per_cpu_second"] for system in systems}
    own = [f"sistercity, {client}" for client in CLIENTS if f"sistercity, {client}" in speed]
    if not own or len(own) == len(speed):
        return None
    rows = [
        {"beside": name, **{each: f"{speed[each] / of:.2f}" for each in own}}
        for name, of in speed.items()
        if name not in own
    ]
    return ResultTable.of("Readings a CPU-second, as a multiple of the other system's", rows)


def compare(comparison: TopicComparison, kind: str, only: Sequence[str], rounds: int) -> None:
    """Let everything that was chosen go over the topic in turns, a round after the other."""
    with tempfile.TemporaryDirectory(prefix="sistercity-peers-") as folder:
        for number in range(rounds):
            for client in CLIENTS:
                if "poll" in only:
                    comparison.poll(client)
                if "own" in only:
                    comparison.own(client)
            for system in SYSTEMS:
                if system.family in only and kind in system.topics and (number == 0 or kind not in system.slow):
                    comparison.peer(system, Path(folder))


def main() -> None:
    """Measure, and write a result for each topic into `--results`; by default only if every system was chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=FAMILIES, help="the systems")
    parser.add_argument("--topics", nargs="+", choices=TOPICS, default=TOPICS)
    parser.add_argument("--meters", type=int, default=5_000_000, help="of the topic of batches")
    parser.add_argument("--steps", type=int, default=4, help="quarter hours, of both topics of batches")
    parser.add_argument("--fewer-meters", type=int, default=1_000_000, help="of the topic for winners")
    parser.add_argument("--singles", type=int, default=2_000_000, help="readings, each in a message of its own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--results", type=Path, help="a folder")
    chosen = parser.parse_args()
    folder = chosen.results or (RESULTS if set(chosen.only) == set(FAMILIES) else None)
    streams = {
        "batches": replace(energy(chosen.meters, chosen.steps), city="batches"),
        "winners": replace(energy(chosen.fewer_meters, chosen.steps), city="winners"),
        "singles": replace(energy(chosen.singles // 2, 2, rows=1), city="singles"),
    }
    missing: dict[str, str] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # no peer goes on without this process
    for kind in chosen.topics:
        settings = {**described(streams[kind]), "Java": java_version()}
        measuring = Measuring(f"peers-{kind}", TITLES[kind], "reading", settings, SEED)
        with own_services(chosen.installed) as running:
            comparison = TopicComparison(running, kind, streams[kind], chosen.installed)
            compare(comparison, kind, chosen.only, chosen.rounds)
        measuring.systems += comparison.systems()
        table = ratios(measuring.systems)
        measuring.tables += [table] if table else []
        measuring.write(folder and folder / f"peers-{kind}.json")
        missing |= comparison.missing
    if missing:
        sys.exit("not measured: " + "; ".join(missing))


if __name__ == "__main__":
    main()
