"""What a trial of a file says of each source, against the standard library over all of its values."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import trying
from ingest.files.trying import Tried, tried
from ingest.live.readings import SentReadings
from schemas.catalogue import catalogue

READINGS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100)), min_size=1, max_size=30)


def trial(metric: str, unit: str, readings: list[tuple[str, int]], step: int) -> Tried:
    lines = [
        {"source": source, "metric": metric, "start": number, "value": value, "unit": unit}
        for number, (source, value) in enumerate(readings)
    ]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trying, "_STEP", step)
        path = Path(folder) / "readings.ndjson"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return tried(SentReadings(catalogue()[metric].dataset), path, 10)


@given(READINGS, st.integers(1, 31))
def test_levels_have_ends_and_a_median_and_amounts_a_sum_whatever_the_steps(readings, step: int) -> None:
    of_source: dict[str, list[int]] = defaultdict(list)
    for source, value in readings:
        of_source[source].append(value)
    levels, amounts = (trial(*of, readings, step).sources for of in (("waste.fill", "%"), ("waste.collected", "kg")))
    for source, values in of_source.items():
        level, amount = levels["waste.fill", source], amounts["waste.collected", source]
        assert (level.least, level.most) == (100 * min(values), 100 * max(values))
        assert level.median == 100 * median(values)
        assert (level.readings, amount.readings) == (len(values), len(values))
        assert amount.total == 1_000 * sum(values)
    assert levels.keys() == {("waste.fill", source) for source in of_source}


def test_where_there_are_too_many_different_levels_the_median_is_left_out_alone(monkeypatch) -> None:
    monkeypatch.setattr(trying, "MOST_VALUES", 3)
    found = trial("waste.fill", "%", [("a", 1), ("a", 2), ("b", 1), ("b", 1), ("a", 3), ("a", 4), ("b", 2)], 2)
    many, few = (found.sources["waste.fill", source] for source in "ab")
    assert (many.least, many.median, many.most, many.readings) == (100, None, 400, 4)
    assert (few.median, few.readings) == (100, 3)
