from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.reading import Note, NotSuchFile
from ingest.tables.faults import LEAST
from ingest.tables.numbers import AmountsOf
from ingest.tables.profile import Said, Shape, ValuePart
from ingest.tables.profile_file import parse_profile
from ingest.tables.table import Table
from ingest.tables.times import Clock
from ingest.tables.units import scale
from schemas.catalogue import catalogue
from tests.ingest.files.imports import notes, outcomes, parsed, peak_bytes, reasons
from tests.soak import examples

OSLO = ZoneInfo("Europe/Oslo")
KWH = 3_600_000_000
HEAD = 'title = "t"\nmetric = "energy.import"\n'
SOURCE, TIME = '[source]\ntext = "{meter}"\n', '[time]\ncolumns = "time"\nformats = "%d.%m.%Y %H:%M"\n'
ZONE, HOUR = 'zone = "Europe/Oslo"\n', "[interval]\nseconds = 3600\n"
VALUE = '[value]\ncolumn = "kwh"\nunit = "kWh"\n'
LONG = HEAD + '[file]\ndelimiter = ";"\ndecimal = ","\n' + SOURCE + TIME + ZONE + VALUE + HOUR
COMMAS = HEAD + SOURCE + TIME + ZONE + VALUE + HOUR


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
        return path

    return write


def form(text: str, said: Said | None = None) -> Table:
    return Table(parse_profile(text, "test", "test.toml"), said or Said(), ZoneInfo("UTC"))


def starts(table: Table, path: Path) -> list[str]:
    return [f"{datetime.fromtimestamp(r.start_ms / 1000, UTC):%d %H:%M}" for r in parsed(table, path)]


