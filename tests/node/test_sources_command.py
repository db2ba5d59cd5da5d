"""`sistercity sources`: without a node."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingest.tables.profile_file import shipped_profiles
from node.cli import app, main
from tests.ingest.tables.loads import LOADS


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["sources", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_shows_what_would_be_sent_and_why_each_line_would_not(tmp_path: Path) -> None:
    table, profile = tmp_path / "loads.csv", tmp_path / "loads.toml"
    profile.write_text(LOADS)
    lines = ["A,2026-07-01 10:00,1.5", "B,2026-07-01 11:00,2", "A,2026-07-02 10:00,many", "A,2026-07-01 10:00,3"]
    table.write_text("lorry,time,kg\n" + "".join(line + "\n" for line in lines) + "B,2026-07-01 12:00,100001\n")
    said = run("try", str(table), "--profile", str(profile))
    assert said.splitlines()[0] == "1 of 5 lines would be sent; refused: 1 number, 1 out-of-range, 2 contradiction"
    assert "       3  B       2026-07-01 11:00:00        0  2.000 kg  measured" in said
    assert "B       waste.collected         1  2.000 kg  2026-07-01 11:00:00  2026-07-01 11:00:00" in said
    assert "       4  number         A,2026-07-02 10:00,many" in said
    assert "number: the value is no number: see the line" in said


def test_a_file_without_a_profile_gets_a_proposal(tmp_path: Path) -> None:
    table = tmp_path / "plant.csv"
    table.write_text("measured_on,ac_power\n" + "".join(f"2026-07-01 10:{n:02}:00+00:00,{n}.5\n" for n in range(9)))
    said = run("try", str(table))
    assert f"sistercity sources try {table} --profile solar" in said
    assert 'formats = "%Y-%m-%d %H:%M:%S%z"' in said
    assert "to be decided: [value] unit" in said


def test_the_profiles_of_the_package_are_listed() -> None:
    assert [line.split()[0] for line in run("profiles").splitlines()] == list(shipped_profiles())


def test_a_wrong_profile_is_one_sentence(tmp_path: Path, monkeypatch, capsys) -> None:
    profile = tmp_path / "loads.toml"
    profile.write_text(LOADS.replace("%H:%M", "%X"))
    monkeypatch.setattr("sys.argv", ["sistercity", "sources", "try", str(profile), "--profile", str(profile)])
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 1
    assert "has %X; it may have %Y" in capsys.readouterr().err


def test_what_a_listed_source_would_send_is_asked_by_its_name(tmp_path: Path, monkeypatch, capsys) -> None:
    sources = tmp_path / "sources.toml"
    sources.write_text('[[folder]]\nname = "drop"\npath = "."\nprofile = "fluvius"\n')
    given = {
        ("--sources", str(sources)): "give --profile, or --device, or --sources with --name",
        ("--sources", str(sources), "--name", "drop", "--profile", "fluvius"): "give --profile, or --device",
        ("--sources", str(sources), "--name", "other"): "--name other: the list has drop",
    }
    for words, said in given.items():
        monkeypatch.setattr("sys.argv", ["sistercity", "sources", "try", str(sources), *words])
        with pytest.raises(SystemExit):
            main()
        assert said in capsys.readouterr().err
