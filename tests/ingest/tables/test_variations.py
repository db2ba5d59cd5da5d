"""Files that look like those of a profile and are not: they are read right, or refused in words, never read wrong."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from ingest.files.reading import NotSuchFile
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table
from tests.ingest.files.imports import parsed, reasons
from tests.ingest.tables.samples import BY_DAY, CLOCKS, ELHUB, ENEDIS, ENPHASE, FLUVIUS, OCTOPUS, SMA
from tests.ingest.tables.test_shipped import SAMPLES

KWH = 3_600_000_000


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "export.csv"
        path.write_text(text, newline="")
        return path

    return write


def table(name: str) -> Table:
    return Table(load_profile(name), Said(), ZoneInfo("UTC"))


DAY_TOTALS = FLUVIUS.split("\n")[0] + "".join(
    f'\n{day:02}-10-2025;00:00:00;{day + 1:02}-10-2025;00:00:00;="541440000000000017";1SAG1;Digitale meter;Afname Dag;'
    "9,105;kWh;Uitgelezen;"
    for day in (1, 2)
)


def test_totals_of_days_are_no_quarters_of_an_hour(written) -> None:
    path = written(f"{DAY_TOTALS}\n")
    assert parsed(table("fluvius"), path) == []
    assert reasons(table("fluvius"), path) == {2: "interval", 3: "interval"}
    daily = OCTOPUS.replace("T00:30:00+01:00\n", "T23:30:00+01:00\n")
    assert reasons(table("octopus"), written(daily)) == {2: "interval"}
    hours = ELHUB.replace(",01.01.2026 01:00,", ",02.01.2026 00:00,")
    assert reasons(table("elhub"), written(hours)) == {2: "interval"}


def test_ends_in_the_hour_that_the_clock_repeats_contradict_no_beginning(written) -> None:
    head, *_ = FLUVIUS.split("\n")
    quarters = [("02:30", "02:45"), ("02:45", "02:00"), ("02:00", "02:15"), ("02:45", "03:00"), ("03:00", "03:15")]
    text = head + "".join(
        f"\n26-10-2025;{begin}:00;26-10-2025;{end}:00;5414;1;D;Afname Nacht;1,0;kWh;Uitgelezen;"
        for begin, end in quarters
    )
    assert len(parsed(table("fluvius"), written(f"{text}\n"))) == len(quarters)


def test_what_is_fed_into_the_grid_is_not_read_as_taken_from_it(written) -> None:
    with pytest.raises(NotSuchFile, match="KWH"):
        parsed(table("elhub"), written(ELHUB.replace("Forbruk", "Produksjon")))
    both = ELHUB.replace("Forbruk,", "Forbruk,KWH 60 Produksjon,").replace('",', '","9,9",')
    assert sum(reading.value for reading in parsed(table("elhub"), written(both))) == Fraction("4.5") * KWH


def half_hours(columns: list[str]) -> str:
    return f"MPAN,Date,{','.join(columns)}\n1012345678901,30/06/2026,{','.join(['0.5'] * len(columns))}\n"


@pytest.mark.parametrize("last", ["00:00", "24:00"])
def test_columns_that_name_the_ends_of_half_hours_are_no_beginnings(written, last: str) -> None:
    ends = written(half_hours([*CLOCKS[1:], last]))
    with pytest.raises(NotSuchFile, match="ends of intervals"):
        parsed(table("half-hours-by-day"), ends)
    found = parsed(table("half-hours-by-day-ends"), ends)
    beginnings = parsed(table("half-hours-by-day"), written(half_hours(CLOCKS)))
    assert [(r.start_ms, r.value) for r in found] == [(r.start_ms, r.value) for r in beginnings]
    with pytest.raises(NotSuchFile, match="beginnings of intervals"):
        parsed(table("half-hours-by-day-ends"), written(half_hours(CLOCKS)))


@pytest.mark.parametrize("columns", [CLOCKS[::2], ["HH01", "HH02"], [*CLOCKS[:5], *CLOCKS[6:]], [*CLOCKS[1:], "00:15"]])
def test_columns_of_other_intervals_are_no_half_hours(written, columns: list[str]) -> None:
    with pytest.raises(NotSuchFile, match="half-hours-by-day"):
        parsed(table("half-hours-by-day"), written(half_hours(columns)))


def test_a_file_whose_days_come_first_is_not_read_month_first(written) -> None:
    days = [date(2026, 7, 1) + timedelta(day) for day in range(31)]
    text = "Date/Time,Energy Produced (Wh)\n" + "".join(
        f"{day:%d/%m/%Y} 12:{m},9\n" for day in days for m in ("00", "15", "30")
    )
    with pytest.raises(NotSuchFile, match=r"13/07/2026 12:00 .* another order"):
        parsed(table("enphase-month-first"), written(text))
    with pytest.raises(NotSuchFile, match="another order"):
        parsed(
            table("half-hours-by-day"), written(BY_DAY.replace("30/06/2026", "06/30/2026").replace("29/03", "03/29"))
        )
    one = ENPHASE + "".join(f"07/{day:02}/2026 12:{m:02},9\n" for day in range(4, 29) for m in range(0, 60, 15))
    stray = one + "31/07/2026 12:15,9\n"
    assert set(reasons(table("enphase-month-first"), written(stray)).values()) == {"time"}


def test_the_unit_of_an_unnamed_column_is_not_assumed(written) -> None:
    assert len(parsed(table("sma-sunny-explorer"), written(SMA))) == 2
    for other in ("dd.MM.yyyy HH:mm:ss;kWh;W", "MM/dd/yyyy HH:mm:ss;kWh;kW", "dd.MM.yyyy HH:mm:ss;kW;kWh;kWh"):
        with pytest.raises(NotSuchFile, match="line 9"):
            parsed(table("sma-sunny-explorer"), written(SMA.replace("dd.MM.yyyy HH:mm:ss;kWh;kW", other)))


@pytest.mark.parametrize(("unit", "factor"), [("mW", None), ("mw", None), ("MW", 10**6), ("w", 1), ("KW", 10**3)])
def test_milli_is_not_read_as_mega(written, unit: str, factor: int | None) -> None:
    path = written(ENEDIS.replace(";W;", f";{unit};"))
    values = [reading.value for reading in parsed(table("enedis-load-curve"), path)]
    assert values == ([692 * factor * 1_800_000, 700 * factor * 1_800_000] if factor else [])


def rows_of(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True))


def table_of(rows: list[list[str]], delimiter: str, quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    return out.getvalue()


def swapped(text: str) -> str:
    """A number with a decimal comma instead of a point, or the other way round."""
    number = text.replace(".", "").replace(",", "").isdigit()
    return text.translate(str.maketrans(".,", ",.")) if number else text


VARIATIONS: Mapping[str, Callable[[str, str], str]] = {
    "byte order mark": lambda text, delimiter: "\ufeff" + text,
    "blank lines at the end": lambda text, delimiter: text + "\n\n\n",
    "no line end": lambda text, delimiter: text.rstrip("\n"),
    "all in quotes": lambda text, delimiter: table_of(rows_of(text, delimiter), delimiter, csv.QUOTE_ALL),
    "columns reversed": lambda text, delimiter: table_of([row[::-1] for row in rows_of(text, delimiter)], delimiter),
    "capital letters": lambda text, delimiter: text.partition("\n")[0].upper() + "\n" + text.partition("\n")[2],
    "lines reversed": lambda text, delimiter: table_of(
        [rows_of(text, delimiter)[0], *rows_of(text, delimiter)[:0:-1]], delimiter
    ),
    "another delimiter": lambda text, delimiter: table_of(rows_of(text, delimiter), ";" if delimiter == "," else ","),
    "one more column": lambda text, delimiter: table_of([[*row, "9"] for row in rows_of(text, delimiter)], delimiter),
    "blanks after the delimiter": lambda text, delimiter: text.replace(delimiter, delimiter + " "),
    "the other decimal mark": lambda text, delimiter: table_of(
        [list(map(swapped, row)) for row in rows_of(text, delimiter)], delimiter
    ),
    "short": lambda text, delimiter: text[: len(text) // 2],
}


OF_ANY_FILE = ("byte order mark", "blank lines at the end", "no line end", "short")


def of_columns(name: str) -> bool:
    """Whether a header at the top names the columns."""
    profile = load_profile(name)
    return profile.json is None and profile.records is None and profile.shape.skip == 0


@pytest.mark.parametrize("name", SAMPLES)
def test_no_variation_of_a_sample_gives_other_readings(name: str, written) -> None:
    """Some or all may be missing, in words; none has another source, time, amount, length or quality."""
    sample, form = SAMPLES[name], table(name)

    def readings(text: str) -> set[tuple[str | None, int, int, int, int]]:
        found = parsed(form, written(text))
        return {(r.source, r.start_ms, r.interval_ms, r.value, r.quality) for r in found}

    whole = readings(sample.text)
    for variation in VARIATIONS if of_columns(name) else OF_ANY_FILE:
        try:
            found = readings(VARIATIONS[variation](sample.text, form.profile.shape.delimiter))
        except NotSuchFile:
            continue
        assert found <= whole, variation
        if variation in ("byte order mark", "blank lines at the end", "all in quotes", "one more column"):
            assert found == whole, variation
