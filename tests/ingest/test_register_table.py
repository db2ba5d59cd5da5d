"""Register files as spreadsheets and programs write them: read as what they mean, or refused in line and column."""

import codecs
import os
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cities import load_city
from ingest.register_rows import RegisterRows
from ingest.register_table import COLUMNS, blocks_of_file
from ingest.register_times import DateOrder
from store.register_columns import NOT_SAID, RegisterColumns, RegisterError
from store.source_history import NEVER_MS
from tests.ingest.cases import case
from tests.ingest.small_city import city

HEADER = ",".join(COLUMNS)
LINE = "M-1,energy.import,town-a,C-1,residential,2026-01-01,"
BEGINS = int(datetime(2025, 12, 31, 20, 30, tzinfo=UTC).timestamp() * 1000)

Source = tuple[str, str, str, str, str, int, int | None, int | None]


def read(path: Path, dates: DateOrder | None = None) -> list[Source]:
    rows = RegisterRows(city(), dates)
    return [row for block in blocks_of_file(path) for row in sources(rows.columns(block))]


def sources(columns: RegisterColumns) -> list[Source]:
    places = (columns.places[place] for place in columns.place.tolist())
    ends = (None if end == NEVER_MS else end for end in columns.valid_to_ms.tolist())
    facts = [NOT_SAID] * len(columns) if columns.fact is None else columns.fact.tolist()
    said = (None if fact == NOT_SAID else fact for fact in facts)
    texts = zip(columns.source.strings(), places, columns.contributor.strings(), strict=True)
    return [
        (source, metric, district, contributor, class_, begins, end, fact)
        for (source, (metric, district, class_), contributor), begins, end, fact in zip(
            texts, columns.valid_from_ms.tolist(), ends, said, strict=True
        )
    ]


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "register.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_register_comes_through_a_pipe_as_from_a_file(encoding, tmp_path):
    text = f"{HEADER}\n{LINE}\n"
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:  # noqa: PTH123 - a descriptor
        pipe.write(text.encode(encoding))
    found = read(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert found == read(written(tmp_path, text, encoding)) != []


def refused(path: Path, dates: DateOrder | None = None) -> tuple[int | None, str | None, str]:
    with pytest.raises(RegisterError) as caught:
        read(path, dates)
    return caught.value.line, caught.value.column, str(caught.value)


ONE: Source = ("M-1", "energy.import", "town-a", "C-1", "residential", BEGINS, None, None)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{LINE}\n",
        f"{HEADER}\r\n{LINE}\r\n",
        f"{HEADER}\r{LINE}\r",
        f"{HEADER};;\n{LINE};;\n".replace(",", ";"),
        f"sep=;\r\n{HEADER}\r\n{LINE}\r\n".replace(",", ";"),
        f'"sep=;"\n{HEADER}\n{LINE}\n'.replace(",", ";"),
        f"sep=\t\n{HEADER}\n{LINE}\n".replace(",", "\t"),
        f"{HEADER}\n{LINE}\n".replace(",", "\t"),
        f"{HEADER}\n{LINE}\n".replace(",", "\u061b"),
        f"{HEADER}\n\n{LINE}\n\n\n",
        f"\n{HEADER}\n{LINE}\n  \n",
        f"{HEADER},,\n{LINE},,\n,,,,,,,,\n",
        f"{HEADER}\n{LINE},,,\n",
        f"{HEADER.upper()}\n{LINE}\n",
        f"Source, Metric ,District,Contributor,Class,Valid_From,VALID_TO\n{LINE}\n",
        f"{HEADER}\n M-1 ,energy.import ,town-a,C-1\u00a0, residential,2026-01-01, \n",
        f'"{HEADER}"\n"{LINE}"\n'.replace(",", '","'),
        f"{HEADER}\n{LINE}\n".replace("2026-01-01", "1404/10/11"),
        f"{HEADER}\n{LINE}\n".replace("2026-01-01", "01.01.2026"),
        f"{HEADER}\n{LINE}\n".replace("2026-01-01", "01/01/2026"),
        f"{HEADER}\n{LINE}\n".replace("2026-01-01", "2026-01-01 00:00:00"),
        "valid_to,class,contributor,district,metric,source,valid_from\n,residential,C-1,town-a,energy.import,M-1,2026-01-01\n",
    ],
)
def test_a_register_is_read_as_spreadsheets_write_it(text: str, tmp_path: Path) -> None:
    encodings = ["utf-8", "utf-8-sig", "utf-16"]
    if text[0].isascii():  # by which UTF-16 without its mark is known
        encodings += ["utf-16-le", "utf-16-be"]
    for encoding in encodings:
        assert read(written(tmp_path, text, encoding)) == [ONE], encoding


