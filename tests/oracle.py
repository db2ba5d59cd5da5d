"""The rules R1, R4, R6, R7, R8 and R16 once more, row by row and without arrays: what the product is compared with.

Slow, and independent of the code under test but for the catalogue and the committed schemas.
"""

import io
import math
import struct
from collections import defaultdict
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import fastavro
import numpy as np

from schemas.batch import REGION
from schemas.catalogue import Metric
from schemas.registry import schemas
from tests.reference_tracker.passes import TAIL_MS, passes


@dataclass
class Outcome:
    """What the log of a partition must come to.

    `dead` are (offset, reason), `rejected` (offset, row, reason); `estimates` counts the winners that are estimates.
    `late_windows`: (first offset, last offset, readings) of the late ones by (metric, start, end), unless they came
    more than a week after their window had closed. Cells by (metric, start, end, area, class), as dicts of
    `store.processing.Amounts`.
    """

    messages: int = 0
    dead: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[tuple[int, int, str]] = field(default_factory=list)
    readings: int = 0
    late: int = 0
    duplicate: int = 0
    aggregated: int = 0
    estimates: int = 0
    open: int = 0
    late_windows: dict[tuple, tuple[int, int, int]] = field(default_factory=dict)
    cells: dict[tuple, dict] = field(default_factory=dict)

    def __add__(self, other: "Outcome") -> "Outcome":
        """The outcome of two partitions, whose cells have different areas."""
        sums = {
            f.name: getattr(self, f.name) + getattr(other, f.name)
            for f in fields(self)
            if f.name not in ("cells", "late_windows")
        }
        assert not self.cells.keys() & other.cells.keys()
        return Outcome(**sums, cells=self.cells | other.cells)


@lru_cache(maxsize=1 << 16)
def window(zone: str, ms: int, kind: str = "hour") -> tuple[int, int]:
    """Start and end of the window that holds `ms`: the local month or day, or a step from the zone's midnight."""
    place = ZoneInfo(zone)
    local = datetime.fromtimestamp(ms / 1000, place)
    day = date(local.year, local.month, 1 if kind == "month" else local.day)
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1) if kind == "month" else day + timedelta(days=1)
    begin, end = (datetime.combine(midnight, time(), place).astimezone(UTC) for midnight in (day, following))
    if kind in ("day", "month"):
        return round(begin.timestamp() * 1000), round(end.timestamp() * 1000)
    width = {"hour": timedelta(hours=1), "quarter-hour": timedelta(minutes=15)}[kind]
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    while begin + width <= moment:
        begin += width
    return round(begin.timestamp() * 1000), round(min(begin + width, end).timestamp() * 1000)


def outcome(records, metrics: dict[str, Metric], zone: str) -> Outcome:
    """Fold the records of one partition, one row at a time."""
    sent = {name: metric for name, metric in metrics.items() if not metric.derived_from}
    return fold([(record.offset, record.timestamp, _message(record, sent)) for record in records], metrics, zone)


def fold(messages, metrics: dict[str, Metric], zone: str) -> Outcome:
    """Fold (offset, time of appending, message); a message is a dict as `read` gives it, or why it is dead."""
    result = Outcome()
    derived = {metric.derived_from: metric for metric in metrics.values() if metric.derived_from}
    latest: int | None = None
    silence = max(metric.silence_ms for metric in metrics.values())
    feeders: dict[str, tuple[int, int]] = {}
    pictures = []
    pending = defaultdict(list)
    for offset, appended, message in messages:
        result.messages += 1
        if isinstance(message, str):
            result.dead.append((offset, message))
            continue
        seen = [message["start"]] if not message["rows"] else []
        metric = metrics[message["metric"]] if message["rows"] else None
        for index, row in enumerate(message["rows"]):
            result.readings += 1
            reason, start, value = _check(row, message, metric, appended)
            if reason:
                result.rejected.append((offset, index, reason))
                continue
            seen.append(start)
            if message["metric"] in derived:
                pictures.append((latest, row, start, message, offset, index))
            begin, end = window(zone, start, metric.window)
            if latest is not None and end <= latest - metric.lateness_ms:
                result.late += 1
                if end > latest - metric.lateness_ms - 7 * 86_400_000:
                    first, _, count = result.late_windows.get((metric.name, begin, end), (offset, offset, 0))
                    result.late_windows[metric.name, begin, end] = (first, offset, count + 1)
                continue
            cell = (message["metric"], begin, end, message["area"], message["class"])
            pending[cell].append((row, start, value, message["interval"], offset, index))
        if seen:
            latest = event_time(latest, feeders, (message.get("feeder", ""), max(seen), appended), silence)
    for cell, rows in pending.items():
        if latest is not None and cell[2] <= latest - metrics[cell[0]].lateness_ms:
            _reduce(result, cell, rows, metrics[cell[0]])
            if cell[0] in derived:
                _count_passes(result, cell, pictures, metrics[cell[0]], derived[cell[0]])
        else:
            result.open += len(rows)
    return result


