"""Telegrams of a P1 port, whose checksums are those of the standard."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.files.reading import NotSuchFile
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table
from ingest.tables.telegrams import LONGEST, checksum
from tests.ingest.files.imports import parsed, reasons

WH = 3_600_000
METER = "4530303331303033"


def telegram(time: str, low: str, normal: str, *more: str) -> str:
    lines = [
        *("/ISK5\\2M550T-1012", "", "1-3:0.2.8(50)", f"0-0:1.0.0({time})", f"0-0:96.1.1({METER})"),
        *(f"1-0:1.8.1({low}*kWh)", f"1-0:1.8.2({normal}*kWh)", "1-0:2.8.1(000002.444*kWh)", "0-0:96.14.0(0002)"),
        *("1-0:99.97.0(1)(0-0:96.7.19)(000104180320W)(0000237126*s)", "0-1:24.2.1(260701110000S)(00981.443*m3)"),
        *more,
    ]
    content = "".join(line + "\r\n" for line in lines) + "!"
    return f"{content}{checksum(content.encode()):04X}\r\n"


QUARTERS = [
    telegram("260701120000S", "001581.100", "001435.700"),
    telegram("260701121500S", "001581.123", "001435.706"),
    telegram("260701123000S", "001581.123", "001435.956"),
]


def with_totals(time: str, total: str, *more: str) -> str:
    content = "".join(f"{line}\r\n" for line in ("/ELL5\\253833635_A", "", f"0-0:1.0.0({time})", *more))
    content += f"1-0:1.8.0({total}*kWh)\r\n1-0:2.8.0(00000000.000*kWh)\r\n1-1:31.4.0(040*A)(-040*A)\r\n!"
    return f"{content}{checksum(content.encode()):04X}\r\n"


def read(
    path: Path, text: str, profile: str = "dsmr-p1"
) -> tuple[Sequence[tuple[str | None, str, int]], dict[int, str]]:
    path.write_bytes(text.encode("latin-1"))
    table = Table(load_profile(profile), Said(), ZoneInfo("UTC"))
    found = [
        (r.source, f"{datetime.fromtimestamp(r.start_ms / 1_000, UTC):%H:%M:%S}", r.value // WH)
        for r in parsed(table, path)
    ]
    return found, dict(reasons(table, path))


def test_the_checksum_is_the_one_that_the_standard_names() -> None:
    assert checksum(b"123456789") == 0xBB3D  # the check value of CRC-16/ARC


def test_the_energy_between_two_telegrams_is_that_of_both_tariffs(tmp_path: Path) -> None:
    found, refused = read(tmp_path / "p1.txt", "".join(QUARTERS))
    assert (found, refused) == ([(METER, "10:00:00", 29), (METER, "10:15:00", 250)], {})


def test_the_marks_of_summer_and_winter_time_tell_the_repeated_hour(tmp_path: Path) -> None:
    times = ["261025023000S", "261025024500S", "261025020000W", "261025021500W"]
    text = "".join(telegram(time, f"00000{number}.000", "000000.000") for number, time in enumerate(times, 1))
    found, refused = read(tmp_path / "p1.txt", text)
    assert ([begin for _, begin, _ in found], refused) == (["00:30:00", "00:45:00", "01:00:00"], {})


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_telegram_that_is_cut_or_spoiled_is_refused_and_the_others_are_read(tmp_path: Path, ends: str) -> None:
    spoiled = QUARTERS[1].replace("001581.123", "001581.133")
    cut = QUARTERS[1][:100]
    text = "".join([*QUARTERS[:2], spoiled, f"{cut}\r\n", QUARTERS[2]]).replace("\r\n", ends)
    found, refused = read(tmp_path / "p1.txt", text)
    lines = QUARTERS[0].count("\n")
    assert [energy for *_, energy in found] == [29, 250]
    assert refused == {2 * lines + 1: "unreadable", 3 * lines + 1: "unreadable"}


def test_an_old_telegram_without_a_checksum_is_read_and_one_without_a_time_is_told(tmp_path: Path) -> None:
    bare = [re.sub("![0-9A-F]{4}", "!", text) for text in QUARTERS]
    assert read(tmp_path / "p1.txt", "".join(bare))[0] == read(tmp_path / "p1.txt", "".join(QUARTERS))[0]
    with pytest.raises(NotSuchFile, match=r"none of its 3 telegrams has 0-0:1\.0\.0"):
        read(tmp_path / "p1.txt", "".join(re.sub(r"0-0:1\.0\.0.*\r\n", "", text) for text in bare))
    with pytest.raises(NotSuchFile, match="no telegram"):
        read(tmp_path / "p1.txt", "a,b\n1,2\n")


def test_a_reference_that_is_there_twice_and_a_telegram_without_end_are_unreadable(tmp_path: Path) -> None:
    twice = telegram("260701124500S", "001581.123", "001435.956", "1-0:1.8.1(000009.000*kWh)")
    endless = "/ISK5\r\n" + "0-0:96.13.0()\r\n" * (LONGEST // 13)
    found, refused = read(tmp_path / "p1.txt", "".join([*QUARTERS, twice, endless]))
    assert len(found) == 2
    assert "unreadable" in refused.values()


def test_a_meter_of_luxembourg_has_totals_and_another_reference_for_its_number(tmp_path: Path) -> None:
    """As published ones (DSMR-reader's tests; dsmr_parser's descriptions of Luxembourg)."""
    text = "".join(
        with_totals(f"260701{clock}00S", f"{total}", "1-3:0.2.8(42)", f"0-0:42.0.0({METER})")
        for clock, total in (("1200", "000273.764"), ("1215", "000274.000"))
    )
    assert read(tmp_path / "p1.txt", text, "p1-luxembourg") == ([(METER, "10:00:00", 236)], {})


def test_a_meter_of_sweden_has_winter_time_in_summer(tmp_path: Path) -> None:
    """As published ones (esphome-p1reader); Sweden's rules for meters have no summer time (EIFS 2016:2)."""
    text = with_totals("260828120000W", "00000119.841") + with_totals("260828121500W", "00000119.941")
    assert read(tmp_path / "p1.txt", text, "p1-sweden") == ([(None, "11:00:00", 100)], {})


def test_the_mark_says_the_time_and_not_the_date(tmp_path: Path) -> None:
    text = telegram("260701120000W", "000001.000", "0.000") + telegram("260701121500W", "000001.010", "0.000")
    assert read(tmp_path / "p1.txt", text) == ([(METER, "11:00:00", 10)], {})
