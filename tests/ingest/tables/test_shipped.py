"""Every profile of the package on a small file of its format, beside sums by the modules `csv` and `json`."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile, shipped_profiles
from ingest.tables.table import Table
from tests.ingest.files.imports import parsed, reasons
from tests.ingest.tables.samples import (
    AUSTIN,
    AUSTIN_JSON,
    BIGBELLY,
    BY_DAY,
    CLOCKS,
    CONTAINERS,
    CONTAINERS_SIMPLE,
    DATEX_V2,
    DATEX_V3,
    DSMR,
    ELHUB,
    ELSEWHERE,
    ENEDIS,
    ENPHASE,
    FLUVIUS,
    FRONIUS,
    KWH,
    LONDON,
    LOW,
    METERS,
    NEM12,
    NORMAL,
    OCTOPUS,
    POUND,
    SMA,
    SOLAREDGE,
    Sample,
    by,
    by_day,
    by_record,
    comma,
    flows,
    nem12,
)

SAMPLES = {
    "bigbelly": Sample(
        BIGBELLY,
        lambda text: by_record(
            json.loads(text)["assets"],
            lambda bin_: (
                f"{bin_['serialNumber']}/{bin_['streamType']}",
                Fraction(bin_["latestFullness"]) * 1_000 if bin_["lastCall"] and bin_["latestFullness"] else None,
            ),
        ),
        "2025-12-05 15:39",
        2,
        {3: "missing", 4: "time"},
    ),
    "austin-loads-json": Sample(
        AUSTIN_JSON,
        lambda text: by_record(
            json.loads(text),
            lambda load: (
                f"{load['route_number']}/{load['load_type']}",
                Fraction(load["load_weight"]) * POUND
                if "load_weight" in load and "2025-11-02" not in load["load_time"]
                else None,
            ),
        ),
        "2025-12-08 15:30",
        2,
        {3: "missing", 4: "repeated-hour"},
    ),
    "datex2-v2-flow-minute": Sample(DATEX_V2, flows, "2026-08-19 08:32", 2, {2: "quality", 4: "missing"}),
    "datex2-v3-flow-minute": Sample(DATEX_V3, flows, "2026-10-01 18:55", 2),
    "ngsi-ld-waste-container": Sample(
        CONTAINERS,
        lambda text: {entity["id"]: round(entity["fillingLevel"]["value"] * 10_000) for entity in json.loads(text)[:2]},
        "2026-11-27 09:50",
        2,
        {3: "time", 4: "time"},
    ),
    "ngsi-ld-waste-container-key-values": Sample(
        CONTAINERS_SIMPLE,
        lambda text: {"urn:ngsi-ld:WasteContainer:1": round(json.loads(text)[0]["fillingLevel"] * 10_000)},
        "2026-11-27 09:58",
        1,
        {2: "missing"},
    ),
    "ngsi-ld-energy-import-temporal": Sample(
        METERS,
        lambda text: {
            entity["id"]: round((states[-1]["value"] - states[0]["value"]) * KWH)
            for entity in json.loads(text)
            if isinstance(states := entity["totalActiveEnergyImport"], list)
        },
        "2026-11-27 10:00",
        2,
    ),
    "fluvius": Sample(
        FLUVIUS,
        lambda text: by(
            text,
            ";",
            lambda row: (
                row["EAN-code"].strip('="'),
                comma(row["Volume"]) * KWH if row["Register"].startswith("Afname") and row["Volume"] else None,
            ),
        ),
        "2025-10-25 23:45",
        3,
        {4: "flow-direction", 6: "missing"},
    ),
    "enedis-load-curve": Sample(
        ENEDIS,
        lambda text: by(
            text,
            ";",
            lambda row: (
                row["Identifiant PRM"],
                Fraction(row["Valeur"]) * 1_800_000
                if (row["Grandeur physique"], row["Grandeur métier"]) == ("PA", "CONS")
                else None,
            ),
        ),
        "2025-03-12 23:00",
        2,
        {4: "flow-direction", 5: "unit"},
    ),
    "elhub": Sample(
        ELHUB, lambda text: by(text, ",", lambda row: ("", comma(row["KWH 60 Forbruk"]) * KWH)), "2025-12-31 23:00", 3
    ),
    "nem12": Sample(NEM12, nem12, "2026-06-30 14:00", 96, {8_000: "flow-direction"}),
    "octopus": Sample(
        OCTOPUS,
        lambda text: by(text, ",", lambda row: ("", Fraction(row["Consumption (kwh)"]) * KWH)),
        "2026-03-31 23:00",
        2,
    ),
    "half-hours-by-day": Sample(BY_DAY, by_day, "2026-03-29 00:00", 48 + 47 + 46, {3_048: "missing"}),
    "low-carbon-london": Sample(
        LONDON,
        lambda text: by(
            text,
            ",",
            lambda row: (
                row["LCLid"],
                None if (kwh := row["KWH/hh (per half hour) "]) == "Null" else Fraction(kwh.strip()) * KWH,
            ),
        ),
        "2012-10-12 00:30",
        2,
        {4: "missing"},
    ),
    "dsmr-reader-hours": Sample(
        DSMR,
        lambda text: by(
            text,
            ",",
            lambda row: ("", (Fraction(row[LOW]) + Fraction(row[NORMAL])) * KWH if row[LOW] and row[NORMAL] else None),
        ),
        "2026-01-02 05:00",
        2,
        {4: "missing"},
    ),
    "enphase-month-first": Sample(
        ENPHASE,
        lambda text: by(text, ",", lambda row: ("", Fraction(row["Energy Produced (Wh)"]) * KWH / 1_000)),
        "2026-07-03 12:15",
        4,
    ),
    "solaredge-month-first": Sample(
        SOLAREDGE,
        lambda text: by(
            text, ",", lambda row: ("", Fraction(watts) * 900_000 if (watts := row["System Production (W)"]) else None)
        ),
        "2026-07-03 12:00",
        2,
        {4: "missing"},
    ),
    "sma-sunny-explorer": Sample(
        SMA,
        lambda text: {
            "": sum(
                round(comma(row[2].strip()) * 300_000_000)
                for row in list(csv.reader(io.StringIO(text), delimiter=";"))[9:]
                if row[2] != "-"
            )
        },
        "2026-06-28 12:00",
        2,
        {12: "number"},
    ),
    "fronius-solarweb": Sample(
        FRONIUS,
        lambda text: by(text, ";", lambda row: ("", comma(row["PV production [Wh]"]) * KWH / 1_000)),
        "2026-07-01 12:00",
        2,
    ),
    "half-hours-by-day-ends": Sample(
        f"MPAN,Date,{','.join([*CLOCKS[1:], '24:00'])}\n1012345678901,30/06/2026,{','.join(['0.5'] * 48)}\n",
        lambda text: {"1012345678901": round(48 * Fraction("0.5") * KWH)},
        "2026-06-29 23:00",
        48,
    ),
    "austin-loads": Sample(
        AUSTIN,
        lambda text: by(
            text,
            ",",
            lambda row: (
                f"{row['Route Number']}/{row['Load Type']}",
                Fraction(row["Load Weight"]) * POUND
                if row["Load Weight"] and not row["Load Time"].startswith("11/02")
                else None,
            ),
        ),
        "2025-12-08 15:30",
        2,
        {4: "missing", 5: "repeated-hour"},
    ),
}


def test_every_profile_of_the_package_has_a_sample() -> None:
    assert {*SAMPLES, *ELSEWHERE} == set(shipped_profiles())


def read(name: str, path: Path, text: str) -> Table:
    path.write_bytes(text.encode(SAMPLES[name].encoding))
    return Table(load_profile(name), Said(), ZoneInfo("UTC"))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_the_sums_that_independent_code_finds(name: str, tmp_path: Path) -> None:
    sample, path = SAMPLES[name], tmp_path / "sample.csv"
    table = read(name, path, sample.text)
    found = parsed(table, path)
    sums: dict[str, int] = defaultdict(int)
    for reading in found:
        sums[reading.source or ""] += reading.value
    assert sums == sample.sums(sample.text)
    assert f"{datetime.fromtimestamp(min(r.start_ms for r in found) / 1_000, UTC):%Y-%m-%d %H:%M}" == sample.first
    assert (len(found), reasons(table, path)) == (sample.readings, sample.refused)


@pytest.mark.parametrize("name", SAMPLES)
def test_line_ends_of_windows_change_nothing(name: str, tmp_path: Path) -> None:
    def readings(text: str) -> Sequence[tuple[str | None, int, int, int]]:
        path = tmp_path / "sample.csv"
        return [(r.source, r.start_ms, r.value, r.quality) for r in parsed(read(name, path, text), path)]

    text = SAMPLES[name].text
    assert readings(text.replace("\n", "\r\n")) == readings(text)


def test_marks_of_quality_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    qualities = [reading.quality for reading in parsed(read("nem12", path, NEM12), path)]
    assert qualities == [1] * 48 + [1] * 40 + [0] * 8
    assert [reading.quality for reading in parsed(read("enedis-load-curve", path, ENEDIS), path)] == [1, 0]
