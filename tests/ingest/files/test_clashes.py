"""Clashes are found by columns; here they are found reading by reading, by the words of the rule."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.files.clashes import Clashes
from ingest.files.reading import Parsed
from ingest.files.source_codes import SourceCodes
from tests.ingest.files.placing import placed

SPAN = 60_000


def stretches(readings: Sequence[Parsed]) -> list[list[Parsed]]:
    """Readings of one source, in the order of time: those that lie over each other together."""
    found: list[list[Parsed]] = []
    for reading in readings:
        last = found[-1] if found else []
        ends = max((other.start_ms + other.interval_ms for other in last), default=0)
        if last and (reading.start_ms < ends or reading.start_ms == last[0].start_ms):
            last.append(reading)
        else:
            found.append([reading])
    return found


def reason(stretch: Sequence[Parsed]) -> str | None:
    if len({(reading.start_ms, reading.interval_ms) for reading in stretch}) > 1:
        return "overlap"
    best = max(reading.quality for reading in stretch)
    values = {reading.value for reading in stretch if reading.quality == best}
    return "contradiction" if len(values) > 1 else None


def too_short(found: Sequence[Sequence[Parsed]]) -> bool:
    firsts = [stretch[0] for stretch in found]
    gaps = [after.start_ms - before.start_ms for before, after in pairwise(firsts)]
    far = [gap for gap, before in zip(gaps, firsts, strict=False) if gap > before.interval_ms]
    most = max((far.count(gap) for gap in far), default=0)
    return len(gaps) >= 3 and most * 2 > len(gaps)


def expected(readings: Sequence[Parsed]) -> dict[int, str]:
    found: dict[int, str] = {}
    for source in {(reading.metric, reading.source) for reading in readings}:
        of_source = stretches([reading for reading in readings if (reading.metric, reading.source) == source])
        spacing = "spacing" if source[0] == "energy.import" and too_short(of_source) else None
        for stretch in of_source:
            why = reason(stretch) or spacing
            found |= {reading.position: why for reading in stretch if why is not None}
    return found


READINGS = st.lists(
    st.tuples(
        st.integers(0, 24), st.sampled_from([0, 1, 2, 4]), st.integers(0, 2), st.integers(0, 1), st.sampled_from("ab")
    ),
    max_size=40,
)


@given(READINGS, st.sampled_from(["energy.import", "waste.collected"]), st.integers(1, 41))
def test_the_readings_that_cannot_all_be_true_are_found_whatever_the_steps(drawn, metric: str, step: int) -> None:
    readings = [
        Parsed(position, source, metric, start * SPAN, length * SPAN, value, quality, b"")
        for position, (start, length, value, quality, source) in enumerate(sorted(drawn, key=lambda item: item[0]))
    ]
    codes = SourceCodes()
    rows = placed(codes, readings)
    clashes = Clashes(codes, (rows[begin : begin + step] for begin in range(0, len(rows), step)))
    assert clashes.reasons(rows) == expected(readings)


@given(READINGS, st.lists(st.integers(0, 2), min_size=40, max_size=40), st.integers(1, 41))
def test_by_file_those_of_each_file_are_found_as_if_it_were_alone(drawn, files: list[int], step: int) -> None:
    readings = [
        Parsed(position, source, "energy.import", start * SPAN, length * SPAN, value, quality, b"")
        for position, (start, length, value, quality, source) in enumerate(sorted(drawn, key=lambda item: item[0]))
    ]
    codes = SourceCodes()
    rows = placed(codes, readings)
    rows["file"] = files[: len(rows)]
    clashes = Clashes(codes, (rows[begin : begin + step] for begin in range(0, len(rows), step)), by_file=True)
    alone = [expected([r for r, of in zip(readings, files, strict=False) if of == file]) for file in range(3)]
    wanted = {row: why for found in alone for row, why in found.items() if why != "spacing"}
    assert {row: why for row, why in clashes.reasons(rows).items() if why != "spacing"} == wanted
