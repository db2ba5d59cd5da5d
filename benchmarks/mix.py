"""How many cores keep up with a city of 15 million without detection, stream by stream, and together.

The city: 5 million meters a quarter hour, the plate regions of 10,000 cameras at five pictures a second, 100,000 bins
an hour. What is measured is a 32nd of it, the share of one partition of each topic: its meters for some hours, its
cameras for some minutes, its bins for a day. Each stream is processed alone, from Kafka to committed cells, which gives
the processor time of a reading; then all three by one process, which must take what they took alone.

Checked outside the timed part: every account; every cell of meters and bins; the passes of the cameras of one street
are those that the tests' reference tracker finds there.

It doesn't measure reading sources and resolving them, detection, publishing and serving, nor the headroom that a city
should have.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.energy import options
from benchmarks.passes import RATE, STREETS, TOPIC, before, records, street
from benchmarks.readings import SEED, ZONE, SourceStream, Written, check, close, energy, steps, waste, write
from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, ResultTable
from benchmarks.timed import Spent, now, own_services, polls
from benchmarks.workers import CLIENTS, Work, process
from embedded.services import Services
from eventlog.confluent import ConfluentLog
from eventlog.protocol import Log
from processors.reading_fold import ReadingFoldFactory
from schemas.catalogue import metrics_of
from schemas.topics import REGIONS, dataset_of, settings
from store.accounts import stream_accounts
from store.database import Connection, connect, create_database
from store.migrations import migrate
from store.processing import Position

METERS, CAMERAS, BINS = 5_000_000, 10_000, 100_000
PARTITIONS = 32
AREAS = 3
"""Of a partition."""
RATES: Mapping[str, float] = {"meters": METERS / 900, "cameras": CAMERAS * RATE, "bins": BINS / 3600}
"""StreamShare a second of the whole city; of cameras, pictures."""


@dataclass(frozen=True, slots=True)
class PictureShare:
    """The regions of so many pictures in their topic, and the passes that they hold."""

    pictures: int
    passes: int
    bytes: int
    topic: str = TOPIC

    def check(self, connection: Connection) -> str:
        """What was verified, in words. Ends the program if the account or the passes are wrong."""
        [account] = [found.account for found in stream_accounts(connection) if found.topic == self.topic]
        [(passes,)] = connection.execute(
            "SELECT coalesce(sum(value), 0)::bigint FROM cells WHERE metric = 'traffic.passes'"
        ).fetchall()
        if not account.balanced() or account.open or account.aggregated != self.pictures or passes != self.passes:
            sys.exit(f"the account is wrong: {account}; {passes} passes, not {self.passes}")
        return f"every picture accounted for, {passes:,} passes"


@dataclass(frozen=True, slots=True)
class StreamShare:
    """A stream of readings in its topic."""

    stream: SourceStream
    written: Written

    @property
    def topic(self) -> str:
        return self.stream.topic

    def check(self, connection: Connection) -> str:
        """What was verified, in words. Ends the program if it is wrong."""
        return check(connection, self.stream, self.written)


Share = PictureShare | StreamShare


def sent_pictures(log: Log, cameras: int, seconds: int) -> PictureShare:
    """Send the regions of all cameras' pictures to a topic of one partition."""
    streets = [street(seed, seconds * RATE) for seed in range(STREETS)]
    _, passes = before(streets)
    log.create(TOPIC, 1, settings(REGIONS))
    writer = log.writer()
    [messages] = records(streets, cameras, 1)
    size = 0
    for message in messages:
        writer.send(TOPIC, message.key or b"", message.value or b"", 1)
        size += len(message.value or b"")
    writer.close()
    found = sum(passes[camera % STREETS] for camera in range(cameras))
    return PictureShare(cameras * seconds * RATE, found, size)


def sent_readings(log: Log, stream: SourceStream) -> tuple[StreamShare, Spent]:
    """Send a stream as ingest does; also the time that encoding and sending took, without drawing the readings."""
    written, spent = Written(), Spent()
    log.create(stream.topic, stream.partitions, settings(stream.dataset))
    writer = log.writer()
    for readings in steps(stream, written):
        began = now()
        write(writer, stream, readings, written)
        spent += now() - began
    close(writer, stream, written)
    return StreamShare(stream, written), spent


def once(running: Services, name: str, shares: Sequence[Share], client: str) -> tuple[MeasuredRun, str]:
    """Process these topics together; the run, and what was verified."""
    url = create_database(running.database_url, name.replace("-", "_"))
    migrate(url)
    run = process(Work(running.kafka, client, url, name, [share.topic for share in shares]))
    with connect(url) as connection:
        return run, "; ".join(share.check(connection) for share in shares)


def counted(share: Share) -> int:
    """Its readings, or pictures."""
    return share.pictures if isinstance(share, PictureShare) else share.written.readings


