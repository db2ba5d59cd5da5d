from pathlib import Path

import pytest

from ingest.tables.profile import RepeatedColumn
from ingest.tables.profile_file import ProfileError, load_profile, parse_profile, shipped_profiles

SOUND = """
title = "Meters"
metric = "energy.import"

[file]
delimiter = ";"
decimal = ","

[source]
text = "{meter}"

[time]
columns = ["day", "clock"]
formats = "%d.%m.%Y %H:%M"
zone = "Europe/Oslo"
repeated = "order"

[value]
column = "kwh"
unit = "kWh"

[interval]
seconds = 3600
"""


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_is_sound(name: str) -> None:
    assert load_profile(name).name == name


def test_a_profile_of_the_operator_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "meters.toml"
    path.write_text(SOUND)
    assert (load_profile(path), load_profile(str(path)).title) == (load_profile(str(path)), "Meters")
    with pytest.raises(ProfileError, match=r"gone\.toml: cannot be read"):
        load_profile(tmp_path / "gone.toml")
    with pytest.raises(ProfileError, match=r"no such profile is shipped; give .*, dsny, "):
        load_profile("nothing")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Meters"', "", "the profile needs title, a text"),
        ('title = "Meters"', 'titel = "Meters"', "the profile has the unknown key titel; it may have file, interval, "),
        ("energy.import", "energy.gas", r"metric = 'energy.gas': it must be one of energy.import, energy.solar, "),
        ("energy.import", "traffic.passes", "metric = 'traffic.passes': it must be one of"),
        ('delimiter = ";"', 'delimiter = ";;"', r"\[file\] has delimiter = ';;': it must be one sign"),
        ('delimiter = ";"', 'quote = ","', "quote = ',': it must be one sign other than the delimiter"),
        ('decimal = ","', 'decimal = "·"', r"decimal = '·': it must be one of ,, \."),
        ('decimal = ","', 'thousands = "5"', "thousands = '5': it must be one sign other than the decimal mark"),
        ('decimal = ","', 'encoding = "klingon"', "encoding = 'klingon': it must be utf-8, utf-16, or"),
        ('decimal = ","', 'encoding = "cp037"', "encoding = 'cp037': it must be utf-8, utf-16, or"),
        ('decimal = ","', 'encoding = "base64"', "encoding = 'base64': it must be utf-8, utf-16, or"),
        ('decimal = ","', 'header = "no"', "header = 'no': it must be true or false"),
        ('decimal = ","', "skip = -1", "skip = -1: it must be a whole number from 0 to 1000"),
        ('text = "{meter}"', 'text = "meter"', "text = 'meter': it must hold the names of columns in braces"),
        ('text = "{meter}"', 'text = "{meter}/{stream}"', r"\{stream\} belongs to a profile with \[streams\]"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %Q", r"has %Q; it may have %Y %y %m"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y", "each must have a time of day"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %I:%M", "needs both %I and %p, or neither"),
        ("%d.%m.%Y %H:%M", "%d.%Y %H:%M", "needs one year .* and one month"),
        ("%d.%m.%Y %H:%M", "%d.%d.%m.%Y %H:%M", "has %d twice"),
        ("%d.%m.%Y %H:%M", "%m.%Y %H:%M", "has a time of day without a day"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M%z", 'it must be "text" if all formats have %z'),
        ("Europe/Oslo", "text", 'it must be "text" if all formats have %z'),
        ("Europe/Oslo", "Europe/Trondheim", 'it must be a zone such as "Europe/Oslo"'),
        ('repeated = "order"', 'repeated = "guess"', "repeated = 'guess': it must be one of first, order, refuse"),
        (
            'repeated = "order"',
            'repeated = { column = "dst", first = "1", second = "1" }',
            "must not stand for both hours",
        ),
        ('repeated = "order"', 'marks = "middle"', "it must be one of beginning, end"),
        ('repeated = "order"', 'month = "m"', "columns of month and year belong together"),
        ('unit = "kWh"', 'unit = "m3"', "m3 is no unit of energy.import; it may be Wh, kWh"),
        ('unit = "kWh"', 'units = ["kWh", "kg"]', "kg is no unit of energy.import"),
        ('unit = "kWh"', "", "needs unit, or units to choose from, or unit_column"),
        ('column = "kwh"', "", "needs either column or begins_with"),
        ("seconds = 3600", "seconds = 7200", "it must be a whole number from 1 to 3600"),
        ("seconds = 3600", "seconds = 3600\nspacing = true", "needs one of seconds, spacing"),
        ("seconds = 3600", 'column = "length"', "say the unit of its numbers"),
        ("[interval]", "[streams]\nseconds = 1\n[interval]", r"\[streams\] has the unknown key seconds"),
        ("[interval]\nseconds = 3600", "", r"needs \[interval\]: energy.import is of intervals"),
        ('title = "Meters"', 'title = "Meters', "is not TOML"),
        ("[source]", "[[only]]\ncolumn = 'flow'\nelse = 'unit'\n[source]", "needs texts or beginnings"),
        (
            "[source]",
            "[[only]]\ncolumn = 'flow'\ntexts = 'x'\nelse = 'odd'\n[source]",
            "else = 'odd': it must be one of",
        ),
        ("[source]", "[wide]\nby_clock = true\n[source]", "each must have only a day or month"),
        ("[source]", "[records]\ndata = '300'\ncontext = '200'\n[source]", r"\[records\], which needs \[wide\]"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(old: str, new: str, words: str) -> None:
    assert old in SOUND
    with pytest.raises(ProfileError, match=words) as raised:
        parse_profile(SOUND.replace(old, new), "meters", "meters.toml")
    assert str(raised.value).startswith("meters.toml: ")


def test_columns_that_tell_the_repeated_hour_are_read() -> None:
    text = SOUND.replace('"order"', '{ column = "dst", first = ["S", "1"], second = "W" }')
    repeated = RepeatedColumn("dst", frozenset({"S", "1"}), frozenset({"W"}))
    assert parse_profile(text, "meters", "meters.toml").time.repeated == repeated
