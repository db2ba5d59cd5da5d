"""`sistercity areas` on a real database: what is shown, and what is refused in words."""

from datetime import datetime

import pytest

from store.areas import versions
from store.database import connect
from tests.system.command import Command
from tests.system.streams import city_file

pytestmark = pytest.mark.services


def test_areas_are_shown_and_drawn_anew_by_command(kafka, database_url, city, tmp_path):
    command = Command(city_file(tmp_path, city), kafka, database_url, tmp_path)
    assert "has no areas" in command.outcome("areas", "show", "energy.import").stderr
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        + "".join(f"meter-{n},energy.import,a,customer-{n},residential,2006-01-01,\n" for n in range(99))
    )
    command("register", "load", str(register))
    shown = command("areas", "show", "energy.import")
    assert "residential 99 of 100 at least" in shown
    assert "meter-" not in shown
    assert "would be the same as now" in command.outcome("areas", "redraw", "energy.import").stderr
    assert "has the areas of traffic.regions" in command.outcome("areas", "redraw", "traffic.passes").stderr
    assert "areas from" in command("areas", "redraw", "energy.import", "--people", "500")
    with connect(database_url) as connection:
        now, following = versions(connection, "energy.import")
    assert now.valid_from_ms < datetime.now().timestamp() * 1000 < following.valid_from_ms
    assert sum(area.population for area in following.areas.values()) == 500
