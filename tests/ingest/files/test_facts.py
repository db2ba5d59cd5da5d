"""What the register knows of a source is used to compute its readings, and to refuse what it cannot have been."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest.files.clashes import Clashes
from ingest.files.lorawan import LoraWan
from ingest.files.rated import RatedPower
from ingest.files.reading import NotSuchFile, Parsed
from ingest.files.source_codes import SourceCodes
from ingest.register import Register, facts_of
from schemas.batch import ACTUAL
from schemas.catalogue import catalogue
from tests.ingest.cases import case
from tests.ingest.files.imports import imported, rows, sources
from tests.ingest.files.placing import placed
from tests.ingest.files.profiled import solar
from tests.ingest.registers import InMemorySources

FILL = catalogue()["waste.fill"]
WATT_HOUR = 3_600_000
QUARTER = 900_000


def knowing(**facts: int) -> Register:
    """A register of sources with these facts."""
    found = sources(*facts)
    rows = {source: replace(row, fact=facts[source]) for source, row in found.rows.items()}
    return Register(lambda metric, time_ms: InMemorySources(rows), lambda: 0)


def plant(folder: Path, *watts: float) -> Path:
    path = folder / "plant.csv"
    lines = [f"2024-06-01 {n // 4:02}:{15 * (n % 4):02}:00+00:00,{power}" for n, power in enumerate(watts)]
    path.write_text("\n".join(["measured_on,ac_power", *lines, ""]))
    return path


DAY = [0.0, 0.0, 3.0, 40.0, 900.0, 4_500.0, 2_000.0, 60.0, 2.0, 0.0]


@pytest.mark.parametrize(("power_w", "sent"), [(0, 10), (5_000, 10), (2_500, 10), (2_000, 0)])
def test_a_plant_delivers_no_more_than_twice_its_power(power_w: int, sent: int, tmp_path: Path) -> None:
    report, _, _ = imported(solar("W"), plant(tmp_path, *DAY), knowing(P=power_w), source="P")
    assert (report.readings, report.refused) == (sent, {"above-power": 10 - sent} if sent < 10 else {})


def test_a_file_that_is_a_thousand_times_too_large_is_refused_with_its_small_readings(tmp_path: Path) -> None:
    report, writer, journal = imported(solar("kW"), plant(tmp_path, *DAY), knowing(P=5_000), source="P")
    assert (report.readings, report.refused) == (0, {"above-power": 10})
    assert len(journal.kept) == 10
    right, written, _ = imported(solar("W"), plant(tmp_path, *DAY), knowing(P=5_000), source="P")
    assert right.readings == 10
    assert sum(value for _, value in rows(written)) == sum(DAY) * QUARTER
    assert rows(writer) == []


def test_a_stray_reading_is_refused_alone(tmp_path: Path) -> None:
    path = plant(tmp_path, *([100.0] * 80), 3e6)
    report, _, _ = imported(solar("W"), path, knowing(P=5_000), source="P")
    assert (report.readings, report.refused) == (0, {"above-power": 81})
    long = tmp_path / "long.csv"
    lines = [f"2024-06-{1 + n // 24:02} {n % 24:02}:00:00+00:00,{3e6 if n == 300 else 100}" for n in range(400)]
    long.write_text("\n".join(["measured_on,ac_power", *lines, ""]))
    report, _, _ = imported(solar("W"), long, knowing(P=5_000), source="P")
    assert (report.readings, report.refused) == (399, {"above-power": 1})


def test_the_case_of_a_file_in_kilowatts_read_as_a_thousand_times_more() -> None:
    report, _, _ = imported(solar("kW"), case("01-solar-one-minute.csv"), knowing(P=6_000), source="P")
    assert (report.readings, set(report.refused)) == (0, {"above-power"})


def test_a_file_in_kilowatts_that_is_said_to_be_in_watts_gets_a_remark() -> None:
    name = "02-solar-kw-pvdaq50.csv"
    report, _, _ = imported(solar("W"), case(name), knowing(P=250_000), source="P")
    assert report.readings == 2
    assert "check the unit" in report.notes[-1]
    report, _, _ = imported(solar("kW"), case(name), knowing(P=250_000), source="P")
    assert (report.readings, [note for note in report.notes if "check" in note]) == (2, [])
    report, _, _ = imported(solar("W"), case(name), knowing(P=0), source="P")
    assert [note for note in report.notes if "check" in note] == []


def test_only_energy_of_intervals_has_a_power() -> None:
    codes = SourceCodes()
    rated = RatedPower(codes)
    reading = Parsed(1, "P", "energy.import", 0, QUARTER, 100 * QUARTER, ACTUAL, b"")

    def impossible(reading: Parsed, power_w: int) -> bool:
        return bool(rated.impossible(placed(codes, [reading]), np.array([power_w], np.uint32))[0])

    for metric, interval in (("waste.fill", 0), ("energy.import", 0)):
        other = replace(reading, metric=metric, interval_ms=interval)
        rated.add(placed(codes, [other]))
        rated.close(0)
        assert not impossible(other, 1)
    assert not impossible(reading, 0)
    rated.add(placed(codes, [reading]))
    rated.close(0)
    assert not impossible(reading, 50)
    assert impossible(reading, 49)
    assert impossible(replace(reading, source="\u00a0P "), 10)


def test_the_depth_of_a_container_is_that_of_the_register() -> None:
    registered = facts_of(knowing(**{"24e124713d012345": 2_000}), FILL)
    assert (registered("24e124713d012345", 0), registered("nobody", 0)) == (2_000, None)
    path = case("20-lora-two-depths.ndjson")
    devices = {json.loads(line)["deviceInfo"]["devEui"].lower() for line in path.read_text().splitlines()}
    first, second = sorted(devices)
    register = knowing(**{first: 2_500, second: 1_000})
    form = LoraWan(registered=facts_of(register, FILL))
    report, _, _ = imported(form, path, register)
    assert (report.readings, report.refused) == (2, {})
    assert imported(LoraWan(depths={second: 700}), path, register)[0].refused == {"no-depth": 1}
    alone = knowing(**{first: 2_500})
    mixed = LoraWan(900, registered=facts_of(alone, FILL))
    assert imported(mixed, path, alone)[0].refused == {"unknown-source": 1}
    with pytest.raises(NotSuchFile, match=r"register has a depth of 2500 mm .* and --depth-mm 700"):
        imported(LoraWan(depths={first: 700}, registered=facts_of(register, FILL)), path, register)


def test_a_source_in_two_spellings_may_not_contradict_itself() -> None:
    one = Parsed(1, "Điểm 1", "energy.import", 0, QUARTER, 5, ACTUAL, b"")
    other = replace(one, source="Đie\u0302\u0309m 1", value=6)
    codes = SourceCodes()
    rows = placed(codes, [one, other])
    assert Clashes(codes, [rows]).reasons(rows) == {0: "contradiction", 1: "contradiction"}
