"""`sistercity standing`: what is open, and why."""

import csv
import io
from pathlib import Path

import pytest

from store.database import connect
from store.publications import Window
from store.standing import DecidedCell, Decision, close, record
from tests.federation.city import HOUR, IMPORT, T0, found_areas
from tests.system.command import Command
from tests.system.streams import city_file


@pytest.mark.services
def test_it_says_what_is_open_from_what_it_was_decided_and_what_has_closed(
    database_url: str, city: str, tmp_path: Path
) -> None:
    june = Window(T0, T0 + 720 * HOUR)
    with connect(database_url) as connection:
        first, second = found_areas(connection, [1000, 2000])
        cells = (
            DecidedCell(first, "commercial", True, 2229, 2232, None),
            DecidedCell(first, "residential", True, 2232, 2232, None),
            DecidedCell(second, "commercial", False, 900, 2232, None),
        )
        times = {"commercial": frozenset({0, *range(6, 24)}), "residential": frozenset(range(24))}
        record(connection, Decision(IMPORT.name, T0, june, "measurement", june, 2232, times, cells))
        close(connection, IMPORT.name, first, "commercial", Window(T0 + HOUR, T0 + 2 * HOUR))
    command = Command(city_file(tmp_path, city), "nowhere:1", database_url, tmp_path)
    said = command("standing", "--at", "2025-06-15")
    assert "energy.import: 2025-06-01T00:00:00+00:00 to 2025-07-01T00:00:00+00:00" in said
    assert "decided from 2232 measured windows by" in said
    assert "commercial     0 of 2 cells open at 0, 6-23; 1 closed since they failed their rule" in said
    assert "residential    1 of 1 cells open at 0-23; 0 closed since they failed their rule" in said
    assert "energy.solar: nothing decided yet" in said
    rows = list(csv.DictReader(io.StringIO(command("standing", "energy.import", "--at", "2025-06-15"))))
    assert [(row["area_name"], row["class"], row["open"], row["passed"]) for row in rows] == [
        ("Area 0", "commercial", "False", "2229"),
        ("Area 0", "residential", "True", "2232"),
        ("Area 1", "commercial", "False", "900"),
    ]
    assert [row["closed_in_window"] for row in rows] == ["2025-06-01T01:00:00+00:00", "", ""]
    assert "nothing was decided for energy.solar" in command.fails("standing", "energy.solar")
