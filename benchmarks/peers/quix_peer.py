"""Quix Streams: sum and number of rows by hour, area and class. Arguments: bootstrap, topic, group, folder, readings.

The key of a message is its area, so nothing is grouped anew. A message's rows are added up by numpy before the window
sees them; a window's state, in RocksDB with its changelog, holds both classes of its area.
"""

import sys
from datetime import timedelta
from typing import Any

from quixstreams import Application

from benchmarks.peers.unpack import HOUR_MS, end, parts, say

WindowState = dict[str, list[int]]
LONGER_MS = 3 * HOUR_MS


def plus(amounts: WindowState, part: list[Any]) -> WindowState:
    """A window's amounts with one more part."""
    _, _, class_, total, rows = part
    before = amounts.get(class_, [0, 0])
    amounts[class_] = [before[0] + total, before[1] + rows]
    return amounts


def main() -> None:
    bootstrap, topic, group, folder, readings = sys.argv[1:]
    left = int(readings)
    cells: dict[tuple[int, int, str], tuple[int, int]] = {}
    application = Application(
        broker_address=bootstrap,
        consumer_group=group,
        state_dir=folder,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        loglevel="ERROR",
        consumer_extra_config={"fetch.wait.max.ms": 100},
    )
    stream = application.dataframe(application.topic(topic, key_deserializer="bytes", value_deserializer="bytes"))

    def unpacked(message: bytes) -> list[list[Any]]:
        nonlocal left
        found: list[list[Any]] = [list(part) for part in parts(message)]
        left -= sum(part[4] for part in found)
        if not left:
            application.stop()  # when this message is processed
        return found

    stream = stream.apply(unpacked, expand=True)
    stream = stream.set_timestamp(lambda part, key, timestamp, headers: part[0])

    def keep(window: dict[str, Any], key: bytes, timestamp: int, headers: Any) -> None:
        for class_, (total, rows) in window["value"].items():
            cells[window["start"], int(key), class_] = (total, rows)

    windows = stream.tumbling_window(timedelta(hours=1), grace_ms=timedelta(milliseconds=LONGER_MS))
    windows.reduce(plus, lambda part: plus({}, part)).current().update(keep, metadata=True)
    say("begin")
    application.run()
    end(cells)


if __name__ == "__main__":
    main()
