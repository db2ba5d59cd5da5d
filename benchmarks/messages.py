"""Messages of MQTT a second, one reading in each: from a Mosquitto on loopback to what Kafka has acknowledged.

The messages are published before: the broker keeps them for the session, and `ingest run` takes them when it starts.
Its start is part of its processor time and of the time by the clock. What Kafka acknowledged, as the database says, is
compared with what was published. Needs Debian's mosquitto.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.pushes import BATCH, acknowledged, bodies, node, serving
from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, peak_mb
from benchmarks.timed import own_services
from tests.mosquitto import mosquitto, publishing

LONGEST_S = 120


def publish(port: int, count: int) -> None:
    """Publish one reading in each message, and return when the broker has them."""
    items = (item for body in bodies(-(-count // BATCH)) for item in json.loads(body))
    with publishing(port) as client:
        for begin in range(0, count, 1_000):
            some = [item for _, item in zip(range(min(1_000, count - begin)), items, strict=False)]
            for sent in [client.publish("meters", json.dumps(item), qos=1) for item in some]:
                sent.wait_for_publish(LONGEST_S)


def measure(url: str, environment: Mapping[str, str], folder: Path, source: str, port: int, count: int) -> MeasuredRun:
    """One run. Ends the program if Kafka does not come to have as many readings as were published."""
    publish(port, count)
    before, began = acknowledged(url), time.perf_counter()
    with serving(environment, folder, source) as process:
        while (found := acknowledged(url) - before) < count:
            if time.perf_counter() - began > LONGEST_S:
                sys.exit(f"Kafka has {found} readings of {count}:\n{(folder / 'run.log').read_text()[-1_000:]}")
            time.sleep(0.1)
        wall, cpu = time.perf_counter() - began, sum(psutil.Process(process.pid).cpu_times()[:2])
        memory = peak_mb(process.pid)
    if found != count:
        sys.exit(f"Kafka has {found} readings of {count}")
    return MeasuredRun(wall, cpu, memory)


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring("messages", "Messages of MQTT", "message", {"messages": chosen.messages})
    with (
        own_services(chosen.installed) as running,
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory() as kept,
        mosquitto(Path(kept), lasting=False) as broker,
    ):
        folder = Path(name)
        url, environment = node(running, folder)
        source = f'[[mqtt]]\nname = "bench"\nhost = "127.0.0.1"\nport = {broker.port}\ntopics = ["meters"]\n'
        source += 'readings = "energy.readings"\n'
        with serving(environment, folder, source):  # the session begins
            while "bench: connected" not in (folder / "run.log").read_text():
                time.sleep(0.1)
        runs = [measure(url, environment, folder, source, broker.port, chosen.messages) for _ in range(chosen.rounds)]
    verified = "the readings that Kafka acknowledged, with the messages that were published"
    measuring.systems.append(MeasuredSystem("ingest run", chosen.messages, runs, verified))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