def test_utf_16_with_its_mark_is_read_in_both_byte_orders(tmp_path: Path) -> None:
    path = tmp_path / "register.csv"
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        path.write_bytes(mark + f"{HEADER}\n{LINE}\n".replace("C-1", "Nguyễn").encode(encoding))
        assert [row[3] for row in read(path)] == ["Nguyễn"]


def test_lines_are_those_of_the_file_whatever_stands_before_them(tmp_path: Path) -> None:
    text = f"sep=,\n\n{HEADER}\n{LINE}\n\n,,,,,,\n{LINE}\n{LINE.replace('residential', 'industrial')}\n"
    assert refused(written(tmp_path, text))[:2] == (8, "class")


@pytest.mark.parametrize(
    ("wrong", "line", "column", "words"),
    [
        (HEADER.replace(",class", ""), 1, None, "class is missing"),
        (f"{HEADER},SOURCE", 1, None, "source is there twice"),
        (f"{HEADER},tariff", 1, None, "that of column 8 is not known"),
        (LINE.replace(",energy", ""), 2, None, "6 fields instead of 7"),
        (f"{LINE},x", 2, None, "8 fields instead of 7"),
        (LINE.replace("C-1", "C\u200c1"), 2, "contributor", r"U\+200C, ZERO WIDTH NON-JOINER"),
        (LINE.replace("C-1", "C\ufe0f1"), 2, "contributor", r"U\+FE0F, VARIATION SELECTOR-16"),
        (LINE.replace("M-1", "M\u00a01"), 2, "source", r"U\+00A0, NO-BREAK SPACE"),
        (LINE.replace("M-1", "M\ufffd"), 2, "source", "a letter that was lost"),
        (LINE.replace("2026-01-01", "01/02/2026"), 2, "valid_from", "day-first or month-first"),
        (LINE.replace("2026-01-01", "46023"), 2, "valid_from", "number of a day"),
        (f"{LINE}31.12.2025", 2, "valid_to", "later than valid_from"),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(
    wrong: str, line: int, column: str | None, words: str, tmp_path: Path
) -> None:
    text = f"{wrong}\n{LINE}\n" if line == 1 else f"{HEADER}\n{wrong}\n{LINE}\n"
    assert refused(written(tmp_path, text))[:2] == (line, column)
    with pytest.raises(RegisterError, match=words):
        read(written(tmp_path, text))


@pytest.mark.parametrize("encoding", ["cp1258", "cp1256", "latin-1"])
def test_an_old_code_page_is_refused_on_the_line_that_shows_it(encoding: str, tmp_path: Path) -> None:
    name = {"cp1258": "Nguyê\u0303n", "cp1256": "\u0639\u0644\u064a", "latin-1": "Müller"}[encoding]
    rows = [LINE] * 4000
    rows[2998] = LINE.replace("C-1", name)
    line, column, words = refused(written(tmp_path, "\n".join([HEADER, *rows]), encoding))
    assert (line, column) == (3000, "contributor")
    assert "save the file as CSV in UTF-8" in words


def test_ids_are_read_in_their_normal_form(tmp_path: Path) -> None:
    spelled = unicodedata.normalize("NFD", "Phường Một")
    assert read(written(tmp_path, f"{HEADER}\n{LINE.replace('C-1', f' {spelled} ').replace('M-1', 'M-۱')}\n")) == [
        (*ONE[:3], "Phường Một", *ONE[4:])
    ]


def test_an_order_of_day_and_month_reads_what_has_two_meanings(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}\n{LINE.replace('2026-01-01', '01/12/2026')}\n")
    ((*_, december, _, _),) = read(path, "day-first")
    ((*_, january, _, _),) = read(path, "month-first")
    assert (december - BEGINS, january - BEGINS) == (334 * 86_400_000, 11 * 86_400_000)


@pytest.mark.parametrize(
    ("metric", "column", "text", "stored"),
    [
        ("energy.solar", "power_kw", "5", 5_000),
        ("energy.solar", "power_kw", "5.25", 5_250),
        ("energy.import", "power_kw", "۵٫۵", 5_500),
        ("energy.import", "POWER_KW", "", 0),
        ("waste.fill", "depth_mm", "1500", 1_500),
        ("waste.fill", "depth_mm", "2500.0", 2_500),
    ],
)
def test_a_fact_is_stored_in_its_unit(metric: str, column: str, text: str, stored: int, tmp_path: Path) -> None:
    class_ = {"waste.fill": "organic"}.get(metric, "residential")
    line = LINE.replace("energy.import", metric).replace("residential", class_)
    assert [row[-1] for row in read(written(tmp_path, f"{HEADER},{column}\n{line},{text}\n"))] == [stored]


def test_a_fact_with_a_decimal_comma_and_one_that_the_file_does_not_have(tmp_path: Path) -> None:
    fill = LINE.replace("energy.import", "waste.fill").replace("residential", "organic")
    text = f"{HEADER};power_kw\n{LINE};5,5\n{fill};\n".replace(",", ";").replace("5;5", "5,5")
    assert [row[-1] for row in read(written(tmp_path, text))] == [5_500, None]


@pytest.mark.parametrize(
    ("metric", "column", "text", "words"),
    [
        ("energy.import", "power_kw", "25000", "0.001 to 500 kw for a source of class residential"),
        ("energy.import", "power_kw", "0", "0.001 to 500 kw"),
        ("energy.import", "power_kw", "-5", "not a number such as"),
        ("energy.import", "power_kw", "5 kW", "not a number such as"),
        ("energy.import", "power_kw", '"1,250"', "thousands or a fraction"),
        ("energy.import", "power_kw", '"1.250,5"', "not a number such as"),
        ("energy.import", "depth_mm", "1500", "has no depth_mm"),
        ("waste.fill", "depth_mm", "1.5", "100 to 20,000 mm"),
        ("waste.fill", "depth_mm", "1500000", "100 to 20,000 mm"),
    ],
)
def test_a_fact_that_is_wrong_or_a_thousand_times_too_large_is_refused(
    metric: str, column: str, text: str, words: str, tmp_path: Path
) -> None:
    class_ = {"waste.fill": "organic"}.get(metric, "residential")
    line = LINE.replace("energy.import", metric).replace("residential", class_)
    line_at, column_at, said = refused(written(tmp_path, f"{HEADER},{column}\n{line},{text}\n"))
    assert (line_at, column_at) == (2, column)
    assert words in said


def test_three_digits_after_a_point_are_thousands_or_not_where_commas_do_not_separate(tmp_path: Path) -> None:
    line = f"{HEADER};power_kw\n{LINE};1.250\n".replace(",", ";")
    assert "thousands or a fraction" in refused(written(tmp_path, line))[2]
    assert read(written(tmp_path, f"{HEADER},power_kw\n{LINE},1.250\n"))[0][-1] == 1_250


CASES = {
    "35-register-r2_semicolon.csv": ["Z2"],
    "35-register-r13_empty_line.csv": ["Z13", "Z13b"],
    "35-register-r14_trailing_commas.csv": ["Z14"],
    "35-register-r12_excel_datetime.csv": ["Z12"],
    "35-register-r11_excel_dates.csv": "line 2, column valid_from: may be day and month or month and day",
    "35-register-r7_zwnj.csv": "line 2, column contributor: holds a character that can't be printed or seen (U+200C",
    "35-register-r4_win1258.csv": "line 2, column contributor: is not in UTF-8: save the file as CSV in UTF-8",
}


@pytest.mark.parametrize("name", CASES)
def test_the_cases_are_read_or_refused_with_what_to_change(name: str) -> None:
    rows = RegisterRows(load_city("isfahan"))
    expected = CASES[name]
    if isinstance(expected, str):
        with pytest.raises(RegisterError) as caught:
            [rows.columns(block) for block in blocks_of_file(case(name))]
        assert str(caught.value).startswith(expected)
    else:
        read = (rows.columns(block) for block in blocks_of_file(case(name)))
        assert [source for columns in read for source in columns.source.strings()] == expected


FIELDS: Mapping[str, Sequence[str]] = {
    "source": ["M-1", "m 2", "M-10", " M-3", "M-3 ", "đồng hồ", "", " ", "x" * 200, "x" * 201, "M\u00ad1", "a\x7fb"],
    "metric": ["energy.import", "energy.solar", " energy.import", "waste.fill", "Energy.import", "energy.none"],
    "district": ["town-a", "town-b", "town-a ", "nowhere"],
    "contributor": ["C-1", "C-2", "C 3", "\t", "", "C\t1"],
    "class": ["residential", "commercial", "container", "residential "],
    "valid_from": ["2026-01-01", "1.7.2025", " 2026-01-01", "1404/10/11", "01/02/2026", "2026-02-30", ""],
    "valid_to": ["", " ", "2026-07-01", "2026-01-01", "2020-01-01", "never"],
    "power_kw": ["", "5", "5.5", "600", "1,250", "many"],
}
"""Fields by column: the first is right, and so are some of the others."""


@st.composite
def registers(draw: st.DrawFn) -> tuple[str, list[str]]:
    """The header and the lines of a register, most of them right, with their ends."""
    delimiter, end = draw(st.sampled_from([",", ";", "\t"])), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    names = draw(st.permutations([*COLUMNS, *draw(st.sampled_from([[], ["power_kw"]]))]))
    rows = draw(
        st.lists(
            st.tuples(*(st.sampled_from([FIELDS[n][0]] * 4 + [*FIELDS[n][:3]] * 2 + [*FIELDS[n]]) for n in names))
            | st.just(("",) * len(names)),
            max_size=8,
        )
    )
    lines = [delimiter.join(row) for row in rows]
    odd = draw(st.sampled_from([None, None, None, "", delimiter, f'"M-1"{delimiter}', "\0"]))
    if odd is not None:
        lines.insert(draw(st.integers(0, len(lines))), odd)
    last = draw(st.sampled_from(["", end]))
    return delimiter.join(names) + end, [line + end for line in lines[:-1]] + [line + last for line in lines[-1:]]


@pytest.mark.parametrize("header", [HEADER, f"{HEADER},power_kw"])
def test_a_register_of_blank_rows_holds_none(header: str, tmp_path: Path) -> None:
    blank = "," * header.count(",")
    assert read(written(tmp_path, f"{header}\n{blank}\n{blank}\n")) == []
    assert read(written(tmp_path, f"{header}\n")) == []


def outcome(path: Path) -> list[Source] | tuple[int | None, str | None, str]:
    try:
        return read(path)
    except RegisterError as error:
        return error.line, error.column, str(error)


@given(registers())
def test_lines_that_need_no_parser_are_read_or_refused_as_with_one(
    tmp_path_factory: pytest.TempPathFactory, register: tuple[str, list[str]]
) -> None:
    header, lines = register
    folder = tmp_path_factory.mktemp("registers")
    plain = outcome(written(folder, header + "".join(lines)))
    name = COLUMNS[0]
    parsed = outcome(written(folder, header.replace(name, f'"{name}"') + "".join(lines)))
    assert plain == parsed


def test_rows_are_the_same_wherever_the_file_is_cut_into_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [LINE, LINE.replace("M-1", "M-2"), f'{LINE}"\n"', LINE.replace("M-1", "đ"), "", LINE]
    for end in ("\n", "\r\n", "\r"):
        path = written(tmp_path, end.join([HEADER, *lines, LINE.replace("town-a", "nowhere")]))
        wanted = outcome(path)
        for size in range(len(HEADER) + 2, path.stat().st_size, 3):
            monkeypatch.setattr("ingest.register_table._CHUNK_BYTES", size)
            assert outcome(path) == wanted
        assert wanted[0] == 9
