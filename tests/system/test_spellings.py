"""Six premises in many spellings, from a register and a file of weighings to cells, as an operator imports them."""

import unicodedata
from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.system.command import Command
from tests.system.streams import city_file

pytestmark = pytest.mark.services

SPELLED: Sequence[Callable[[str], str]] = (
    str,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f"{text} ",
    lambda text: text.replace("1", "۱"),
)
"""Ways to spell the name of a street, and the numbers of a wheel."""


def test_six_premises_are_six_contributors_from_the_file_to_the_cell(kafka, database_url, city, tmp_path):
    command = Command(city_file(tmp_path, city), kafka, database_url, tmp_path)
    register, weighings = tmp_path / "register.csv", tmp_path / "weighings.csv"
    lines = ["source;metric;district;contributor;class;valid_from;valid_to"]
    weighed = ["ID,Dumpster,Month,Year,Date,Weight"]
    for street in range(1, 7):
        for way, spell in enumerate(SPELLED):
            contributor, source = spell(f"Phường {street}"), f"Bánh {10 * street + way}"
            lines.append(f"{source};waste.collected;a;{contributor};residual;1.1.2020;")
            weighed.append(f"{spell(source)},{10 * street + way},November,2026,11/20/2026,1")
    register.write_text("\n".join(lines), encoding="utf-16")
    weighings.write_text("\n".join(weighed) + "\n", encoding="utf-8")
    assert "; 6 new contributors" in command("register", "load", str(register))
    assert "0 groups" in command("register", "spellings")
    assert "0 contributors and 0 sources are one each; 0 rows changed" in command("register", "unify", "--nearly")
    lines[1:] = [lines[1].replace("Bánh 10", "Bánh 9").replace("Phường", "PHƯỜNG")]
    register.write_text("\n".join(lines), encoding="utf-8")
    said = command.fails("register", "load", str(register))
    assert said.startswith("sistercity: line 2, column contributor: differs in case, width")
    assert "PHƯỜNG" not in said
    for name in ("first", "again"):
        sent = command("ingest", "trash-wheel", str(weighings), "--name", name)
        assert "24 of 24 lines sent" in sent
        command("process", "--history", name, "--until-caught-up")
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT contributors, readings FROM cells ORDER BY topic").fetchall()
    assert found == [(6, 24), (6, 24)]
