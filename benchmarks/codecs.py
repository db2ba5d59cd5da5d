"""Uplinks a second through a codec in its sandbox, on one core: from payloads to the codec's fields.

Measured are the processor times of both processes, which take turns: the one that asks, and the codec's. Each result is
compared with what was written into its payload, outside the timed part.
"""

import argparse
import random
import resource
from pathlib import Path

from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring
from benchmarks.timed import now
from ingest.codecs.device import load_device
from ingest.codecs.sandbox import Codec, Payload


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(codec: Codec, uplinks: int, dice: random.Random) -> MeasuredRun:
    """One run. Ends the program if a result is wrong."""
    levels = [dice.randrange(1, 10_000) for _ in range(uplinks)]
    payloads = [
        Payload(b"\x01\x75\x64\x03\x82" + level.to_bytes(2, "little") + b"\x04\x00\x00", 85, 1_790_000_000_000)
        for level in levels
    ]
    codec.close()
    before, began = _children(), now()
    found = codec.decode(payloads)
    spent = now() - began
    codec.close()
    if [uplink.data["distance"] for uplink in found] != levels:
        raise SystemExit("a result is wrong")
    return MeasuredRun(spent.wall, spent.cpu + _children() - before)


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--uplinks", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring("codecs", "Codecs of devices", "uplink", {"uplinks": chosen.uplinks})
    codec, dice = load_device("milesight-udl").codec, random.Random(1)
    runs = [measure(codec, chosen.uplinks, dice) for _ in range(chosen.rounds)]
    verified = "every distance, with the one that was written"
    measuring.systems.append(MeasuredSystem("codec in its sandbox", chosen.uplinks, runs, verified))
    measuring.write(chosen.output, ("quickjs-ng",))


if __name__ == "__main__":
    main()
