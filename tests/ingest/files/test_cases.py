"""Files as operators have them: for each the right value, or the right refusal."""

import gzip
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.files.green_button import GreenButton
from ingest.files.lorawan import LoraWan
from ingest.files.reading import FileFormat, NotSuchFile
from tests.ingest.files.imports import imported, notes, parsed, register, rows
from tests.ingest.files.profiled import dsny, household, solar

CASES = Path(__file__).parents[4] / "shared/data/cases"
WATT_HOUR = 3_600_000
NEW_YORK = ZoneInfo("America/New_York")

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the cases do not lie beside this checkout (../shared/data)")


def amounts(form: FileFormat, name: str, *sources: str, refused: dict[str, int] | None = None, unit: int = 1) -> float:
    """The sum of what is sent, in `unit` smallest units; what is refused must be `refused`."""
    report, writer, _ = imported(form, CASES / name, register(*sources, "source"), source="source")
    assert report.refused == (refused or {})
    return sum(value for _, value in rows(writer)) / unit


@pytest.mark.parametrize(
    ("form", "name", "watt_hours"),
    [
        (solar("W"), "01-solar-one-minute.csv", 325),
        (solar("kW"), "02-solar-kw-pvdaq50.csv", 95_500),
        (household(ZoneInfo("UTC"), "kW"), "04-household-15min.csv", 1_216),
        (GreenButton(), "09-gb-demand-before-energy.xml", 4_960),
        (GreenButton(), "11-gb-accumulation-0.xml", 385),
        (GreenButton(), "13-gb-tou-channels.xml", 4_000),
        (GreenButton(), "15-gb-no-duration.xml", 385),
        (GreenButton(), "19-gb-download.zip", 385),
    ],
)
def test_energy_is_that_of_the_file_in_its_own_unit_and_interval(form, name: str, watt_hours: int) -> None:
    refused = {"demand": 1} if name.startswith("09") else {}
    assert amounts(form, name, refused=refused, unit=WATT_HOUR) == watt_hours


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        (solar(), "01-solar-one-minute.csv", "--unit"),
        (solar(), "02-solar-kw-pvdaq50.csv", "--unit"),
        (solar("W", 900_000), "01-solar-one-minute.csv", "60 s apart, which contradicts --interval-s 900"),
        (household(ZoneInfo("UTC")), "04-household-15min.csv", "--unit"),
        (GreenButton(), "10-gb-two-types-one-address-cumulative-first.xml", "contradict each other"),
        (GreenButton(), "10b-gb-two-types-one-address-sce.xml", "contradict each other"),
        (GreenButton(), "17-gb-windows-1252.xml", "charset"),
        (GreenButton(), "17b-gb-blank-first-line.xml", "line 2"),
        (LoraWan(2_500), "20-lora-two-depths.ndjson", "more than one device"),
    ],
)
def test_what_a_file_does_not_say_or_says_twice_is_asked_for(form, name: str, words: str) -> None:
    with pytest.raises(NotSuchFile, match=words):
        amounts(form, name)


def test_readings_that_belong_to_no_type_say_so() -> None:
    assert amounts(GreenButton(), "14-gb-no-links.xml", refused={"no-type": 2}) == 0


@pytest.mark.parametrize("name", ["05-dsny-new-column.csv", "06-dsny-socrata-lowercase.csv"])
def test_a_new_stream_of_waste_is_read_and_named(name: str) -> None:
    streams = ("REFUSE", "PAPER", "MGP", "RESORGANICS", "SCHOOLORGANIC", "LEAVESORGANIC", "OTHERORGANICS")
    tons = ("3000", "100", "100", "50", "5", "60", "12.5")
    grams = [round(Fraction(ton) * Fraction("907184.74")) for ton in tons]
    sources = [f"Queens 08/{stream}" for stream in streams]
    assert amounts(dsny(NEW_YORK), name, *sources) == sum(grams)
    assert any("OTHERORGANICS" in note for note in notes(dsny(NEW_YORK), CASES / name))
    without = amounts(dsny(NEW_YORK), name, *sources[:-1], refused={"unknown-source": 1})
    assert without == sum(grams[:-1])


@pytest.mark.parametrize(
    ("name", "depths", "levels", "refused", "others"),
    [
        ("20-lora-two-depths.ndjson", {"24e1247100000002": 1_000, "24e1247100000003": 2_500}, [2_000, 5_000], {}, {}),
        ("21-lora-tts-storage.ndjson", {}, [2_947, 2_947], {}, {}),
        ("22-lora-thingpark.json", {}, [2_947], {}, {}),
        ("24-lora-chirpstack-v3.json", {}, [2_947], {}, {}),
        ("25-lora-chirpstack-all-events.ndjson", {}, [2_947], {}, {"not-an-uplink": 5}),
        ("26-lora-em500-6m.json", {"1000000000000001": 8_000}, [2_500], {}, {}),
        ("27-lora-tts-console-export.json", {}, [2_947], {}, {}),
        ("28-lora-gateway-clock-1980.json", {}, [], {"time": 1}, {}),
        ("29-lora-em400-udl.json", {}, [2_947], {}, {}),
    ],
)
def test_the_fleet_at_hand_is_read(name: str, depths: dict[str, int], levels: list[int], refused, others) -> None:
    depths = depths or {"1000000000000001": 3_000}
    report, writer, _ = imported(LoraWan(depths=depths), CASES / name, register(*depths))
    assert sorted(value for _, value in rows(writer)) == levels
    assert (report.refused, report.empty) == (refused, others)


def test_a_packed_file_is_read_as_the_one_in_it(tmp_path: Path) -> None:
    packed = tmp_path / "usage.xml.gz"
    packed.write_bytes(gzip.compress((CASES / "11-gb-accumulation-0.xml").read_bytes()))
    report, writer, _ = imported(GreenButton(), packed, register("meter"), source="meter")
    assert [value for _, value in rows(writer)] == [385 * WATT_HOUR]
    assert report.refused == {}


def test_hourly_power_counts_for_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "hourly.csv"
    lines = [f"2026-06-01 {hour:02}:00:00+00:00,1000\n" for hour in range(24)]
    path.write_text("measured_on,ac_power\n" + "".join(lines))
    assert sum(reading.value for reading in parsed(solar("W"), path)) == 24_000 * WATT_HOUR
