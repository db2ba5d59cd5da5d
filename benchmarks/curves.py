"""Whether a reading costs the same whatever the number of partitions and of meters: the whole work, by each.

About as many readings at every point: fewer meters report more often. Every point is the product's own Runner, fold and
store in a process of its own, and its result is checked as that of `benchmarks.energy`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.energy import options, whole
from benchmarks.readings import SEED, SourceStream, energy, filled
from benchmarks.result import Curve, MeasuredSystem, Measuring
from benchmarks.timed import own_services
from embedded.services import Services
from eventlog.confluent import ConfluentLog

PARTITIONS = (1, 4, 16, 32)
METERS = (100_000, 300_000, 1_000_000, 2_500_000, 5_000_000)


def curve(
    running: Services, axis: str, points: Sequence[tuple[int, SourceStream]], clients: Sequence[str], rounds: int
) -> tuple[list[MeasuredSystem], Curve]:
    """Go through the points, each with a topic of its own; `axis` names what differs."""
    systems, series = [], {client: list[tuple[float, float]]() for client in clients}
    for value, of_point in points:
        stream = replace(of_point, city=f"{axis}-{value}")
        written = filled(ConfluentLog(running.kafka), stream)
        for client in clients:
            runs = [whole(running, f"{axis}-{value}-{client}-{n}", [(stream, written)], client) for n in range(rounds)]
            name = f"{value:,} {axis}, {client}"
            system = MeasuredSystem(name, written.readings, [run for run, _ in runs], runs[0][1])
            systems.append(system)
            series[client].append((value, system.figures()["cpu_ns"]))
            print(f"{name}: {series[client][-1][1]:g} ns of CPU a reading", flush=True)
    return systems, Curve(f"Cost of a reading by {axis}", axis, "ns of CPU a reading", series)


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = options(__doc__)
    parser.add_argument("--readings", type=int, default=3_000_000, help="about so many at every point")
    parser.set_defaults(clients=["confluent-kafka"])
    chosen = parser.parse_args()
    settings = {"readings": chosen.readings, "rounds": chosen.rounds}
    measuring = Measuring("curves", "Cost by partitions and by meters", "reading", settings, SEED)

    def of(meters: int, partitions: int) -> SourceStream:
        return energy(meters, max(1, chosen.readings // meters), partitions=partitions)

    by_partitions = [(count, of(max(1, chosen.readings // 5), count)) for count in PARTITIONS]
    by_meters = [(count, of(count, chosen.partitions)) for count in METERS]
    with own_services(Path(chosen.installed)) as running:
        for axis, points in (("partitions", by_partitions), ("meters", by_meters)):
            systems, drawn = curve(running, axis, points, chosen.clients, chosen.rounds)
            measuring.systems += systems
            measuring.curves.append(drawn)
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