def size_of(share: Share) -> float:
    """Bytes a reading in its messages."""
    return (share.bytes if isinstance(share, PictureShare) else share.written.bytes) / counted(share)


def open_bytes(running: Services, share: Share) -> float:
    """Bytes in memory for each reading whose window is open, as the fold counts them."""
    messages = share.pictures + 1 if isinstance(share, PictureShare) else share.written.messages
    log = ConfluentLog(running.kafka)
    records = [record for _, part in polls(log, f"open-{share.topic}", share.topic, messages) for record in part]
    factory = ReadingFoldFactory({share.topic: metrics_of(dataset_of(share.topic))}, ZONE)
    fold = factory.create(share.topic, Position(), lambda first, until: frozenset(), gap=False)
    fold.feed(records[:-1])  # the last one closes every window
    return fold.held[0] / fold.buffered


def measure(running: Services, shares: Mapping[str, Share], client: str, rounds: int) -> list[MeasuredSystem]:
    """Each stream alone and all together, in turns; the last is all together."""
    whole = list(shares.values())
    plans = {**{name: [share] for name, share in shares.items()}, "together": whole}
    runs: dict[str, list[MeasuredRun]] = {name: [] for name in plans}
    verified = {}
    for number in range(rounds):
        for name, plan in plans.items():
            run, verified[name] = once(running, f"mix-{client}-{name}-{number}", plan, client)
            runs[name].append(run)
            print(f"{name}: {run.cpu_s:.2f} s of CPU", flush=True)
    return [
        MeasuredSystem(f"{name}, {client}", sum(map(counted, plan)), runs[name], verified[name])
        for name, plan in plans.items()
    ]


def cores(
    client: str, shares: Mapping[str, Share], opened: Mapping[str, float], systems: Sequence[MeasuredSystem]
) -> Sequence[ResultTable]:
    """What the whole city takes, stream by stream; and whether together is the sum of each.

    `opened`: bytes in memory for each reading of an open window.
    """
    *alone, together = [statistics.median(run.cpu_s for run in system.runs) for system in systems]
    rows: list[dict[str, object]] = []
    for (name, share), seconds in zip(shares.items(), alone, strict=True):
        each = seconds / counted(share)
        rows.append({
            "stream": name,
            "readings a second": round(RATES[name], 1),
            "bytes a reading": round(size_of(share), 1),
            "bytes of it while open": round(opened[name], 1),
            "CPU us a reading": round(each * 1e6, 3),
            "cores": round(RATES[name] * each, 5),
        })  # fmt: skip
    total = sum(RATES[name] * s / counted(share) for (name, share), s in zip(shares.items(), alone, strict=True))
    rows.append({**dict.fromkeys(rows[0], ""), "stream": "all", "cores": round(total, 5)})
    sums = {
        "alone, s of CPU": round(sum(alone), 2),
        "together, s of CPU": round(together, 2),
        "together / alone": round(together / sum(alone), 3),
    }
    return [
        ResultTable.of(f"Cores that the whole city takes, {client}", rows),
        ResultTable.of(f"All three in one process, {client}", [sums]),
    ]


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = options(__doc__)
    parser.set_defaults(clients=["kafka-python"])
    parser.add_argument("--hours", type=int, default=2, help="of meters")
    parser.add_argument("--seconds", type=int, default=120, help="of cameras")
    chosen = parser.parse_args()
    terms = {"share": f"1/{PARTITIONS}", "hours of meters": chosen.hours, "seconds of cameras": chosen.seconds}
    measuring = Measuring("mix", "The mixed streams of a city of 15 million", "reading", terms, SEED)
    with own_services(chosen.installed) as running:
        log = CLIENTS[chosen.clients[0]](running.kafka)
        meters, of_meters = sent_readings(
            log, energy(METERS // PARTITIONS, 4 * chosen.hours, partitions=1, areas=AREAS)
        )
        bins, of_bins = sent_readings(log, waste(BINS // PARTITIONS, 24, partitions=1, areas=AREAS))
        cameras = sent_pictures(log, CAMERAS // PARTITIONS, chosen.seconds)
        ingest = [
            {"stream": name, "CPU us a reading": round(spent.cpu / counted(share) * 1e6, 3)}
            for name, share, spent in (("meters", meters, of_meters), ("bins", bins, of_bins))
        ]
        measuring.tables.append(ResultTable.of(f"Encoding and sending, {chosen.clients[0]}", ingest))
        shares: Mapping[str, Share] = {"meters": meters, "cameras": cameras, "bins": bins}
        opened = {name: open_bytes(running, share) for name, share in shares.items()}
        for client in chosen.clients:
            systems = measure(running, shares, client, chosen.rounds)
            measuring.systems += systems
            measuring.tables += cores(client, shares, opened, systems)
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
