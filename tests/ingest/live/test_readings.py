"""Readings in the JSON of docs/push.md."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from ingest.live.readings import SentReadings, _whole
from tests.ingest.files.imports import parsed, reasons

PAGE = Path(__file__).parents[3] / "docs/push.md"
SOUND = {
    **{"source": "m-1", "metric": "energy.import", "start": "2026-07-01T10:00:00+02:00", "interval_s": 900},
    **{"value": 0.25, "unit": "kWh"},
}
ENERGY = SentReadings("energy.readings")


@pytest.fixture
def file(tmp_path: Path):
    def write(content: bytes) -> Path:
        path = tmp_path / "body"
        path.write_bytes(content)
        return path

    return write


def text(*items: object) -> bytes:
    return json.dumps(list(items)).encode()


def test_an_object_a_list_and_lines_are_the_same(file) -> None:
    pretty = json.dumps(SOUND, indent=1).encode()
    for content in (pretty, text(SOUND), json.dumps(SOUND).encode() + b"\n", b"\xef\xbb\xbf" + text(SOUND)):
        [reading] = parsed(ENERGY, file(content))
        assert (reading.source, reading.metric, reading.start_ms) == ("m-1", "energy.import", 1_782_892_800_000)
        assert (reading.interval_ms, reading.value, reading.quality) == (900_000, 900_000_000, 1)
    lines = b"\n".join(json.dumps(SOUND | {"value": value}).encode() for value in (1, 2))
    assert [reading.value for reading in parsed(ENERGY, file(lines))] == [3_600_000_000, 7_200_000_000]


WRONG = {
    "another key": ({"kwh": 1}, "unreadable"),
    "no source": ({"source": None}, "missing"),
    "a source that is a number": ({"source": 5}, "unreadable"),
    "another metric": ({"metric": "waste.fill"}, "unreadable"),
    "a metric that is a list": ({"metric": []}, "unreadable"),
    "another unit": ({"unit": "kg"}, "unit"),
    "a time without zone": ({"start": "2026-07-01T10:00:00"}, "time"),
    "a time that never was": ({"start": "2026-02-30T10:00:00Z"}, "time"),
    "a time past all calendars": ({"start": 10**20}, "time"),
    "a time that is true": ({"start": True}, "time"),
    "no interval": ({"interval_s": None}, "no-interval"),
    "a long interval": ({"interval_s": 3_601}, "interval"),
    "an interval of nothing": ({"interval_s": 0}, "interval"),
    "an interval that is true": ({"interval_s": True}, "unreadable"),
    "a fraction of a second": ({"interval_s": 0.5}, "interval"),
    "a value that is a text": ({"value": "1"}, "number"),
    "a value that is true": ({"value": True}, "number"),
    "another quality": ({"quality": "good"}, "quality"),
    "a quality that is a list": ({"quality": []}, "quality"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG)
def test_a_reading_that_is_wrong_keeps_none_back(file, change: dict[str, object], reason: str) -> None:
    path = file(text(SOUND, SOUND | change, SOUND | {"quality": "estimated", "source": "m-2"}))
    assert reasons(ENERGY, path) == {2: reason}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"x", b"[" * 100_000, b"[1,", b"{", b'"a"', b"\xff\xfe{", b"NaN"])
def test_what_is_no_json_is_refused_as_a_whole(file, content: bytes) -> None:
    with pytest.raises(NotSuchFile, match="body"):
        parsed(ENERGY, file(content))


def test_items_that_are_no_objects_are_refused_one_by_one(file) -> None:
    assert reasons(ENERGY, file(b'[1, null, "x", [[[[]]]], {}]')) == {
        **dict.fromkeys(range(1, 5), "unreadable"),
        5: "missing",
    }
    line = json.dumps(SOUND).encode()
    assert reasons(ENERGY, file(b"\n".join([line, b"{", b"\xff", b"x" * 10_000, line]))) == {
        **dict.fromkeys(range(2, 5), "unreadable")
    }


@given(st.one_of(st.integers(-(10**12), 10**12), st.decimals(-1_000, 1_000, places=7).map(float)))
def test_a_value_is_the_whole_number_next_to_the_true_one(value: float) -> None:
    for factor in (Fraction(3_600_000), Fraction(1), Fraction("453.59237")):
        assert abs(_whole(value, factor) - Fraction(repr(value)) * factor) <= Fraction(1, 2)


def test_a_moment_has_no_interval(file) -> None:
    waste = SentReadings("waste.fill-levels")
    level = {"source": "b-1", "metric": "waste.fill", "start": 1_782_892_800_000, "value": 12.345, "unit": "%"}
    [reading] = parsed(waste, file(text(level)))
    assert (reading.value, reading.interval_ms) == (1_234, 0)  # halves to the even
    assert reasons(waste, file(text(level | {"interval_s": 60}))) == {1: "interval"}


@pytest.mark.parametrize("content", [b"[" + b"[]," * 1_000 + b"1]", (json.dumps(SOUND).encode() + b"\n") * 1_001])
def test_a_body_of_too_many_is_refused_as_a_whole(file, content: bytes) -> None:
    with pytest.raises(NotSuchFile, match="more than 999 readings"):
        list(SentReadings("energy.readings", 999).read(file(content)))