def event_time(time: int | None, feeders: dict[str, tuple[int, int]], message, silence: int) -> int:
    """The partition's event time after a message, (feeder, latest event time in it, append time).

    `feeders` has (latest event time, append time of the last message) of those that are not idle, and is changed.
    """
    feeder, latest, appended = message
    now = max([appended, *(last for _, last in feeders.values())])
    for name in [name for name, (_, last) in feeders.items() if now - last > silence]:
        del feeders[name]
    if feeder not in feeders and len(feeders) >= 100:
        feeder = ""
    feeders[feeder] = max([latest, *(of for name, (of, _) in feeders.items() if name == feeder)]), now
    times = [of for of, _ in feeders.values()]
    return max([min(times), max(times) - silence, *([] if time is None else [time])])


@cache
def _parsed(schema_id: int) -> Any:
    schema = schemas().get(schema_id)
    return (
        None if schema is None or schema.dataset == "traffic.frames" else fastavro.parse_schema(dict(schema.definition))
    )


def read(value: bytes | None) -> dict[str, Any] | str:
    """The batch in a message, its start in milliseconds; or the reason why it is dead."""
    if value is None or len(value) < 5:
        return "cut"
    if value[0]:
        return "not-confluent"
    schema = _parsed(struct.unpack(">I", value[1:5])[0])
    if schema is None:
        return "unknown-schema"
    body = io.BytesIO(value[5:])
    try:
        message: Any = fastavro.schemaless_reader(body, schema, None)
    except Exception as error:
        return "cut" if isinstance(error, EOFError | IndexError) else "not-avro"
    if body.read():
        return "trailing"
    return {**message, "start": round(message["start"].timestamp() * 1000)}


def _message(record, metrics):
    message = read(record.value)
    if isinstance(message, str):
        return message
    if not message["rows"]:
        return "future-tick" if message["start"] > record.timestamp + 300_000 else message
    if message["metric"] not in metrics:
        return "unknown-metric"
    if record.key != str(message["area"]).encode():
        return "wrong-key"
    if metrics[message["metric"]].dataset == "traffic.plate-regions":
        if len(message["rows"]) != 1:
            return "not-one-picture"
        found = len(message.get("regions", ())) * metrics[message["metric"]].smallest_per_unit
        if message["rows"][0]["value"] != found:
            return "regions-differ"
    if message["class"] not in metrics[message["metric"]].classes:
        return "unknown-class"
    return message


def _check(row, message, metric, appended):
    after, value = row["after"], row["value"]
    longest = {"quarter-hour": 15, "hour": 60, "day": 25 * 60, "month": (31 * 24 + 1) * 60}[metric.window] * 60_000
    if message["interval"] and metric.reading == "moment":
        return "interval", 0, 0
    if metric.reading == "interval" and not 0 < message["interval"] <= longest:
        return "interval", 0, 0
    if not (math.isfinite(after) and after >= 0 and after == int(after) and after < 2**31):
        return "time", 0, 0
    start = message["start"] + int(after)
    if start + message["interval"] > appended + 300_000:
        return "future", 0, 0
    if not math.isfinite(value):
        return "not-finite", 0, 0
    if value != int(value):
        return "not-whole", 0, 0
    if not metric.minimum <= value <= metric.maximum:
        return "out-of-range", 0, 0
    if row["quality"][0] > 1:
        return "quality", 0, 0
    return None, start, int(value)


