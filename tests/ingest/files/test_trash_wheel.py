import csv
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from ingest.tables.numbers import AmountsOf
from ingest.tables.profile import Shape, ValuePart
from ingest.tables.units import scale
from schemas.catalogue import catalogue
from tests.ingest.files.imports import ABSENT, DATA, outcomes, parsed, reasons
from tests.ingest.files.profiled import trash_wheel

REAL = DATA / "waste/trashwheel.csv"
WEIGHED = catalogue()["waste.collected"]
BALTIMORE = ZoneInfo("America/New_York")
HEADER = b"ID,Name,Dumpster,Month,Year,Date,Weight,Volume\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(*lines: bytes, header: bytes = HEADER) -> Path:
        path = tmp_path / "wheel.csv"
        path.write_bytes(header + b"\n".join(lines))
        return path

    return write


@pytest.mark.skipif(not REAL.exists(), reason=ABSENT)
def test_the_published_file_agrees_with_csv_but_for_contradictions() -> None:
    with REAL.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    wanted, contradictions = [], []
    for number, row in enumerate(rows, 2):
        written = "%m/%d/%Y" if len(row["Date"].split("/")[2]) == 4 else "%m/%d/%y"
        day = datetime.strptime(row["Date"], written)
        if (day.strftime("%B").lower(), str(day.year)) != (row["Month"].lower(), row["Year"]):
            contradictions.append(number)
            continue
        start = round(day.replace(tzinfo=BALTIMORE).timestamp()) * 1000 + int(row["Dumpster"])
        wanted.append((row["ID"], start, 0, round(Fraction(row["Weight"]) * Fraction("907184.74")), 1))
    form = trash_wheel(BALTIMORE)
    found = [
        (reading.source, reading.start_ms, reading.interval_ms, reading.value, reading.quality)
        for reading in parsed(form, REAL)
    ]
    assert found == wanted
    assert reasons(form, REAL) == dict.fromkeys(contradictions, "contradiction")
    assert (len(wanted), len(contradictions)) == (989, 4)
    assert len({(source, start) for source, start, *_ in found}) == len(found)


def test_tons_are_short_or_metric_by_choice(file) -> None:
    path = file(b"w,W,1,May,2014,5/16/2014,4.31,18")
    assert [reading.value for reading in parsed(trash_wheel(BALTIMORE), path)] == [3_909_966]
    assert [reading.value for reading in parsed(trash_wheel(BALTIMORE, "t"), path)] == [4_310_000]


@given(st.decimals(0, 1_000_000, places=9))
def test_a_weight_is_rounded_to_the_nearest_gram_halves_to_the_even_one(tons) -> None:
    exact = Fraction(tons) * 1_000_000
    tonnes, short = (AmountsOf(Shape(), ValuePart(), scale(WEIGHED, unit, 0)).texts for unit in ("t", "short ton"))
    found = tonnes[f"{tons:f}"]
    assert abs(found - exact) < Fraction(1, 2) or (abs(found - exact) == Fraction(1, 2) and found % 2 == 0)
    assert tonnes["0.0000005"] == 0
    assert tonnes["0.0000015"] == 2
    assert short["2"] == 1_814_369


def test_dumpsters_of_one_day_are_distinct_weighings_from_its_first_moment_on(file) -> None:
    path = file(b"w,W,7,June,2021,6/1/21,1,18", b"w,W,8,june,2021,06/01/2021,1,18")
    begins = round(datetime(2021, 6, 1, 4, tzinfo=UTC).timestamp()) * 1000
    assert [reading.start_ms - begins for reading in parsed(trash_wheel(BALTIMORE), path)] == [7, 8]
    # Tehran's clocks went from 0 to 1 o'clock on 22 March 2021: the day began at 20:30 UTC all the same.
    skipped = file(b"w,W,0,March,2021,3/22/21,1,18")
    [reading] = parsed(trash_wheel(ZoneInfo("Asia/Tehran")), skipped)
    assert reading.start_ms == round(datetime(2021, 3, 21, 20, 30, tzinfo=UTC).timestamp()) * 1000


def test_every_line_has_an_outcome(file) -> None:
    lines = {
        b"w,W,1,May,2014,5/16/2014,4.31,18": None,
        b"w,W,1,May,2014,5/16/2014,NA,18": "missing",
        b"w,W,1,May,2014,5/16/2014,,18": "missing",
        b"w,W,1,May,2014,5/16/2014,-1,18": "number",
        b"w,W,1,May,2014,5/16/2014,1/2,18": "number",
        b"w,W,1,May,2014,5/16/2014,1e3,18": "number",
        b"w,W,1,May,2014,16/5/2014,4.31,18": "time",
        b"w,W,1,May,2014,5/16/214,4.31,18": "time",
        b"w,W,1,May,2014,2014-05-16,4.31,18": "time",
        b"w,W,1,May,1914,5/16/1914,4.31,18": "time",
        b"w,W,1,Mai,2014,5/16/2014,4.31,18": "unreadable",
        b"w,W,1,May,,5/16/2014,4.31,18": "unreadable",
        b"w,W,1st,May,2014,5/16/2014,4.31,18": "unreadable",
        b",W,1,May,2014,5/16/2014,4.31,18": "unreadable",
        b"w,W,1,June,2014,5/16/2014,4.31,18": "contradiction",
        b"w,W,1,May,2015,5/16/2014,4.31,18": "contradiction",
        b"w,W,1,May,2014,5/16/2014,4.31": "unreadable",
        b"w,W,1,May,2014,5/16/2014,\xff,18": "unreadable",
        b"": "unreadable",
        b"w,W,1,May,2014,5/16/2014,4.31\0,18": "number",
        b"w" * 10_000: "unreadable",
        b"w,W,1,May,2014,5/16/2014,4.3": "unreadable",
    }
    path = file(*lines)
    wanted = {number: reason for number, reason in enumerate(lines.values(), 2) if reason is not None}
    assert reasons(trash_wheel(BALTIMORE), path) == wanted
    assert len(outcomes(trash_wheel(BALTIMORE), path)) == len(lines)


def test_a_file_of_something_else_is_refused(file) -> None:
    with pytest.raises(NotSuchFile, match="Dumpster"):
        outcomes(trash_wheel(BALTIMORE), file(header=b"ID,Month,Year,Date,Weight\n"))
