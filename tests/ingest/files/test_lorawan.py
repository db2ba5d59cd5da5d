import base64
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.device import load_device
from ingest.codecs.sandbox import Payload
from ingest.files.lorawan import LoraWan, fill_level
from ingest.files.reading import Empty, NotSuchFile, Parsed
from ingest.files.uplinks import read_uplink
from store.deliveries import Refused
from tests.ingest.files.imports import ABSENT, DATA, notes, outcomes, parsed, peak_bytes, reasons
from tests.soak import amount, soak

REAL = sorted((DATA / "waste/lorawan_uplinks").glob("**/payload*.json"))
EUI = "24E124713C000001"
UPLINKS = amount(400, soak=15_000)
WORDS = bytes.fromhex("01755c03824408040001")


def loriot(payload: bytes = WORDS, **more: object) -> dict[str, object]:
    return {"cmd": "rx", "EUI": EUI, "ts": 1_684_478_801_936, "data": payload.hex()} | more


def chirpstack(payload: bytes = WORDS, **more: object) -> dict[str, object]:
    device = {"deviceInfo": {"devEui": EUI}, "time": "2023-05-22T07:47:05.404859+00:00"}
    return device | {"data": base64.b64encode(payload).decode()} | more


def content(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture
def file(tmp_path: Path):
    def write(*lines: bytes) -> Path:
        path = tmp_path / "uplinks.json"
        path.write_bytes(b"\n".join(lines))
        return path

    return write


@pytest.mark.skipif(not REAL, reason=ABSENT)
@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_published_uplinks_give_their_published_results(path: Path) -> None:
    published = json.loads(path.with_name(path.name.replace("payload", "result")).read_text())
    result = published[0] if isinstance(published, list) else published
    telemetry = result["telemetry"][0]
    wanted = telemetry["values"]
    uplink = read_uplink(json.loads(path.read_bytes()))
    [decoded] = load_device("milesight-udl").codec.decode([Payload(uplink.payload, uplink.port, uplink.time_ms)])
    assert decoded.data == {name: wanted[name] for name in ("battery", "distance", "position")}
    assert uplink.time_ms == telemetry["ts"]
    assert uplink.device in (result["attributes"].get("eui"), result["deviceName"].split()[-1])
    [found] = parsed(LoraWan(3_000), path)
    assert (found.source, found.start_ms, found.interval_ms) == (uplink.device, telemetry["ts"], 0)
    assert found.value == round(Fraction(10_000 * (3_000 - wanted["distance"]), 3_000))
    assert found.quality == 0  # tilted
    assert len(REAL) == 6


def test_a_level_is_computed_from_distance_and_depth() -> None:
    assert [fill_level(distance, 2_000) for distance in (1, 500, 1_000, 2_000, 4_000)] == [9_995, 7_500, 5_000, 0, 0]
    assert [fill_level(distance, 80_000) for distance in (4, 12, 20)] == [10_000, 9_998, 9_998]  # halves to the even


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_level_is_a_whole_hundredth_of_a_percent_next_to_the_true_one(distance: int, depth: int) -> None:
    found = fill_level(distance, depth)
    assert 0 <= found <= 10_000
    assert abs(found - max(Fraction(0), Fraction(10_000 * (depth - distance), depth))) <= Fraction(1, 2)


def test_what_a_codec_warns_of_is_counted_and_told(file) -> None:
    path = file(content(loriot(bytes.fromhex("038210002ace01755c"))))  # nothing can be read after an unknown length
    assert [reading.value for reading in outcomes(LoraWan(32), path) if isinstance(reading, Parsed)] == [5_000]
    assert Empty("codec-warning") in outcomes(LoraWan(32), path)
    assert notes(LoraWan(32), path) == ["milesight-udl.js says: blocks from one of an unknown kind on are not read"]


def test_distances_of_earlier_times_are_counted_and_not_read(file) -> None:
    path = file(content(loriot(bytes.fromhex("20ce60606060d00720ce61616161d007"))), content(loriot()))
    assert len(parsed(LoraWan(3_000), path)) == 1
    assert outcomes(LoraWan(3_000), path).count(Empty("codec-warning")) == 2
    assert reasons(LoraWan(3_000), path) == {}


@pytest.mark.parametrize(
    ("written", "time_ms"),
    [
        ("2020-03-27T12:39:05.547336Z", 1_585_312_745_547),
        ("2020-0327T12:39:05.547336Z", 1_585_312_745_547),
        ("2020-03-27T12:39:05Z", 1_585_312_745_000),
        ("2020-03-27T12:39:05.5Z", 1_585_312_745_500),
        ("2020-03-27T16:09:05.547999999+03:30", 1_585_312_745_547),
        ("2020-03-27 07:39:05.547-05:00", 1_585_312_745_547),
    ],
)
def test_a_time_is_cut_to_milliseconds(written: str, time_ms: int) -> None:
    assert read_uplink(chirpstack(time=written)).time_ms == time_ms


BAD = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "no envelope": b"{}",
    "not UTF-8": b'{"EUI": "\xff"}',
    "a short EUI": content(loriot(EUI="24e1")),
    "an EUI that is a number": content(loriot(EUI=1_000_000_000_000_001)),
    "an EUI with other letters": content(loriot(EUI="g" * 16)),
    "a device that is a list": content({"deviceInfo": ["devEui"]}),
    "no time": content(loriot(ts=None)),
    "a time that is true": content(loriot(ts=True)),
    "a time that is a fraction": content(loriot(ts=1.5)),
    "a time before 1970": content(loriot(ts=-1)),
    "a time past all calendars": content(loriot(ts=10**20)),
    "a time without offset": content(chirpstack(time="2020-03-27T12:39:05")),
    "a date that never was": content(chirpstack(time="2020-02-30T12:39:05Z")),
    "no payload": content(loriot(data=None)),
    "a payload that is a number": content(loriot(data=5)),
    "half a digit pair": content(loriot(data="01755")),
    "no digits": content(loriot(data="xyz")),
    "no base64": content(chirpstack(data="AXVcA4JECAQAAQ=")),
    "letters outside base64": content(chirpstack(data="AXVc*A4JECAQAAQ==")),
    "cut in a block": content(loriot(WORDS[:-1])),
    "cut in a kind": content(loriot(WORDS + b"\x03")),
    "cut in a distance": content(loriot(bytes.fromhex("038244"))),
    "two distances": content(loriot(bytes.fromhex("038210000382ff00"))),
    "no distance before an unknown block": content(loriot(bytes.fromhex("2ace0182ff00"))),
    "no position": content(loriot(bytes.fromhex("040002"))),
    "a payload that no device sends": content(loriot(bytes(1_025))),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_document_that_is_no_uplink_is_refused_for_a_reason(bad: bytes, file) -> None:
    path = file(content(loriot()), bad or b"{")
    assert set(reasons(LoraWan(3_000), path)) == {2}


@given(st.binary(max_size=60))
def test_any_payload_is_decoded_or_refused(payload: bytes) -> None:
    [found] = load_device("milesight-udl").codec.decode([Payload(payload, 85, 0)])
    assert not found.stopped
    assert not (found.error and found.data)
    assert 0 <= found.data.get("distance", 0) < 1 << 16


def test_every_uplink_of_a_file_has_an_outcome(file) -> None:
    path = file(
        content(loriot(bytes.fromhex("0382f401040000"))),
        b"",
        content(chirpstack(bytes.fromhex("0382f401040001"))),
        content(loriot(bytes.fromhex("01755c"))),
        content(loriot(bytes.fromhex("03820000"))),
        content(loriot(bytes.fromhex("0382ffff"))),
        content(loriot(bytes.fromhex("03821127"))),
        b'{"event": "join"}',
        b"{",
        b"\xff",
        content(loriot(more="x" * 70_000)),
        content(loriot(bytes.fromhex("03821027"))),
    )
    form = LoraWan(1_000)
    assert [(reading.position, reading.value, reading.quality) for reading in parsed(form, path)] == [
        (1, 5_000, 1),
        (3, 5_000, 0),
        (12, 0, 1),
    ]
    assert reasons(form, path) == {
        **{4: "missing", 5: "sensor-fault", 6: "sensor-fault", 7: "sensor-fault"},
        **{8: "envelope"},
        **dict.fromkeys(range(9, 12), "unreadable"),
    }
    assert {reading.source for reading in parsed(form, path)} == {EUI.lower()}
    last = outcomes(form, path)[9]
    assert isinstance(last, Refused)
    assert last.original.startswith(b'{"cmd": "rx"')


def test_a_single_uplink_may_span_lines_and_an_invalid_one_is_refused(file) -> None:
    assert len(parsed(LoraWan(1_000), file(json.dumps(loriot(), indent=2).encode()))) == 1
    assert reasons(LoraWan(1_000), file(b'{"event":\n "join"}')) == {1: "envelope"}


NOT_SUCH = {
    "nothing": b"",
    "blank lines": b"\n \n",
    "cut": json.dumps(loriot(), indent=2).encode()[:-4],
    "a list that is cut": b"[1",
    "zero bytes": bytes(100),
    "deep": b"[" * 100_000,
    "a long line": b"x" * 3_000_000,
}


@pytest.mark.parametrize("bad", NOT_SUCH.values(), ids=NOT_SUCH)
def test_a_file_of_something_else_is_refused(file, bad: bytes) -> None:
    with pytest.raises(NotSuchFile, match=r"uplinks\.json"):
        outcomes(LoraWan(1_000), file(bad))


@soak
def test_many_uplinks_and_a_line_without_an_end_need_little_memory(file) -> None:
    path = file(*[content(loriot(bytes.fromhex("0382f401")))] * UPLINKS, b"{" + b" " * 10_000_000)

    def read() -> None:
        assert sum(1 for _ in LoraWan(1_000).read(path)) == UPLINKS + 1

    assert peak_bytes(read) < 6_000_000


PAYLOAD = base64.b64encode(WORDS).decode()
V3 = {"devEUI": base64.b64encode(bytes.fromhex(EUI)).decode(), "fPort": 85, "data": PAYLOAD}
HELIUM = {"dev_eui": EUI, "payload": PAYLOAD, "reported_at": 1_684_478_801, "type": "uplink"}
THE_THINGS = {"end_device_ids": {"dev_eui": EUI}}


@pytest.mark.parametrize(
    ("document", "time_ms"),
    [
        (HELIUM, 1_684_478_801_000),
        (HELIUM | {"reported_at": 1_684_478_801_936}, 1_684_478_801_936),
        (V3 | {"rxInfo": [{"time": None}, {"time": "2023-05-19T06:46:41.936Z"}]}, 1_684_478_801_936),
        (V3 | {"rxInfo": [], "publishedAt": "2023-05-19T06:46:41.936123Z"}, 1_684_478_801_936),
    ],
)
def test_servers_write_devices_and_times_in_their_own_way(document: dict[str, object], time_ms: int) -> None:
    found = read_uplink(document)
    assert (found.device, found.time_ms, found.payload) == (EUI.lower(), time_ms, WORDS)


@pytest.mark.parametrize(
    "document",
    [
        {"cmd": "txd", "EUI": EUI, "seqdn": 5},
        {"devEUI": EUI, "devAddr": "20000001"},
        {"devEUI": EUI, "acknowledged": True, "fCnt": 3},
        {"devEUI": EUI, "margin": 7, "batteryLevel": 75.5},
        {"DevEUI_downlink_Sent": {"DevEUI": EUI}},
        {"dev_eui": EUI, "type": "join", "reported_at": 1_684_478_801_936},
        THE_THINGS | {"join_accept": {"received_at": "2023-05-19T06:46:41Z"}},
        THE_THINGS | {"downlink_ack": {}},
        {"name": "ns.up.data.process", "data": THE_THINGS | {"uplink_message": {"frm_payload": PAYLOAD}}},
    ],
)
def test_other_events_of_a_server_are_no_uplinks(document: dict[str, object], file) -> None:
    assert read_uplink(document) is None
    assert outcomes(LoraWan(1_000), file(content(document))) == [Empty("not-an-uplink")]


def test_an_uplink_without_a_payload_or_with_an_impossible_time_is_refused_as_such(file) -> None:
    lines = [
        content(V3 | {"data": None, "time": "2023-05-19T06:46:41Z"}),
        content(THE_THINGS | {"uplink_message": {"received_at": "2023-05-19T06:46:41Z"}}),
        content(loriot(ts=315_532_800_000)),
        content(loriot(EUI="24e1")),
        content(loriot(data="0x")),
    ]
    assert reasons(LoraWan(1_000), file(*lines)) == {1: "missing", 2: "missing", 3: "time", 4: "device", 5: "payload"}
