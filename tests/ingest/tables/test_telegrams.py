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


def read(path: Path, text: str) -> tuple[Sequence[tuple[str | None, str, int]], dict[int, str]]:
    path.write_bytes(text.encode("latin-1"))
    table = Table(load_profile("dsmr-p1"), Said(), ZoneInfo("UTC"))
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