def test_decimal_commas_quotes_and_character_sets_are_those_of_the_profile(file) -> None:
    lines = ("Zähler;time;kwh", '"Süd; 1";01.07.2026 12:00;1,5', "Nord;1.7.2026 13:00;0,25")
    text = LONG.replace("{meter}", "{zähler}")
    for encoding in ("utf-8", "utf-8-sig", "windows-1252", "utf-16"):
        named = encoding.removesuffix("-sig")
        table = form(text.replace("[file]\n", f'[file]\nencoding = "{named}"\n'))
        found = parsed(table, file(*lines, encoding=encoding))
        assert [(r.source, r.value) for r in found] == [("Süd; 1", KWH * 3 // 2), ("Nord", KWH // 4)]
    with pytest.raises(NotSuchFile, match="must name the columns zähler"):
        outcomes(form(text), file(*lines, encoding="windows-1252"))
    with pytest.raises(NotSuchFile, match=r"must name the columns kwh \(not kwh used\)$"):
        outcomes(form(text), file("Zähler;time;kwh used;A-1", *lines[1:]))


def test_a_mark_of_decimals_that_is_not_the_profiles_is_refused(file) -> None:
    path = file("meter;time;kwh", "a;01.07.2026 12:00;1.5", "a;01.07.2026 13:00;1,5")
    assert reasons(form(LONG), path) == {2: "number"}
    thousands = LONG.replace("[file]\n", '[file]\nthousands = "."\n')
    path = file("meter;time;kwh", "a;01.07.2026 12:00;1.500,5", "a;01.07.2026 13:00;1.5", "a;01.07.2026 14:00;15")
    assert reasons(form(thousands), path) == {3: "number"}
    assert [r.value / KWH for r in parsed(form(thousands), path)] == [1_500.5, 15]


NIGHT = ["25.10.2026 01:30", "25.10.2026 02:00", "25.10.2026 02:30", "25.10.2026 02:00", "25.10.2026 02:30"]
NIGHT += ["25.10.2026 03:00"]


def night(policy: str) -> Table:
    half = LONG.replace("3600", "1800")
    return form(half.replace('zone = "Europe/Oslo"', f'zone = "Europe/Oslo"\nrepeated = {policy}') if policy else half)


def test_a_time_in_the_repeated_hour_is_refused_unless_something_says_which_it_is(file) -> None:
    path = file("meter;time;kwh", *(f"a;{time};1" for time in NIGHT))
    assert reasons(night(""), path) == dict.fromkeys((3, 4, 5, 6), "repeated-hour")
    assert starts(night('"order"'), path) == ["24 23:30", "25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"]
    assert starts(night('"first"'), path)[1:5] == ["25 00:00", "25 00:30", "25 00:00", "25 00:30"]


def test_the_order_is_that_of_each_source_and_a_third_time_is_refused(file) -> None:
    lines = [f"{meter};{time};1" for time in NIGHT[:2] for meter in "ab"]
    lines += ["a;25.10.2026 02:00;2", "b;25.10.2026 02:30;2", "a;25.10.2026 02:00;3"]
    table = night('"order"')
    assert starts(table, file("meter;time;kwh", *lines))[2:] == ["25 00:00", "25 00:00", "25 01:00", "25 00:30"]
    assert reasons(table, file("meter;time;kwh", *lines)) == {8: "repeated-hour"}


def test_a_column_may_say_which_of_the_two_hours_it_is(file) -> None:
    table = night('{ column = "dst", first = "S", second = "W" }')
    path = file("meter;time;kwh;dst", *(f"a;25.10.2026 02:00;1;{dst}" for dst in "SWX"))
    assert starts(table, path) == ["25 00:00", "25 01:00"]
    assert reasons(table, path) == {4: "repeated-hour"}


def test_a_time_may_be_the_end_of_its_interval(file) -> None:
    ends = LONG.replace(ZONE, ZONE + 'marks = "end"\n')
    path = file("meter;time;kwh", *(f"a;{time};1" for time in ("01.07.2026 01:00", "01.07.2026 24:00")))
    assert starts(form(ends), path) == ["30 22:00", "01 21:00"]
    assert reasons(form(LONG), path) == {3: "time"}


def test_every_line_of_a_faulty_file_is_refused_with_its_number_and_reason(file) -> None:
    lines = {
        "a;01.07.2026 12:00;1,5": None,
        "a;31.06.2026 12:00;1,5": "time",
        "a;07/01/2026 12:00;1,5": "time",
        "a;29.03.2026 02:30;1,5": "time",
        "a;01.07.2026 12:60;1,5": "time",
        ";01.07.2026 12:00;1,5": "unreadable",
        "a;01.07.2026 12:00": "unreadable",
        "a;01.07.2026 12:00;1,5;": "unreadable",
        'a;"01.07.2026 12:00;1,5': "unreadable",
        "": "unreadable",
        "a;01.07.2026 13:00;": "missing",
        "a;01.07.2026 13:00;1e3": "number",
        "a;01.07.2026 13:00;٣": "number",
        "a;01.07.2026 13:00;1_0": "number",
        "a;" + "0" * 5_000 + ";1": "unreadable",
        "a;01.07.2026 14:00;-2": None,
    }
    path = file("meter;time;kwh", *lines)
    assert reasons(form(LONG), path) == {n: reason for n, reason in enumerate(lines.values(), 2) if reason}
    assert [reading.position for reading in parsed(form(LONG), path)] == [2, 17]


def test_other_lines_units_and_qualities_are_told_by_columns(file) -> None:
    text = COMMAS.replace('unit = "kWh"', 'unit_column = "unit"') + (
        '[quality]\ncolumn = "status"\nactual = ["ok", "ok-checked"]\nestimated = ["ok-guess", ""]\n'
        '[[only]]\ncolumn = "flow"\ntexts = ["in"]\nbeginnings = ["in-"]\nelse = "flow-direction"\n'
    )
    path = file(
        "meter,time,kwh,unit,status,flow",
        "a,01.07.2026 12:00,1,kWh,ok,in",
        "a,01.07.2026 13:00,1,WH,ok-guess,in-1",
        "a,01.07.2026 14:00,500,w,,in",
        "a,01.07.2026 15:00,1,m3,ok,in",
        "a,01.07.2026 16:00,1,kWh,lost,in",
        "a,01.07.2026 17:00,1,kWh,ok,out",
    )
    found = [(reading.value, reading.quality) for reading in parsed(form(text), path)]
    assert found == [(KWH, 1), (KWH // 1_000, 0), (KWH // 2, 0)]
    assert reasons(form(text), path) == {5: "unit", 6: "quality", 7: "flow-direction"}


def test_the_length_of_an_interval_may_be_in_a_column(file) -> None:
    text = COMMAS.replace("seconds = 3600", 'column = "length"\nunit = "minutes"\nwords = { PT1H = "3600" }')
    path = file(
        "meter,time,kwh,length", *(f"a,01.07.2026 12:00,1,{length}" for length in ("15", "PT1H", "90", "0", ""))
    )
    assert [reading.interval_ms for reading in parsed(form(text), path)] == [900_000, 3_600_000]
    assert reasons(form(text), path) == {4: "interval", 5: "no-interval", 6: "no-interval"}


WIDE = COMMAS.replace("%d.%m.%Y %H:%M", "%d.%m.%Y").replace('column = "kwh"\n', "")


def test_a_column_for_each_time_of_day(file) -> None:
    table = form(WIDE + "[wide]\nby_clock = true\n")
    path = file("meter,time,01:00,02:00,03:00,note", "a,01.07.2026,1,2,,x", "a,29.03.2026,1,,3,x", "a,29.3.2026,1,2,3,")
    found = parsed(table, path)
    assert [(reading.position, reading.value // KWH) for reading in found] == [
        *((2_001, 1), (2_002, 2), (3_001, 1), (3_003, 3), (4_001, 1), (4_003, 3))
    ]
    assert reasons(table, path) == {2_003: "missing", 4_002: "time"}  # 2 o'clock was skipped on that day


def test_a_column_for_each_interval_of_a_day_of_25_hours(file) -> None:
    table = form(WIDE + '[wide]\nfirst = "h1"\nstop = "total"\n')
    names = ",".join(f"h{hour}" for hour in range(1, 26))
    days = [f"a,{day}.10.2026,{','.join(['1'] * count + [''] * (25 - count))},9" for day, count in ((25, 25), (26, 24))]
    path = file(f"meter,time,{names},total", *days, f"a,27.10.2026,{','.join(['1'] * 25)},9")
    found = parsed(table, path)
    assert len({reading.start_ms for reading in found}) == len(found) == 25 + 24 + 24
    assert reasons(table, path) == {4_025: "time"}
    begins = sorted(reading.start_ms for reading in found)
    assert {later - sooner for sooner, later in pairwise(begins)} == {3_600_000}


def test_sub_tables_carry_what_stands_above_them(file) -> None:
    text = (
        HEAD
        + '[file]\nheader = false\n[records]\ndata = "300"\ncontext = "200"\nquality = "400"\nknown = ["900"]\n'
        + '[source]\ntext = "{200.2}"\n[time]\ncolumns = "300.2"\nformats = "%Y%m%d"\nzone = "Etc/GMT-10"\n'
        + '[value]\nunit_column = "200.3"\n[interval]\ncolumn = "200.4"\nunit = "minutes"\n[wide]\nfirst = "300.3"\n'
        + '[quality]\ncolumn = "300.3"\nactual = ["A"]\nestimated = ["S"]\nvaries = "V"\nafter_values = true\n'
    )
    hours = ",".join(["1"] * 24)
    path = file(
        *(f"300,20260701,{hours},A", "200,m1,kWh,60", f"300,20260701,{hours},V", "400,1,1,A", "400,2,23,S14"),
        *("200,m2,Wh,60", f"300,20260701,{hours},A,,", "500,x", "900", f"300,20260702,{hours},N"),
    )
    found = parsed(form(text), path)
    assert {(r.source, r.value, r.quality) for r in found if r.source == "m1"} == {("m1", KWH, 1), ("m1", KWH, 0)}
    assert sum(r.value for r in found if r.source == "m2") == 24 * KWH // 1_000
    assert reasons(form(text), path) == {
        **{1_000: "unreadable", 8_000: "unreadable", 3_024: "quality"},
        **dict.fromkeys(range(10_001, 10_025), "quality"),
    }


def test_what_a_file_assumes_is_said(file) -> None:
    path = file("meter;time;kwh;price", "a;01.07.2026 12:00;1;2")
    assert notes(form(LONG), path) == [
        "table.csv: kwh is in kWh; times are of Europe/Oslo",
        "table.csv: columns that are not read: price",
    ]


def test_a_file_of_many_blocks_is_read_in_the_memory_of_one(file, monkeypatch) -> None:
    block = 8 << 10
    monkeypatch.setattr("ingest.tables.text.BLOCK", block)
    lines = [f"meter-{n % 97};{n % 28 + 1:02}.07.2026 {n % 24:02}:00;{n},{n % 9}" for n in range(5_000)]
    path = file("meter;time;kwh", *lines)
    assert path.stat().st_size > 10 * block
    table, count = form(LONG), 0

    def read() -> None:
        nonlocal count
        count = sum(len(r) for piece in table.pieces(path) if not isinstance(piece, Note) for r in piece.readings)

    few = peak_bytes(lambda: list(table.pieces(file("meter;time;kwh", *lines[:250]))))
    file("meter;time;kwh", *lines)
    assert peak_bytes(read) < 6 * few
    assert count == len(lines)


ENERGY = catalogue()["energy.import"]


@examples(8, soak=250)
@given(st.lists(st.decimals(-99_999, 99_999, places=6), min_size=100, max_size=130, unique=True))
def test_a_column_of_numbers_is_what_each_of_them_is(numbers: list[Decimal]) -> None:
    for unit, interval in (("kWh", 0), ("W", 900_000), ("MW", 3_600_000)):
        factor = scale(ENERGY, unit, interval)
        texts = [f"{number:f}" for number in numbers]
        amounts = AmountsOf(Shape(), ValuePart(), factor)
        assert amounts.many(texts).tolist() == [round(Fraction(text) * factor) for text in texts]


@examples(8, soak=250)
@given(st.lists(st.datetimes(datetime(1969, 12, 30), datetime(2050, 1, 1)), min_size=100, max_size=130, unique=True))
def test_a_column_of_times_is_what_each_of_them_is(times: list[datetime]) -> None:
    texts = [f"{time:%Y-%m-%d %H:%M:%S}" for time in times]
    clock, same = (Clock(["%Y-%m-%d %H:%M:%S"], OSLO, "first", ends=False) for _ in range(2))
    found = clock.many(texts)
    assert found.tolist() == [same.texts[text] for text in texts]
    for time, moment in zip(times, found.tolist(), strict=True):
        local = time.replace(microsecond=0, tzinfo=OSLO)
        if moment > LEAST:
            assert datetime.fromtimestamp(moment / 1_000, OSLO) == local
        else:
            back = local.astimezone(UTC).astimezone(OSLO)
            assert back.replace(tzinfo=None) != local.replace(tzinfo=None) or local.timestamp() < 0


def test_a_half_is_rounded_to_the_even_number_in_a_column_too() -> None:
    texts = [f"{number}.5" for number in range(200)]
    amounts = AmountsOf(Shape(), ValuePart(), Fraction(1))
    assert np.array_equal(amounts.many(texts), np.array([round(Fraction(text)) for text in texts]))
