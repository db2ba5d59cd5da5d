"""Logs for property tests: few sources, areas and hours, so that duplicates, late rows and repeats are common."""

import numpy as np
from hypothesis import strategies as st

from eventlog.memory import MemoryRecord
from schemas.batch import REGION, ROW, encode
from schemas.catalogue import metrics_of
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


def rows_of(readings) -> np.ndarray:
    """An array of `ROW` from tuples of its fields."""
    return np.array(readings, ROW)


values = st.one_of(
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.integers(-3, 10**12),
    st.sampled_from([float("nan"), float("inf"), 0.5, 1e18, -0.0]),
)


def readings(step):
    """One row; `step` is milliseconds."""
    afters = st.one_of(
        st.integers(0, 16).map(lambda n: n * step),
        st.integers(0, 16).map(lambda n: n * step),
        st.sampled_from([-1.0, 0.5, float("nan"), 1e12]),
    )
    return st.tuples(st.integers(0, 6), st.integers(0, 4), afters, values, st.sampled_from([0, 1, 1, 1, 2]))


@st.composite
def regions(draw):
    """Any regions at all: nothing that is reduced today hangs on them."""
    return np.frombuffer(draw(st.binary(max_size=40)).ljust(52, b"\1")[: 13 * draw(st.integers(0, 4))], REGION)


@st.composite
def messages(draw, dataset):
    """Key, value and append time of one message: mostly a batch, sometimes a tick, sometimes broken."""
    step = STEPS[dataset]
    area = draw(st.integers(1, 3))
    start = T0 + draw(st.integers(0, 30)) * step
    metric = draw(st.sampled_from(metrics_of(dataset)))
    body = encode(
        schema_named(f"{dataset}.v1").id,
        metric=draw(st.sampled_from((*[metric.name] * 4, "waste.unknown"))),
        area=area,
        class_=draw(st.sampled_from((*metric.classes[:2], metric.classes[0], "rural"))),
        interval=draw(st.sampled_from(INTERVALS[metric.reading])) * step,
        start=start,
        rows=rows_of(draw(st.lists(readings(step), max_size=12))),
        regions=draw(regions()) if dataset == REGIONS else None,
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


@st.composite
def logs(draw, dataset, most=40):
    """Records of one partition, offsets with holes as transactions leave them."""
    offset, records = draw(st.integers(0, 3)), []
    for key, body, appended in draw(st.lists(messages(dataset), max_size=most)):
        records.append(MemoryRecord(offset, appended, key, body))
        offset += draw(st.sampled_from((1, 1, 1, 2)))
    return records


@st.composite
def splits(draw, length):
    """Cut points of a list: where polls end."""
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    return list(zip([0, *cuts], [*cuts, length], strict=True))
