from pathlib import Path

import pytest

from ingest.files.reading import NotSuchFile
from ingest.tables.profile import Said
from ingest.tables.profile_file import ProfileError, parse_profile
from ingest.tables.proposing import ProfileProposal, proposed
from ingest.tables.table import Table
from tests.ingest.files.imports import parsed
from tests.ingest.tables.test_shipped import SAMPLES
from tests.ingest.tables.test_telegrams import QUARTERS, with_totals


def propose(path: Path, text: str, encoding: str = "utf-8") -> ProfileProposal:
    path.write_bytes(text.encode(encoding))
    return proposed(path)


def table(*lines: str) -> str:
    return "".join(line + "\n" for line in lines)


CERTAIN = table(
    "meter;begins;weight kg",
    *(f"m{n % 2};2026-07-{n:02}T10:00:00+02:00;{n},{n:02}" for n in range(1, 20)),
)


def test_a_proposal_without_questions_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "loads.csv"
    proposal = propose(path, CERTAIN.replace("meter", "lorry"))
    assert proposal.questions == []
    form = Table(parse_profile(proposal.text, "loads", "loads.toml"), Said(), None)
    found = parsed(form, path)
    assert [(r.source, r.value) for r in found][:2] == [("m1", 1_010), ("m0", 2_020)]
    assert len(found) == 19


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (";2026-07-", ";", "to be a date"),
        ("+02:00", "", "zone: the file does not say it"),
        ("weight kg", "weight", "unit: the names of the columns do not say it"),
        ("weight kg", "energy kWh", "metric: energy.import or energy.solar"),
        ("m", "µ", "encoding: it is not UTF-8"),
    ],
)
def test_what_the_file_leaves_open_is_asked_and_not_chosen(tmp_path: Path, old: str, new: str, words: str) -> None:
    encoding = "windows-1252" if new == "µ" else "utf-8"
    text = CERTAIN.replace(old, new)
    if words == "to be a date":
        text = table("meter;begins;weight kg", *(f"m{n % 2};{n:02}/07/2026 10:00;{n},{n:02}5" for n in range(1, 13)))
        words = "formats: %d/%m/%Y %H:%M or %m/%d/%Y %H:%M"
    proposal = propose(tmp_path / "loads.csv", text, encoding)
    assert any(words in question for question in proposal.questions)
    if new != "µ":
        with pytest.raises(ProfileError):
            parse_profile(proposal.text, "loads", "loads.toml")


def test_a_day_beyond_the_twelfth_tells_the_order_of_day_and_month(tmp_path: Path) -> None:
    for order in ("{n:02}/07/2026", "07/{n:02}/2026"):
        text = table("meter;begins;kg", *(f"m{n % 2};{order.format(n=n)} 10:00;{n}" for n in range(1, 20)))
        wanted = "%d/%m/%Y %H:%M" if order.startswith("{") else "%m/%d/%Y %H:%M"
        assert f'formats = "{wanted}"' in propose(tmp_path / "loads.csv", text).text


def test_numbers_that_may_be_thousands_are_asked_for(tmp_path: Path) -> None:
    text = table("day;clock;kg", *(f"2026-07-{n:02};10:00;{n}.500" for n in range(1, 20)))
    proposal = propose(tmp_path / "loads.csv", text)
    assert any("thousands or decimals (1.500)" in question for question in proposal.questions)
    assert 'columns = ["day", "clock"]' in proposal.text
    with pytest.raises(ProfileError, match="decimal"):
        parse_profile(proposal.text.replace("# zone", "zone"), "loads", "loads.toml")


def test_profiles_of_the_package_that_fit_are_named(tmp_path: Path) -> None:
    text = table("measured_on,ac_power_kw", *(f"2026-07-01 10:{n:02}:00+00:00,{n}.5" for n in range(10)))
    assert propose(tmp_path / "plant.csv", text).fitting == ["pvdaq", "solar"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"one\ntwo\nthree\n", b"a;b\n", bytes(2_000), b"\xff\xfe\x00"),
        *(b"a;b\r1;2\r3;4\r", b"a,b\n1,\r2\n3,4\n", b"a;b\n" + b"1" * 140_000 + b";2\n"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rubbish"
    path.write_bytes(content)
    with pytest.raises(NotSuchFile, match="rubbish"):
        proposed(path)


@pytest.mark.parametrize(("name", "text"), [(name, SAMPLES[name].text) for name in SAMPLES])
def test_a_sample_of_each_profile_is_known_as_its_own(tmp_path: Path, name: str, text: str) -> None:
    assert name in propose(tmp_path / "export", text).fitting


def test_a_telegram_is_known_by_its_registers(tmp_path: Path) -> None:
    assert propose(tmp_path / "p1.txt", "".join(QUARTERS)).fitting == ["dsmr-p1"]
    assert propose(tmp_path / "p1.txt", with_totals("260828120000W", "00000119.841")).fitting == ["p1-sweden"]