def _count_passes(result: Outcome, cell, pictures, metric, derived) -> None:
    """The tracker over the pictures of the cell's cameras in the window, and those before it that came in time."""
    _, begin, end, area, class_ = cell
    winners = {}
    for latest, row, start, message, offset, index in pictures:
        closed = latest is not None and end <= latest - metric.lateness_ms
        if (message["area"], message["class"]) != (area, class_) or closed or not begin - TAIL_MS <= start < end:
            continue
        rank = (row["quality"][0], offset, index)
        key = (row["source"], start)
        if key not in winners or rank > winners[key][0]:
            winners[key] = (rank, row["contributor"], message)
    counts = {"one-line": defaultdict(int), "two-lines": defaultdict(int), "unknown": defaultdict(int)}
    own = []
    offsets = []
    for camera in {source for source, _ in winners}:
        of_camera = sorted((start, *winners[source, start]) for source, start in winners if source == camera)
        if of_camera[-1][0] < begin:
            continue
        starts = np.array([start for start, *_ in of_camera])
        frames = [n for n, (*_, message) in enumerate(of_camera) for _ in message["regions"]]
        boxes = [_box(region) for *_, message in of_camera for region in message["regions"]]
        found = passes(starts, np.array(frames, np.int64), np.array(boxes, REGION), window_start=begin)
        for class_counts in counts.values():
            class_counts[of_camera[-1][2]] += 0
        for form in found.form.tolist():
            counts[{1: "one-line", 2: "two-lines", 0: "unknown"}[form]][of_camera[-1][2]] += 1
        own += [message["interval"] for start, *_, message in of_camera if start >= begin]
        offsets += [rank[1] for _, rank, *_ in of_camera]
    for form, by_contributor in counts.items():
        result.cells[(derived.name, begin, end, area, form)] = {
            "value": sum(by_contributor.values()),
            "readings": len(own),
            "contributors": sum(passed > 0 for passed in by_contributor.values()),
            "largest": max(by_contributor.values()),
            "absolute": sum(by_contributor.values()),
            "covered_ms": sum(own),
            "first_offset": min(offsets),
            "last_offset": max(offsets),
        }


def _box(region):
    numbers = (int.from_bytes(region[name], "little") for name in ("x", "y", "w", "h"))
    return (*numbers, region["score"], region["form"][0])


def contradicting(winners) -> set:
    """The keys, (source, start), of winners that overlap one of their source whose interval has another length."""
    found = set()
    for source, start in winners:
        length = winners[source, start][3]
        for of, other in winners:
            other_length = winners[of, other][3]
            if of == source and length != other_length and start < other + other_length and other < start + length:
                found.add((source, start))
    return found


def _reduce(result: Outcome, cell, rows, metric) -> None:
    winners = {}
    for row, start, value, interval, offset, index in rows:
        key = (row["source"], start)
        rank = (row["quality"][0], offset, index)
        if key not in winners or rank > winners[key][0]:
            winners[key] = (rank, value, row["contributor"], interval, offset)
    result.duplicate += len(rows) - len(winners)
    overlapping = contradicting(winners) if metric.kind == "sum" and metric.reading == "interval" else set()
    result.rejected += [(*winners[key][0][1:], "overlap") for key in overlapping]
    offsets = [offset for *_, offset in winners.values()]
    if winners and len(overlapping) == len(winners):
        nothing = dict.fromkeys(("value", "readings", "contributors", "largest", "absolute", "covered_ms"), 0)
        result.cells[cell] = {**nothing, "first_offset": min(offsets), "last_offset": max(offsets)}
        return
    winners = {key: winner for key, winner in winners.items() if key not in overlapping}
    result.aggregated += len(winners)
    result.estimates += sum(not rank[0] for rank, *_ in winners.values())
    counted = winners
    if metric.kind == "mean-of-last":
        latest = {source: max(start for of, start in winners if of == source) for source, _ in winners}
        counted = {key: winners[key] for key in latest.items()}
    net = defaultdict(int)
    for _, value, contributor, _, _ in counted.values():
        net[contributor] += value
    total = sum(value for _, value, _, _, _ in counted.values())
    sources = {source for source, _ in winners}
    reported = {contributor for _, _, contributor, _, _ in winners.values()}
    if metric.kind == "mean":
        values = [[value for (of, _), (_, value, *_) in winners.items() if of == source] for source in sources]
        of_sources = [Fraction(sum(of_source), len(of_source)) for of_source in values]
        total = round(sum(of_sources) / len(of_sources))
    result.cells[cell] = {
        "value": round(Decimal(total) / len(counted)) if metric.kind == "mean-of-last" else total,
        "readings": len(winners),
        "contributors": len(reported) if metric.kind == "mean-of-last" else sum(amount != 0 for amount in net.values()),
        "largest": max(abs(amount) for amount in net.values()),
        "absolute": sum(abs(amount) for amount in net.values()),
        "covered_ms": len(sources) * (cell[2] - cell[1])
        if metric.reading == "moment"
        else sum(interval for _, _, _, interval, _ in winners.values()),
        "first_offset": min(offset for *_, offset in winners.values()),
        "last_offset": max(offset for *_, offset in winners.values()),
    }
