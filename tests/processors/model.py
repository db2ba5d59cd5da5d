"""The rules R1, R4, R6, R7 and R8 once more, row by row and without arrays: what the fold is compared with."""

import io
import math
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import fastavro
import numpy as np

from processors.tracking.passes import TAIL_MS, passes
from schemas.batch import REGION
from schemas.catalogue import Metric
from schemas.registry import schemas


@dataclass
class Outcome:
    """What a log must come to."""

    messages: int = 0
    dead: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[tuple[int, int, str]] = field(default_factory=list)
    readings: int = 0
    late: int = 0
    duplicate: int = 0
    aggregated: int = 0
    open: int = 0
    cells: dict[tuple, dict] = field(default_factory=dict)


def window(zone: str, ms: int, kind: str = "hour") -> tuple[int, int]:
    """The window that holds `ms` in the zone: the local month or day, or what stepping from local midnight finds."""
    place = ZoneInfo(zone)
    local = datetime.fromtimestamp(ms / 1000, place)
    day = date(local.year, local.month, 1 if kind == "month" else local.day)
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1) if kind == "month" else day + timedelta(days=1)
    begin, end = (datetime.combine(one, time(), place).astimezone(UTC) for one in (day, following))
    if kind in ("day", "month"):
        return round(begin.timestamp() * 1000), round(end.timestamp() * 1000)
    width = {"hour": timedelta(hours=1), "quarter-hour": timedelta(minutes=15)}[kind]
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    while begin + width <= moment:
        begin += width
    return round(begin.timestamp() * 1000), round(min(begin + width, end).timestamp() * 1000)


def outcome(records, metrics: dict[str, Metric], zone: str) -> Outcome:
    """Fold records one row at a time."""
    result = Outcome()
    derived = {one.derived_from: one for one in metrics.values() if one.derived_from}
    metrics = {name: one for name, one in metrics.items() if not one.derived_from}
    latest = None
    pictures = []
    pending = defaultdict(list)
    for record in records:
        result.messages += 1
        message = _decode(record, metrics)
        if isinstance(message, str):
            result.dead.append((record.offset, message))
            continue
        seen = [message["start"]] if not message["rows"] else []
        for index, row in enumerate(message["rows"]):
            result.readings += 1
            reason, start, value = _check(row, message, metrics[message["metric"]], record.timestamp)
            if reason:
                result.rejected.append((record.offset, index, reason))
                continue
            seen.append(start)
            if message["metric"] in derived:
                pictures.append((latest, row, start, message, record.offset, index))
            begin, end = window(zone, start, metrics[message["metric"]].window)
            if latest is not None and end <= latest - metrics[message["metric"]].lateness_ms:
                result.late += 1
                continue
            cell = (message["metric"], begin, end, message["area"], message["class"])
            pending[cell].append((row, start, value, message["interval"], record.offset, index))
        if seen:
            latest = max(seen) if latest is None else max(latest, *seen)
    for cell, rows in pending.items():
        if latest is not None and cell[2] <= latest - metrics[cell[0]].lateness_ms:
            _reduce(result, cell, rows, metrics[cell[0]])
            if cell[0] in derived:
                _count_passes(result, cell, pictures, metrics[cell[0]], derived[cell[0]])
        else:
            result.open += len(rows)
    return result


def _decode(record, metrics):
    value = record.value
    if value is None or len(value) < 5:
        return "cut"
    if value[0]:
        return "not-confluent"
    schema = schemas().get(struct.unpack(">I", value[1:5])[0])
    if schema is None or schema.name == "traffic.frames.v1":
        return "unknown-schema"
    body = io.BytesIO(value[5:])
    try:
        message: Any = fastavro.schemaless_reader(body, fastavro.parse_schema(dict(schema.definition)))
    except Exception as error:
        return "cut" if isinstance(error, EOFError | IndexError) else "not-avro"
    if body.read():
        return "trailing"
    message["start"] = round(message["start"].timestamp() * 1000)
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
        boxes = [_box(one) for *_, message in of_camera for one in message["regions"]]
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
            "contributors": len(by_contributor),
            "largest": max(by_contributor.values()),
            "absolute": sum(by_contributor.values()),
            "covered_ms": sum(own),
            "first_offset": min(offsets),
            "last_offset": max(offsets),
        }


def _box(one):
    numbers = (int.from_bytes(one[name], "little") for name in ("x", "y", "w", "h"))
    return (*numbers, one["score"], one["form"][0])


def _reduce(result: Outcome, cell, rows, metric) -> None:
    winners = {}
    for row, start, value, interval, offset, index in rows:
        key = (row["source"], start)
        rank = (row["quality"][0], offset, index)
        if key not in winners or rank > winners[key][0]:
            winners[key] = (rank, value, row["contributor"], interval, offset)
    result.duplicate += len(rows) - len(winners)
    result.aggregated += len(winners)
    counted = winners
    if metric.kind == "mean-of-last":
        latest = {source: max(start for of, start in winners if of == source) for source, _ in winners}
        counted = {key: winners[key] for key in latest.items()}
    net = defaultdict(int)
    for _, value, contributor, _, _ in counted.values():
        net[contributor] += value
    total = sum(value for _, value, _, _, _ in counted.values())
    sources = {source for source, _ in winners}
    if metric.kind == "mean":
        values = {one: [value for (of, _), (_, value, *_) in winners.items() if of == one] for one in sources}
        of_sources = [Fraction(sum(these), len(these)) for these in values.values()]
        total = round(sum(of_sources) / len(of_sources))
    result.cells[cell] = {
        "value": round(Decimal(total) / len(counted)) if metric.kind == "mean-of-last" else total,
        "readings": len(winners),
        "contributors": len({contributor for _, _, contributor, _, _ in winners.values()}),
        "largest": max(abs(amount) for amount in net.values()),
        "absolute": sum(abs(amount) for amount in net.values()),
        "covered_ms": len(sources) * (cell[2] - cell[1])
        if metric.reading == "moment"
        else sum(interval for _, _, _, interval, _ in winners.values()),
        "first_offset": min(offset for *_, offset in winners.values()),
        "last_offset": max(offset for *_, offset in winners.values()),
    }
