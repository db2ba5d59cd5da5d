"""Pathway: sum and number of rows by hour, area and class. Arguments: bootstrap, topic, group.

It reads the topic to its end (mode "static"). A message's rows are added up by numpy before they are grouped.
"""

import sys
from typing import Any

import pathway as pw

from benchmarks.peers.unpack import end, parts, say


def main() -> None:
    bootstrap, topic, group = sys.argv[1:]
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    cells: dict[tuple[int, int, str], tuple[int, int]] = {}

    unpacked = pw.udf(parts, deterministic=True)

    def keep(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if is_addition:
            cells[row["hour"], row["area"], row["class_"]] = (row["total"], row["rows"])

    messages = pw.io.kafka.read(settings, topic=topic, format="raw", mode="static")
    each = messages.select(part=unpacked(pw.this.data)).flatten(pw.this.part)
    columns = each.select(
        hour=pw.this.part[0], area=pw.this.part[1], class_=pw.this.part[2], total=pw.this.part[3], rows=pw.this.part[4]
    )
    summed = columns.groupby(pw.this.hour, pw.this.area, pw.this.class_).reduce(
        pw.this.hour,
        pw.this.area,
        pw.this.class_,
        total=pw.reducers.sum(pw.this.total),
        rows=pw.reducers.sum(pw.this.rows),
    )
    pw.io.subscribe(summed, keep)
    say("begin")
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    end(cells)


if __name__ == "__main__":
    main()
