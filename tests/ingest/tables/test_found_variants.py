"""Forms of the profiles' files that other projects' importers and tests show, with figures of ours.

Each says where it was found. The sources were looked at in public repositories.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.files.reading import NotSuchFile
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table
from tests.ingest.files.imports import parsed, reasons
from tests.ingest.tables.samples import CLOCKS, ENEDIS, FLUVIUS

WH = 3_600_000
HALVES = ",".join(["0.5"] * 48)

Read = Callable[[str, str], tuple[Sequence[tuple[str | None, str, int, int]], Mapping[int, str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Profile and text -> (source, beginning in UTC, Wh, quality) of each reading, and what is refused."""

    def read(name: str, text: str) -> tuple[Sequence[tuple[str | None, str, int, int]], Mapping[int, str]]:
        path = tmp_path / "export.csv"
        path.write_text(text, newline="")
        table = Table(load_profile(name), Said(), ZoneInfo("UTC"))
        found = [
            (r.source, f"{datetime.fromtimestamp(r.start_ms / 1_000, UTC):%Y-%m-%d %H:%M}", r.value // WH, r.quality)
            for r in parsed(table, path)
        ]
        return found, reasons(table, path)

    return read


def nem12(*lines: str) -> str:
    return "".join(f"{line}\n" for line in ("100,NEM12,202607020900,MDP1,RETAILER", *lines, "900"))


def test_nem12_padded_with_commas_to_one_width(read: Read) -> None:
    """As Western Power's (nem-reader, examples)."""
    width = ",".join(["300", "20260701", HALVES, "A", "", "", "202607021114"])
    text = nem12("200,9999999999,B1E1K1Q1,1,E1,,999999999,KWH,30" + "," * 45, width)
    found, refused = read("nem12", text.replace("900\n", "900" + "," * 53 + "\n"))
    assert (len(found), found[0], refused) == (48, ("9999999999/E1", "2026-06-30 14:00", 500, 1), {})


def test_nem12_without_a_digit_before_the_point(read: Read) -> None:
    """As five-minute files have it (nem-reader, examples)."""
    day = ",".join(["300", "20260701", *[".005"] * 287, "1.5", "A", "", "", "20260702143218", ""])
    found, refused = read("nem12", nem12("200,NMI1234567,B1E1,E1,E1,E1,SERNO1234,kWh,5,", day))
    assert (len(found), sum(energy for _, _, energy, _ in found), refused) == (288, 287 * 5 + 1_500, {})


def test_nem12_of_several_files_joined_with_blank_lines_between(read: Read) -> None:
    """As Powercor's (nem-reader, examples)."""
    day = "200,VABD000163,E1Q1,1,E1,N1,METSER123,KWH,30,\n300,2026070{},{},A,\n"
    text = "\n" + day.format(1, HALVES) + "900\n\n" + day.format(2, HALVES) + "900"
    found, refused = read("nem12", text)
    assert (len(found), refused) == (96, {})


@pytest.mark.parametrize("values", [24, 96])
def test_nem12_whose_day_has_other_intervals_than_its_head_says_gives_nothing(read: Read, values: int) -> None:
    """As files that nem-reader calls invalid."""
    day = ",".join(["300", "20260701", *["0.5"] * values, "A", "", "", "", ""])
    found, refused = read("nem12", nem12("200,123,E1B1B2,,E1,,,kWh,30,", day))
    assert (found, len(refused)) == ([], 48)


def test_an_octopus_file_of_the_older_form_with_zeros_of_many_places(read: Read) -> None:
    text = (
        "Consumption (kWh), Start, End\r\n"
        " 0.093, 2025-10-26T00:30:00+01:00, 2025-10-26T01:00:00+01:00\r\n"
        " 0.120, 2025-10-26T01:00:00Z, 2025-10-26T01:30:00Z\r\n"
        " 0E-20, 2025-10-26T01:30:00Z, 2025-10-26T02:00:00Z\r\n"
    )
    found, refused = read("octopus", text)
    assert ([energy for _, _, energy, _ in found], refused) == ([93, 120, 0], {})


UNACCENTED = str.maketrans("éÉ", "eE")


def test_enedis_without_accents_in_its_header_and_with_offsets_in_its_times(read: Read) -> None:
    head, first, second, *_ = ENEDIS.split("\n")
    times = [line.replace("2025-03-13 0", "2025-03-13T0").replace(":00;", ":00+01:00;") for line in (first, second)]
    text = "\n".join(
        [head.translate(UNACCENTED), *(time.replace("T00:00:00+01:00", " 00:00:00") for time in times), ""]
    )
    assert read("enedis-load-curve", text) == read("enedis-load-curve", f"{head}\n{first}\n{second}\n")


def test_enedis_repeated_hour_is_read_by_offsets(read: Read) -> None:
    line = "12345678901234;2025-10-26;2025-10-27;PA;CONS;BRUT;W;2025-10-26T02:30:00{};100;B;PT30M;0;0\n"
    found, refused = read(
        "enedis-load-curve", ENEDIS.split("\n")[0] + "\n" + line.format("+01:00") + line.format("+02:00")
    )
    assert ([begin for _, begin, _, _ in found], refused) == (["2025-10-26 00:00", "2025-10-26 01:00"][::-1], {})


@pytest.mark.parametrize(("nature", "quality"), [("B", 1), ("D", 0), ("T", 0), ("F", 0), ("G", 0)])
def test_enedis_natures_of_a_point(read: Read, nature: str, quality: int) -> None:
    """As the list of them in Enedis' guide of the load curves that it sends, which several importers repeat."""
    head, first, *_ = ENEDIS.split("\n")
    found, _ = read("enedis-load-curve", f"{head}\n{first.replace(';B;', f';{nature};')}\n")
    assert [mark for *_, mark in found] == [quality]


def test_enedis_from_the_customers_page(read: Read) -> None:
    """A line of what it is, then times and watts: times end their intervals."""
    text = (
        "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Unite\n"
        "12345678901234;Courbe de charge;2026-01-05;2026-01-06;Energie active;Consommation;W\n"
        "Horodate;Valeur\n2026-01-05T00:30:00+01:00;1200\n2026-01-05T01:00:00+01:00;\n2026-01-05T01:30:00+01:00;800\n"
        "2026-01-05T02:00:00+01:00;600\n"
    )
    found, refused = read("enedis-customer-page", text)
    assert ([(begin, energy) for _, begin, energy, _ in found], refused) == (
        [("2026-01-04 23:00", 600), ("2026-01-05 00:00", 400), ("2026-01-05 00:30", 300)],
        {5: "missing"},
    )


def test_fluvius_of_a_metered_building_and_of_a_quarter_without_use(read: Read) -> None:
    head, *_ = FLUVIUS.split("\n")
    text = (
        f"{head}\n"
        "19-12-2022;00:00:00;19-12-2022;00:15:00;=5414;;AMR-meter;Afname Actief;3,179;kWh;Gevalideerd;Bureau\n"
        "19-12-2022;00:00:00;19-12-2022;00:15:00;=5414;;AMR-meter;Afname Inductief;1,1;kVArh;Gevalideerd;Bureau\n"
        '19-12-2022;00:15:00;19-12-2022;00:30:00;="5414";1;Digitale meter;Afname Nacht;0,000;kWh;Geen verbruik;\n'
    )
    found, refused = read("fluvius", text)
    assert ([energy for _, _, energy, _ in found], refused) == ([3_179, 0], {3: "unit"})


def test_elhub_of_an_older_export_without_quality(read: Read) -> None:
    lines = [f'01.01.2026 {hour:02}:00,01.01.2026 {hour + 1:02}:00,"1,5"\n' for hour in range(3)]
    found, refused = read("elhub-without-quality", "Fra,Til,KWH 60 Forbruk\n" + "".join(lines))
    assert ([begin for _, begin, _, _ in found], refused) == (
        ["2025-12-31 23:00", "2026-01-01 00:00", "2026-01-01 01:00"],
        {},
    )
    with pytest.raises(NotSuchFile, match="Kvalitet"):
        read("elhub", "Fra,Til,KWH 60 Forbruk\n" + "".join(lines))


def test_elhub_with_offsets_in_its_times(read: Read) -> None:
    hours = [f"2026-04-01T0{hour}:00:00+02:00" for hour in range(4)]
    text = "".join(f'{begin},{end},"1,5",Målt\n' for begin, end in pairwise(hours))
    found, refused = read("elhub", "Fra,Til,KWH 60 Forbruk,Kvalitet\n" + text)
    assert ([begin[-5:] for _, begin, _, _ in found], refused) == (["22:00", "23:00", "00:00"], {})


def test_enphase_with_offsets_and_with_the_other_columns(read: Read) -> None:
    head = "Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Exported to Grid (Wh),Imported from Grid (Wh)\n"
    lines = [f"2016-07-29 00:{minute}:00 -0500,12,50,0,50\n" for minute in (15, 30, 45)]
    found, refused = read("enphase-month-first", head + "".join(lines))
    assert (found[0][1], len(found), refused) == ("2016-07-29 05:15", 3, {})


@pytest.mark.parametrize(
    ("name", "head"), [("enphase", "Date/Time,Energy Produced (Wh)"), ("solaredge", "Time,System Production (W)")]
)
def test_the_day_comes_first_where_the_account_is_not_american(read: Read, name: str, head: str) -> None:
    text = head + "\n" + "".join(f"03/07/2026 12:{minute},9\n" for minute in ("00", "15", "30"))
    assert read(f"{name}-day-first", text)[0][0][1] == "2026-07-03 12:00"
    assert read(f"{name}-month-first", text)[0][0][1] == "2026-03-07 12:00"
    with pytest.raises(NotSuchFile, match="another order"):
        read(f"{name}-day-first", text.replace("03/07", "07/23"))


def test_sbfspot_writes_as_sunny_explorer_does_with_other_dates(read: Read) -> None:
    head = "sep=;\nVersion CSV1|Tool SBFspot3\n\n;SN: 1;SN: 1\n;SB;SB\n;1;1\n;Total yield;Power\n;Counter;Analog\n"
    lines = [f"28/06/2026 12:{minute}:00;1,0;2,4\n" for minute in ("00", "05", "10")]
    found, refused = read("sma-sbfspot", head + "dd/MM/yyyy HH:mm:ss;kWh;kW\n" + "".join(lines))
    assert ([energy for _, _, energy, _ in found], refused) == ([200, 200, 200], {})


def test_half_hours_with_months_by_name(read: Read) -> None:
    found, _ = read("half-hours-by-day", f"MPAN,Date,{','.join(CLOCKS)}\n1012345678901,30-Jun-2026,{HALVES}\n")
    assert (len(found), found[0][1]) == (48, "2026-06-29 23:00")


def test_half_hours_with_numbers(read: Read) -> None:
    """As several portals of British suppliers have them (Energy Sparks, configurations of its imports)."""
    names = [f"HH{number}" for number in range(1, 49)]
    found, refused = read(
        "half-hours-by-day-numbered", f"MPAN,Date,{','.join(names)}\n1012345678901,2026-06-30,{HALVES}\n"
    )
    assert (len(found), found[0][1], found[-1][1], refused) == (48, "2026-06-29 23:00", "2026-06-30 22:30", {})
    with pytest.raises(NotSuchFile, match="HH"):
        read(
            "half-hours-by-day-numbered", f"MPAN,Date,{','.join(names[:9] + names[10:])}\n1,2026-06-30,{HALVES[:-4]}\n"
        )


def test_pvdaq_without_offsets(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "pvdaq.csv"
    path.write_text("measured_on,ac_power__315\n" + "".join(f"2011-07-01 10:{m}:00,1.5\n" for m in ("00", "15", "30")))
    table = Table(load_profile("pvdaq"), Said(zone="America/Denver", unit="kW"), ZoneInfo("UTC"))
    assert [
        f"{datetime.fromtimestamp(r.start_ms / 1_000, UTC):%H:%M} {r.value // WH}" for r in parsed(table, path)
    ] == [
        "16:00 375",
        "16:15 375",
        "16:30 375",
    ]


def test_a_file_whose_times_are_of_another_form_is_told_so(read: Read) -> None:
    with pytest.raises(NotSuchFile, match=r"2026\.07\.01 12:00 is no time of the form"):
        read("solaredge-month-first", "Time,System Production (W)\n2026.07.01 12:00,9\n2026.07.01 12:15,9\n")


def test_austin_as_the_csv_of_socrata_s_api_names_its_columns(read: Read) -> None:
    """`resource/....csv` has field names where `rows.csv` has titles (Socrata's documentation of its CSV)."""
    text = (
        "load_id,report_date,load_type,load_time,load_weight,dropoff_site,route_type,route_number\n"
        '"538699","2025-12-08T00:00:00.000","RECYCLING","2025-12-08T15:02:00.000","1000","MRF","RECYCLING","RW04"\n'
    )
    found, refused = read("austin-loads", text)
    assert [(source, begin) for source, begin, *_ in found] == [("RW04/RECYCLING", "2025-12-08 21:02")]
    assert refused == {}


def test_low_carbon_london_in_blocks(read: Read) -> None:
    """As Kaggle has the data set (several repositories' loaders)."""
    text = (
        "LCLid,tstp,energy(kWh/hh)\n"
        "MAC000002,2012-10-12 00:30:00.0000000, 0.125 \n"
        "MAC000002,2012-12-18 15:13:43.0000000,Null\n"
    )
    found, refused = read("low-carbon-london-blocks", text)
    assert found == [("MAC000002", "2012-10-12 00:30", 125, 1)]
    assert list(refused) == [3]


def test_sunny_explorer_with_decimal_points(read: Read) -> None:
    """As scripts that send its exports to PVOutput expect them: the form of the dates is the same."""
    head = "\n" * 7 + ";Counter;Analog\ndd.MM.yyyy HH:mm:ss;kWh;kW\n"
    lines = [f"28.06.2026 12:{minute:02}:00;70860.938;2.400\n" for minute in (0, 5, 10)]
    found, refused = read("sma-sunny-explorer-point", head + "".join(lines))
    assert ([energy for _, _, energy, _ in found], refused) == ([200] * 3, {})
