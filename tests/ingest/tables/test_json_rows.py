"""JSON by a profile: what of it becomes readings, and what of it is refused, whatever its size and form."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from ingest.tables import faults, json_rows
from ingest.tables.profile import Said
from ingest.tables.profile_file import ProfileError, parse_profile
from ingest.tables.table import Table
from tests.ingest.files.imports import parsed, peak_bytes, reasons

TEXT = """title = "t"
metric = "energy.import"
[json]
records = "data.rows"
[source]
text = "{meter.id}"
[time]
columns = "at"
formats = "epoch-s"
zone = "text"
[value]
column = "values.0"
unit = "kWh"
[interval]
seconds = 3600
"""
KWH = 3_600_000_000


def table(text: str = TEXT) -> Table:
    return Table(parse_profile(text, "test", "test.toml"), Said(), ZoneInfo("UTC"))


OF_LINES = table(TEXT.replace('records = "data.rows"', "lines = true"))
ARRAY = table(TEXT.replace('records = "data.rows"\n', ""))


def record(at: int, amount: object, meter: object = "m") -> dict[str, Any]:
    return {"at": at, "values": [amount, {"of": "no interest"}], "meter": {"id": meter, "name": None}}


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "export.json"
    path.write_bytes(text.encode(encoding))
    return path


RECORDS = [record(3_600 * hour, f"{hour}.0000000001" if hour % 2 else hour) for hour in range(1, 50)]


@pytest.mark.parametrize("indent", [None, 1, 8])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_records_are_read_wherever_their_array_lies(tmp_path: Path, indent: int | None, encoding: str) -> None:
    around = {"meta": {"rows": [1], "data": {}}, "data": {"n": 5, "rows": RECORDS, "after": [{"rows": 1}]}, "z": 0.5}
    path = written(tmp_path, json.dumps(around, indent=indent), encoding)
    found = parsed(table(), path)
    assert [reading.value for reading in found] == [round(Fraction(item["values"][0]) * KWH) for item in RECORDS]
    assert [(reading.position, reading.start_ms) for reading in found] == [
        (number, item["at"] * 1_000) for number, item in enumerate(RECORDS, 1)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.decimals(0, 1_000, places=9).map(lambda amount: format(amount, "f")), max_size=30),
    st.integers(1, 90),
    st.sampled_from(["array", "document", "lines"]),
)
def test_blocks_change_nothing(tmp_path: Path, amounts: list[str], block: int, kind: str) -> None:
    records = [
        f'{{"values": [{amount}e-1],"at":{3_600 * (n + 1)} , "meter":{{"id":{n}}}}}' for n, amount in enumerate(amounts)
    ]
    text = {
        "array": f"[{','.join(records)}]",
        "document": f'{{"data":{{"x":"rows","rows":[{" , ".join(records)}] }} }}',
        "lines": "\r\n".join(records),
    }[kind]
    form = {"array": ARRAY, "document": table(), "lines": OF_LINES}[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_BLOCK", block)
        found = parsed(form, written(tmp_path, text))
    assert [(reading.source, reading.value) for reading in found] == [
        (str(n), round(Fraction(Decimal(amount)) / 10 * KWH)) for n, amount in enumerate(amounts)
    ]


def test_what_is_no_single_value_is_refused_with_its_record(tmp_path: Path) -> None:
    odd = [
        record(3_600, 1),
        record(7_200, [1]),
        record(7_200, {"kwh": 1}),
        record(7_200, None),
        record(7_200, "one"),
        record(7_200, True),
        record(7_200, 1, None),
        record(7_200, 1, "\ud800"),
        "text",
        None,
        {"at": 7_200, "values": [], "meter": {"id": "m"}},
        {"at": 7_200, "meter": {"id": "m"}},
        {"at": "7200.5", "values": [1], "meter": {"id": "m"}},
    ]
    path = written(tmp_path, json.dumps(odd))
    assert len(parsed(ARRAY, path)) == 1
    assert reasons(ARRAY, path) == {
        **{2: "unreadable", 3: "unreadable", 4: "missing", 5: "number", 6: "number", 7: "unreadable", 8: "unreadable"},
        **{9: "unreadable", 10: "unreadable", 11: "missing", 12: "missing", 13: "time"},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither an array nor an object"),
        ("[{}", "it is cut: a comma or ] is expected"),
        ('[{"at": 1, "val', "is not JSON"),
        ('[{"at": 1}, ]', "is not JSON"),
        ('[{"at": 1}] more', "more follows the document"),
        ('[{"at": NaN}]', "NaN is no number"),
        ('[{"at": 1, "at": 2}]', "names a key twice"),
        ('[{"at": 1}]', "none of its 1 records has meter.id, values.0"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a":' * 100_000, "nested too deeply"),
        ('["' + "x" * 3_000_000 + '"]', "a value is too long"),
        ("[" + "1" * 3_000_000, "a value is too long"),
        ("a;b\n1;2\n", "neither an array nor an object"),
    ],
)
def test_what_is_no_such_document_is_said_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(NotSuchFile, match=words.replace(".", r"\.").replace("[", r"\[")):
        parsed(ARRAY, path)


def test_a_path_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotSuchFile, match=r"there is no data\.rows in it"):
        parsed(table(), written(tmp_path, '{"data": {"Rows": []}, "rows": []}'))
    with pytest.raises(NotSuchFile, match="not in the character set"):
        parsed(ARRAY, written(tmp_path, '[{"at": "ü"}]', "latin-1"))


def test_a_line_that_is_no_json_is_refused_alone_and_a_cut_one_refuses_the_file(tmp_path: Path) -> None:
    good = json.dumps(record(3_600, 1))
    rubbish = ["{", '{"at": NaN}', "[" * 50_000, '"' + "x" * 2_000_000, '{"at": 1, "at": 2}', "", "\udcff"]
    path = tmp_path / "lines.ndjson"
    path.write_bytes("\n".join([good, *rubbish, good.replace("3600", "7200"), ""]).encode("utf-8", "surrogateescape"))
    assert [reading.position for reading in parsed(OF_LINES, path)] == [1, 9]
    assert reasons(OF_LINES, path) == dict.fromkeys([2, 3, 4, 5, 6, 8], "unreadable")
    path.write_text("{]\n" * 3_000)
    assert reasons(OF_LINES, path) == dict.fromkeys(range(1, 3_001), "unreadable")
    path.write_text(f"{good}\n{good[:-9]}")
    with pytest.raises(NotSuchFile, match="line 2, the last one, is cut"):
        parsed(OF_LINES, path)


def test_a_large_document_is_read_in_flat_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_ROWS", 100)
    monkeypatch.setattr(json_rows, "_BLOCK", 4 << 10)
    monkeypatch.setattr(faults, "MOST_KEPT", 200)

    def peak(records: int) -> int:
        path = tmp_path / "large.json"
        with path.open("w") as file:
            file.write("[")
            for number in range(records):
                file.write(f"{',' if number else ''}{json.dumps(record(number * 3_600, 1))}\n")
            file.write("]")

        def read() -> None:
            assert (
                sum(len(part) for piece in ARRAY.pieces(path) if not hasattr(piece, "text") for part in piece.readings)
                == records
            )

        return peak_bytes(read)

    assert peak(1_500) < 1.3 * peak(500)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[json]\n", "[file]\n[json]\n", r"neither \[file\] nor \[wide\]"),
        ('records = "data.rows"', 'records = "data.rows"\nlines = true', "each line is a record"),
        ('column = "values.0"', 'begins_with = "values"', "needs column"),
        ('records = "data.rows"', 'record = "x"', "unknown key record"),
    ],
)
def test_what_a_profile_cannot_say_of_json_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        parse_profile(TEXT.replace(old, new), "test", "test.toml")
