"""Readings a second of one process that reads tables by their profiles, beside a bare parse of the same files.

Two files. Many meters with the same times, in local time and with decimal commas. And one plant by the minute, where
each time and number stands there once, whose interval is the spacing of its times, so that the file is read twice. What
is timed is from bytes to columns of source, time and exact amount: no register, no Kafka. Beside it in the same run:
`csv.reader` over the same lines, which only splits them.

The sum of all amounts is compared with that of the numbers that were written, outside the timed part.
"""

import argparse
import csv
import random
import resource
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.result import Measuring, ResultTable
from benchmarks.timed import now
from ingest.files.reading import Note
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile, parse_profile
from ingest.tables.table import Table

METERS = """
title = "Quarter hours of many meters"
metric = "energy.import"
[file]
delimiter = ";"
decimal = ","
[source]
text = "{meter}"
[time]
columns = "time"
formats = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
repeated = "order"
[value]
column = "kwh"
unit = "kWh"
[interval]
seconds = 900
"""
_WATT_HOUR = 3_600_000


def write_meters(path: Path, readings: int, dice: random.Random) -> int:
    """A file of quarter hours; the sum of its amounts in mJ."""
    meters, total, begin = 4_000, 0, datetime(2026, 6, 1)
    with path.open("w") as file:
        file.write("meter;time;kwh\n")
        for number in range(readings):
            watt_hours = dice.randrange(2_000)
            total += watt_hours * _WATT_HOUR
            time = begin + timedelta(minutes=15 * (number // meters))
            amount = f"{watt_hours // 1_000},{watt_hours % 1_000:03}"
            file.write(f"M{number % meters:06};{time:%d.%m.%Y %H:%M};{amount}\n")
    return total


def write_plant(path: Path, readings: int, dice: random.Random) -> int:
    """A file of minutes; the sum of its amounts in mJ."""
    total, begin = 0, datetime(2016, 1, 1)
    with path.open("w") as file:
        file.write("measured_on,ac_power\n")
        for number in range(readings):
            tenths = dice.randrange(1_000_000)
            total += tenths * 60 * 1_000 // 10
            file.write(f"{begin + timedelta(minutes=number)}-07:00,{tenths // 10}.{tenths % 10}\n")
    return total


def read_whole(table: Table, path: Path, wanted: int) -> int:
    """Read the file; how many readings it has. Ends the program if the sum is wrong."""
    readings = total = 0
    for piece in table.pieces(path):
        if not isinstance(piece, Note):
            for part in piece.readings:
                readings += len(part)
                total += int(part.value.sum())
    if total != wanted:
        sys.exit(f"the sum is {total}, but {wanted} was written")
    return readings


def measure(table: Table, path: Path, delimiter: str, wanted: int) -> Mapping[str, object]:
    """Read the file and parse it barely; ends the program if the sum is wrong."""
    began = now()
    readings = read_whole(table, path, wanted)
    spent = now() - began
    began = now()
    with path.open(newline="") as file:
        for _ in csv.reader(file, delimiter=delimiter):
            pass
    bare = now() - began
    return {
        "readings": readings,
        "per_cpu_second": round(readings / spent.cpu),
        "wall_s": round(spent.wall, 2),
        "bare_csv_per_cpu_second": round(readings / bare.cpu),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--readings", type=int, default=1_000_000)
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring("tables", "Tables by profiles", "reading", {"readings": chosen.readings})
    zone, dice = ZoneInfo("UTC"), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        wanted = write_meters(path, chosen.readings, dice)
        meters = measure(Table(parse_profile(METERS, "meters", "meters"), Said(), zone), path, ";", wanted)
        print(f"meters {meters}", flush=True)
        wanted = write_plant(path, chosen.readings, dice)
        plant = measure(Table(load_profile("solar"), Said(unit="W"), zone), path, ",", wanted)
        print(f"plant {plant}", flush=True)
    rows = [{"file": name, **row} for name, row in (("many meters", meters), ("one plant", plant))]
    measuring.tables.append(ResultTable.of("From bytes to columns", rows))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
