"""Logs for property tests: few sources, areas and hours, so that duplicates, late rows and repeats are common."""

from functools import cache

import numpy as np
from hypothesis import strategies as st

from eventlog.memory import MemoryRecord
from schemas.batch import REGION, ROW, encode
from schemas.catalogue import catalogue, metrics_of
from schemas.registry import schema_named
from schemas.topics import REGIONS

T0 = 1_790_000_000_000 - 1_790_000_000_000 % 3_600_000
MINUTE = 60_000
STEPS = {
    "energy.readings": 15 * MINUTE,
    "waste.fill-levels": 15 * MINUTE,
    "waste.collections": 12 * 60 * MINUTE,
    "traffic.plate-regions": 5 * MINUTE,
}
"""Dataset -> milliseconds between times that are drawn, so that a few dozen of them reach over several windows."""

INTERVALS = {"interval": (1, 1, 1, 4, 63, 0), "moment": (0, 0, 0, 0, 0, 1)}
"""How long readings are, in steps, some of them wrong."""


FEEDERS = (None, None, "", "north", "north", "south")
"""Who sends a message; None is a writer of the first version of the schema, which has no feeder."""


def rows_of(readings) -> np.ndarray:
    """An array of `ROW` from tuples of its fields."""
    return np.array(readings, ROW)


values = st.one_of(
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.integers(-3, 10**12),
    st.sampled_from([float("nan"), float("inf"), 0.5, 1e18, -0.0]),
)


QUALITIES = (0, 1, 1, 1, 2)


@cache
def readings(step):
    """One row; `step` is milliseconds.

    Made once, and of few choices: to examine a new strategy, and to draw one field after the other, takes more time
    than what is tested.
    """
    times = [float(number * step) for number in range(17)]
    afters = st.sampled_from(times * 8 + [-1.0, 0.5, float("nan"), 1e12] * 17)
    return st.tuples(st.integers(0, 7 * 5 * len(QUALITIES) - 1), afters, values).map(_row)


def _row(drawn):
    number, after, value = drawn
    return number % 7, number // 7 % 5, after, value, QUALITIES[number // 35]


@cache
def some_readings(step):
    """The rows of a message."""
    return st.lists(readings(step), max_size=12)


VEHICLES = [(-1_400, 100, 60, 16, 1), (-600, 300, 36, 28, 2), (200, 500, 60, 16, 0)]
"""When a vehicle comes into view, by the nearest window's edge; where across; its plate's size and form."""


def view(after_edge: int) -> np.ndarray:
    """What a camera sees so many milliseconds after a window's edge: each vehicle for two seconds, on its way down."""
    seen = [(x, 100 + (after_edge - since) // 20, w, h, 0.9, form) for since, x, w, h, form in VEHICLES
            if since <= after_edge < since + 2_000]  # fmt: skip
    return np.array(seen, REGION)


@cache
@st.composite
def pictures(draw, metric):
    """When a picture was taken, its row and its regions: close to a window's edge, the value mostly their number."""
    start, taken = T0 + draw(st.integers(0, 2)) * 15 * MINUTE - 1_600, draw(st.integers(0, 12)) * 200
    regions = view(taken - 1_600)
    value = draw(st.sampled_from((len(regions) * metric.smallest_per_unit,) * 14 + (7,)))
    after = draw(st.sampled_from((float(taken),) * 14 + (-1.0,)))
    row = (
        draw(st.sampled_from((0, 0, 0, 1))),
        draw(st.integers(0, 1)),
        after,
        value,
        draw(st.sampled_from((0, 1, 1, 1))),
    )
    return start, [row] * draw(st.sampled_from((1,) * 14 + (2,))), regions


@cache
@st.composite
def messages(draw, dataset, feeders=FEEDERS):
    """Key, value and append time of one message: mostly a batch, sometimes a tick, sometimes broken."""
    step = STEPS[dataset]
    area = draw(st.sampled_from((1, 2, 3) if dataset != REGIONS else (1, 1, 1, 2)))
    start = T0 + draw(st.integers(0, 30)) * step
    metric = draw(st.sampled_from(metrics_of(dataset)))
    rows, regions = draw(some_readings(step)), None
    if dataset == REGIONS:
        regions = np.empty(0, REGION)
        if draw(st.integers(0, 14)):
            metric = draw(st.sampled_from((*[catalogue()["traffic.regions"]] * 8, metric)))
            start, rows, regions = draw(pictures(metric))
    feeder = draw(st.sampled_from(feeders))
    body = encode(
        schema_named(f"{dataset}.v{1 if feeder is None else 2}").id,
        metric=draw(st.sampled_from((*[metric.name] * 4, "waste.unknown"))),
        area=area,
        class_=draw(st.sampled_from((*metric.classes[:2], metric.classes[0], "rural"))),
        interval=draw(st.sampled_from(INTERVALS[metric.reading])) * step,
        start=start,
        rows=rows_of(rows),
        regions=regions,
        feeder=feeder,
    )
    kind = draw(st.integers(0, 19))
    if kind == 0:
        body = body[: draw(st.integers(0, len(body) - 1))]
    elif kind == 1:
        body += draw(st.binary(min_size=1, max_size=3))
    elif kind == 2:
        body = draw(st.binary(max_size=30))
    elif kind == 3:
        body = b"\x00\x00\x00\x00\x63" + body[5:]
    key = str(area if kind != 4 else area + 1).encode()
    appended = start + draw(st.sampled_from((20, 20, 12, 4))) * step
    return key, body, appended


@cache
def some_messages(dataset, feeders, least, most):
    """The messages of a log."""
    return st.lists(messages(dataset, feeders), min_size=least, max_size=most)


@cache
@st.composite
def logs(draw, dataset, least=0, most=40):
    """Records of one partition, offsets with holes as markers of transactions leave them.

    The log's clock goes back now and then, as with a change of leader, or never. In between it goes on by hours, so
    that feeders become idle.
    """
    offset, records, steady, latest = draw(st.integers(0, 3)), [], draw(st.booleans()), 0
    feeders = draw(st.sampled_from((FEEDERS, FEEDERS, FEEDERS[:1], ("north", "south"))))
    for key, body, appended in draw(some_messages(dataset, feeders, least, most)):
        latest = max(latest, appended)
        records.append(MemoryRecord(offset, latest if steady else appended, key, body))
        offset += draw(st.sampled_from((1, 1, 1, 2)))
    return records


@cache
@st.composite
def splits(draw, length):
    """Cut points of a list: where polls end."""
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    return list(zip([0, *cuts], [*cuts, length], strict=True))
