import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ingest.files import smart_bins
from ingest.files.documents import MOST_VALUES
from ingest.files.reading import Empty, NotSuchFile
from ingest.files.smart_bins import SmartBins
from tests.ingest.files.imports import ABSENT, DATA, outcomes, parsed, peak_bytes, reasons

REAL = sorted((DATA / "waste/wyndham_smartbins").glob("*.geojson"))
MELBOURNE = ZoneInfo("Australia/Melbourne")
FORM = SmartBins(MELBOURNE)
BIN = {"serial_num": 7, "fill_lvl": 4, "timestamp": "2021-08-21T13:39", "status": "NOT_READY"}


@pytest.fixture
def file(tmp_path: Path):
    def write(content: object) -> Path:
        path = tmp_path / "bins.geojson"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def collection(*properties: object) -> dict[str, Any]:
    features = [{"type": "Feature", "properties": bin_, "geometry": None} for bin_ in properties]
    return {"type": "FeatureCollection", "features": features}


@pytest.mark.skipif(not REAL, reason=ABSENT)
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_the_published_snapshots_agree_with_json_but_for_failed_sensors(path: Path) -> None:
    wanted, blind = [], {}
    for position, feature in enumerate(json.loads(path.read_text())["features"], 1):
        said = feature["properties"]
        if said["status"] == "ALERT" and said["fill_lvl"] == 0:
            blind[position] = "sensor-fault"
            continue
        start = datetime.fromisoformat(said["timestamp"]).replace(tzinfo=MELBOURNE).timestamp() * 1000
        wanted.append((said["station_num"], start, 0, said["fill_lvl"] * 1000, 1))
    found = parsed(FORM, path)
    assert [
        (outcome.source, outcome.start_ms, outcome.interval_ms, outcome.value, outcome.quality) for outcome in found
    ] == wanted
    assert reasons(FORM, path) == blind
    assert (len(wanted), len(blind)) == (29, 3)


def test_every_feature_has_an_outcome(file) -> None:
    features = [
        (BIN, None),
        (BIN | {"fill_lvl": 10, "status": "ALERT"}, None),
        (BIN | {"fill_lvl": 0}, None),
        (BIN | {"fill_lvl": 0, "status": "ALERT"}, "sensor-fault"),
        (BIN | {"fill_lvl": "4"}, "number"),
        (BIN | {"fill_lvl": True}, "number"),
        (BIN | {"fill_lvl": 4.00005}, None),
        (BIN | {"fill_lvl": None}, "missing"),
        (BIN | {"fill_lvl": -1}, "number"),
        (BIN | {"fill_lvl": 11}, "number"),
        (BIN | {"serial_num": "7"}, "unreadable"),
        (BIN | {"serial_num": False}, "unreadable"),
        (BIN | {"serial_num": -7}, "unreadable"),
        (BIN | {"serial_num": 10**30}, "unreadable"),
        (BIN | {"timestamp": "2021-08-21"}, "time"),
        (BIN | {"timestamp": "2021-08-21T25:00"}, "time"),
        (BIN | {"timestamp": "2021-08-21T13:39+10:00"}, "time"),
        (BIN | {"timestamp": "2021-10-03T02:30"}, "time"),  # skipped by Melbourne's clocks
        (BIN | {"timestamp": "0001-01-01T00:00"}, "time"),
        (BIN | {"timestamp": 1_629_567_540}, "time"),
        (BIN | {"status": None}, "unreadable"),
        ({name: BIN[name] for name in BIN if name != "timestamp"}, "time"),
        ({}, "unreadable"),
        (None, "unreadable"),
        ([], "unreadable"),
        ("\ud800", "unreadable"),
    ]
    document = collection(*(feature for feature, _ in features))
    document["features"] += [None, 7, [], {}]
    path = file(document)
    wanted = {number: reason for number, (_, reason) in enumerate(features, 1) if reason is not None}
    more = dict.fromkeys(range(len(features) + 1, len(features) + 5), "unreadable")
    assert reasons(FORM, path) == wanted | more
    assert [outcome.value for outcome in parsed(FORM, path)] == [4_000, 10_000, 0, 4_000]
    assert parsed(FORM, path)[0].source == "7"
    kept = [outcome.original for outcome in outcomes(FORM, path) if not isinstance(outcome, Empty)]
    assert all(len(original) <= 1_000 for original in kept)


NOT_SUCH: dict[str, object] = {
    "nothing": b"",
    "cut": json.dumps(collection(BIN)).encode()[:-5],
    "not UTF-8": b'{"type": "FeatureCollection", "features": ["\xff"]}',
    "zero bytes": json.dumps(collection(BIN)).encode() + b"\0",
    "only zero bytes": bytes(1000),
    "not a number": b'{"type": "FeatureCollection", "features": [NaN]}',
    "a long number": b'{"type": "FeatureCollection", "features": [' + b"1" * 5_000 + b"]}",
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a list": [collection(BIN)],
    "another type": {"type": "Feature", "features": []},
    "no features": {"type": "FeatureCollection"},
    "features that are none": {"type": "FeatureCollection", "features": {}},
    "text": "FeatureCollection",
    "many values": b'{"type": "FeatureCollection", "features": [' + b"0," * MOST_VALUES + b"0]}",
}


@pytest.mark.parametrize("content", NOT_SUCH.values(), ids=NOT_SUCH)
def test_a_file_of_something_else_is_refused(file, content: object) -> None:
    with pytest.raises(NotSuchFile, match=r"bins\.geojson"):
        outcomes(FORM, file(content))


def test_deep_nesting_within_a_feature_is_refused(file) -> None:
    deep = b'{"type":"FeatureCollection","features":[{"properties":{"serial_num":' + b"[" * 500 + b"]" * 500 + b"}}]}"
    assert reasons(FORM, file(deep)) == {1: "unreadable"}


def test_a_file_larger_than_the_limit_is_refused_unread(file, monkeypatch) -> None:
    monkeypatch.setattr(smart_bins, "LARGEST_FILE", 1_000_000)
    path = file(b" " * 60_000_000)

    def refuse() -> None:
        with pytest.raises(NotSuchFile, match="larger"):
            outcomes(FORM, path)

    assert peak_bytes(refuse) < 2_500_000


def test_a_file_in_utf_16_is_read(file) -> None:
    assert len(parsed(FORM, file(json.dumps(collection(BIN)).encode("utf-16")))) == 1
