import csv
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.files.reading import Empty, NotSuchFile
from tests.ingest.files.imports import ABSENT, DATA, outcomes, parsed, reasons
from tests.ingest.files.independent import DSNY_COLUMNS
from tests.ingest.files.profiled import dsny

REAL = DATA / "waste/nyc_dsny_monthly_2021_2022.csv"
NEW_YORK = ZoneInfo("America/New_York")
HEADER = b"MONTH,BOROUGH,COMMUNITYDISTRICT," + ",".join(DSNY_COLUMNS[:7]).encode() + b",BOROUGH_ID\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(*lines: bytes, header: bytes = HEADER) -> Path:
        path = tmp_path / "dsny.csv"
        path.write_bytes(header + b"\n".join(lines))
        return path

    return write


def empty(path: Path) -> int:
    return sum(
        isinstance(outcome, Empty) and outcome.reason == "not-collected" for outcome in outcomes(dsny(NEW_YORK), path)
    )


@pytest.mark.skipif(not REAL.exists(), reason=ABSENT)
def test_the_published_file_agrees_with_csv_and_uncollected_streams_are_counted() -> None:
    names = ["REFUSE", "PAPER", "MGP", "RESORGANICS", "SCHOOLORGANIC", "LEAVESORGANIC", "XMASTREE"]
    wanted, blank = [], 0
    with REAL.open(newline="") as lines:
        for month, borough, district, *rest in list(csv.reader(lines))[1:]:
            year, number = int(month[:4]), int(month[-2:])
            begin = datetime(year, number, 1, tzinfo=NEW_YORK).timestamp()
            end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=NEW_YORK).timestamp()
            for name, tons in zip(names, rest[:7], strict=True):
                blank += tons == ""
                if tons:
                    value = round(Fraction(tons) * Fraction("907184.74"))
                    wanted.append((f"{borough} {district}/{name}", begin * 1000, (end - begin) * 1000, value))
    form = dsny(NEW_YORK)
    assert [
        (reading.source, reading.start_ms, reading.interval_ms, reading.value) for reading in parsed(form, REAL)
    ] == wanted
    assert reasons(form, REAL) == {}
    assert empty(REAL) == blank == 4_728
    assert len(wanted) == 4_379


def test_a_month_is_the_local_one_however_long_it_is(file) -> None:
    path = file(*(b"2021 / %02d,Queens,08,1,,,,,,,4" % month for month in (2, 3, 4, 11, 12)))
    hours = [reading.interval_ms / 3_600_000 for reading in parsed(dsny(NEW_YORK), path)]
    assert hours == [28 * 24, 31 * 24 - 1, 30 * 24, 30 * 24 + 1, 31 * 24]


def test_every_field_has_an_outcome_at_a_distinct_position(file) -> None:
    path = file(
        b"2021 / 01,Queens,08,1.5,x,-2,,,0,\xff,4",
        b"2021 / 01,Queens,08,1.5,x,-2,,0, ,3,4",
        b"2021 / 13,Queens,08,1,1,1,1,1,1,1,4",
        b"01 / 2021,Queens,08,1,1,1,1,1,1,1,4",
        b"2021 / 01,,08,1,1,1,1,1,1,1,4",
        b"2021 / 01,Queens, ,1,1,1,1,1,1,1,4",
        b"1950 / 01,Queens,08,1,1,1,1,1,1,1,4",
        b"9999 / 12,Queens,08,1,1,1,1,1,1,1,4",
        b"2021 / 01,Queens,08,1,1,1",
        b"",
        b"2021/02,Staten Island,01,2,,,,,,,5",
    )
    form = dsny(NEW_YORK, "t")
    assert [(reading.position, reading.source, reading.value) for reading in parsed(form, path)] == [
        (31, "Queens 08/REFUSE", 1_500_000),
        (35, "Queens 08/SCHOOLORGANIC", 0),
        (37, "Queens 08/XMASTREE", 3_000_000),
        (121, "Staten Island 01/REFUSE", 2_000_000),
    ]
    times = dict.fromkeys([40, 50, 80, 90], "time")
    whole_lines = dict.fromkeys([20, 60, 70, 100, 110], "unreadable")
    assert reasons(form, path) == {32: "number", 33: "number"} | times | whole_lines
    assert empty(path) == 2 + 6


def test_a_file_of_something_else_is_refused(file) -> None:
    with pytest.raises(NotSuchFile, match="XMASTREETONS"):
        outcomes(dsny(NEW_YORK), file(header=HEADER.replace(b"XMASTREETONS", b"TREES")))
