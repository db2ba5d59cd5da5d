from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.codecs.device import DeviceError
from ingest.live.sources_file import DeviceContent, SourcesFileError, TableContent, form_of, load_sources

SOUND = """
[[folder]]
name = "head-end"
path = "drop"
profile = "fluvius"
settle_s = 30
pattern = "*.csv"

[[folder]]
name = "roof"
path = "roof"
profile = "solar"
source = "roof-1"
unit = "kW"
"""


@pytest.fixture
def file(tmp_path: Path):
    (tmp_path / "drop").mkdir()
    (tmp_path / "roof").mkdir()

    def write(text: str) -> Path:
        path = tmp_path / "sources.toml"
        path.write_text(text)
        return path

    return write


def test_a_sound_list_is_read(file, tmp_path: Path) -> None:
    first, second = load_sources(file(SOUND))
    assert isinstance(first.content, TableContent) and isinstance(second.content, TableContent)
    assert (first.name, first.path, first.settle_ms, first.content.source) == (
        "head-end",
        tmp_path / "drop",
        30_000,
        None,
    )
    assert (second.content.source, second.content.said.unit, second.pattern, second.settle_ms) == (
        "roof-1",
        "kW",
        "*",
        10_000,
    )


def test_a_source_of_devices_is_read(file) -> None:
    first, _ = load_sources(file(SOUND.replace('profile = "fluvius"', 'devices = ["milesight-udl", "elsys"]')))
    assert isinstance(first.content, DeviceContent)
    assert [device.name for device in first.content.devices] == ["milesight-udl", "elsys"]
    assert form_of(first.content, ZoneInfo("UTC"), lambda source, time_ms: 0).dataset == "waste.fill-levels"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[[folder]]", "[folder]", "must be a list of tables|is not TOML"),
        ("[[folder]]", "[[mqtt]]", "the list has the unknown key mqtt; it may have folder"),
        ("settle_s", "settle", "number 1 has the unknown key settle; it may have"),
        ('"head-end"', '"Head End"', "it must be of small letters"),
        ('"head-end"', '"roof"', "two sources have the name roof"),
        ('path = "drop"', 'path = "roof"', "two sources have the path"),
        ('path = "drop"', 'path = "gone"', "there is no such folder"),
        ('source = "roof-1"', "", "number 2 needs source: its profile names none"),
        ("settle_s = 30", 'source = "x"', "has source, but its profile names it"),
        ("settle_s = 30", 'devices = "elsys"', "has devices, and profile, which is for tables"),
        ('profile = "fluvius"', 'devices = ["elsys", "cayenne-lpp-energy"]', "must be of one dataset"),
        ('profile = "fluvius"', 'devices = "ELSYS"', "no such device is shipped"),
        ("settle_s = 30", 'zone = "Mars"', 'it must be a zone such as "Europe/Oslo"'),
        ("settle_s = 30", "settle_s = 0", "it must be a whole number from 1 to 86400"),
    ],
)
def test_what_is_wrong_is_named(file, old: str, new: str, words: str) -> None:
    with pytest.raises((SourcesFileError, DeviceError), match=words):
        load_sources(file(SOUND.replace(old, new)))
