import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from ingest.tables.table import Table
from tests.ingest.files.imports import ABSENT, DATA, notes, outcomes, parsed, peak_bytes, reasons
from tests.ingest.files.profiled import solar

REAL = DATA / "energy/serf_east_15min_ac_power.csv"
HEADER = b"measured_on,ac_power\n"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path):
    def write(*lines: bytes, header: bytes = HEADER) -> Path:
        path = tmp_path / "solar.csv"
        path.write_bytes(header + b"".join(lines))
        return path

    return write


@pytest.mark.skipif(not REAL.exists(), reason=ABSENT)
def test_the_published_file_agrees_with_csv_and_decimal() -> None:
    with REAL.open(newline="") as lines:
        rows = [row for row in csv.reader(lines) if row][1:]
    wanted = []
    for when, watts in rows:
        start = (datetime.strptime(when, "%Y-%m-%d %H:%M:%S%z") - EPOCH) // timedelta(milliseconds=1)
        wanted.append((start, 900_000, int(Decimal(watts) * 900 * 1000), 1))
    found = parsed(solar("W"), REAL)
    assert [(reading.start_ms, reading.interval_ms, reading.value, reading.quality) for reading in found] == wanted
    assert len(outcomes(solar("W"), REAL)) == len(wanted) == 10_000
    assert min(reading.value for reading in found) < 0


def test_every_line_has_an_outcome_and_empty_lines_are_none(file) -> None:
    path = file(
        b"2016-07-01 00:00:00-07:00,-2.8601\n",
        b"\n",
        b"2016-07-01T07:15:00Z,1e-05\r\n",
        b"2016-07-01 00:30:00-07:00,\n",
        b"2016-07-01 00:45:00-07:00,nan\n",
        b"2016-07-01 01:00:00,5.0\n",
        b"2016-02-30 01:00:00-07:00,5.0\n",
        b"2016-07-01 01:15:00-07:00,0.0000001\n",
        b"2016-07-01 01:30:00-07:00,inf\n",
        b"2016-07-01 01:45:00-07:00,5.0,6.0\n",
        b"2016-07-01 02:00:00-07:00\n",
        b'"2016-07-01 02:15:00-07:00,5.0\n',
        b"2016-07-01 02:30:00-07:00,\xff\n",
        b"2016-07-01 02:45:00-07:00,1\x00\n",
        b"1969-12-31 02:45:00-07:00,1\n",
        b"0001-01-01 00:00:00+09:00,1\n",
        b"2016-07-01 03:00:00-07:00," + b"1" * 10_000 + b"\n",
        b"   \n",
        b"2016-07-01 03:15:00-07:00,0\n",
    )
    assert [(reading.position, reading.value) for reading in parsed(solar("W", 900_000), path)] == [
        (2, -2_574_090),
        (4, 9),
        (9, 0),  # less than half a millijoule
        (20, 0),
    ]
    assert reasons(solar("W", 900_000), path) == {
        **{5: "missing", 6: "missing", 7: "time", 8: "time", 10: "number", 15: "number", 16: "time", 17: "time"},
        **dict.fromkeys((11, 12, 13, 14, 18), "unreadable"),
    }


def test_a_last_line_that_may_have_lost_digits_is_refused(file) -> None:
    path = file(b"2016-07-01 00:00:00-07:00,12.5\n", b"2016-07-01 00:15:00-07:00,12.5")
    assert len(parsed(solar("W", 900_000), path)) == 1
    assert reasons(solar("W", 900_000), path) == {3: "cut"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.decimals(-100_000, 100_000, places=4))
def test_every_power_of_four_decimals_is_exact(file, watts: Decimal) -> None:
    [found] = parsed(solar("W", 900_000), file(f"2016-07-01 00:00:00-07:00,{watts}\n".encode()))
    assert found.value == watts * 900 * 1000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        "measured_on,ac_power\n".encode("utf-16"),
        b"\0" * 100,
        b"x" * 9_000 + b",measured_on,ac_power",
    ],
)
def test_a_file_of_something_else_is_refused(file, content: bytes) -> None:
    with pytest.raises(NotSuchFile, match=r"solar\.csv: the first line must name"):
        outcomes(solar("W", 900_000), file(header=content))


def test_a_byte_order_mark_is_not_part_of_the_header(file) -> None:
    assert len(parsed(solar("W", 900_000), file(b"2016-07-01 00:00:00Z,1\n", header=b"\xef\xbb\xbf" + HEADER))) == 1


def test_a_line_without_an_end_needs_little_memory(file) -> None:
    path = file(b"2016-07-01 00:00:00Z,1", b"1" * 10_000_000)

    def read() -> None:
        assert reasons(solar("W", 900_000), path) == {2: "unreadable"}

    assert peak_bytes(read) < 1_000_000


@pytest.mark.parametrize(
    ("header", "form", "millijoules"),
    [
        (b"measured_on,ac_power_kw\n", solar(), 900_000_000),
        (b"measured_on,AC_Power (W)\n", solar(), 900_000),
        (b"Measured_On,ac_power__752\n", solar("W"), 900_000),
        (b"measured_on,inverter\n", solar("kW", column="inverter"), 900_000_000),
    ],
)
def test_the_name_of_the_column_or_the_operator_tells_the_unit(
    file, header: bytes, form: Table, millijoules: int
) -> None:
    path = file(b"2016-07-01 00:00:00Z,1\n", b"2016-07-01 00:15:00Z,1\n", header=header)
    assert [reading.value for reading in parsed(form, path)] == [millijoules] * 2


@pytest.mark.parametrize(
    ("header", "form", "words"),
    [
        (b"measured_on,ac_power\n", solar(), "--unit"),
        (b"measured_on,ac_power_kw\n", solar("W"), "contradicts --unit W"),
        (b"measured_on,ac_power_1,ac_power_2\n", solar("W"), r"several columns of values \(ac_power_1, ac_power_2\)"),
        (b"measured_on,ac_power,AC_POWER\n", solar("W"), "twice"),
        (b"measured_on,ac_power\n", solar("W", column="dc"), "must name the columns dc"),
    ],
)
def test_what_the_header_leaves_open_or_contradicts_is_asked_for(file, header: bytes, form: Table, words: str) -> None:
    with pytest.raises(NotSuchFile, match=words):
        outcomes(form, file(b"2016-07-01 00:00:00Z,1,1\n", header=header))


def test_columns_that_are_not_read_are_named(file) -> None:
    path = file(
        *[b"2016-07-01 00:%02d:00Z,1,2\n" % n for n in range(3)], header=b"measured_on,ac_power_kw,irradiance\n"
    )
    assert notes(solar(), path) == [
        "solar.csv: ac_power_kw is in kW; an interval is 60 s, the spacing of its times",
        "solar.csv: columns that are not read: irradiance",
    ]
