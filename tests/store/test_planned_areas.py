"""What release 0.1.0 drew for the next quarter without a look at the pieces does not begin after an upgrade."""

import time
from collections.abc import Iterator

import pytest

from store.areas import Area, create_version, versions
from store.database import Connection, connect
from store.migrations.versions.v0023_planned_areas import TAKE_BACK
from tests.store.registers import RegisterRow, load

pytestmark = pytest.mark.services

DAY = 86_400_000
NOW = round(time.time() * 1000)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def drawn(connection: Connection, metric: str, begins: int, *districts: str) -> int:
    return create_version(connection, metric, begins, [Area(district, (district,), 10) for district in districts])


def source(line: int, metric: str, district: str) -> RegisterRow:
    return RegisterRow(line, f"meter {line}", metric, district, f"customer {line}", "residential", NOW - DAY, None)


def test_areas_that_have_not_begun_are_taken_back_unless_sources_need_them(connection: Connection) -> None:
    load(connection, [source(2, "energy.import", "a"), source(3, "energy.solar", "c"), source(4, "waste.fill", "a")])
    begun = drawn(connection, "energy.import", NOW - DAY, "a", "b")
    drawn(connection, "energy.import", NOW + DAY, "a", "b")
    needed = [drawn(connection, "energy.solar", NOW - DAY, "a"), drawn(connection, "energy.solar", NOW + DAY, "a", "c")]
    only = drawn(connection, "waste.fill", NOW + DAY, "a")
    with connection.transaction():
        connection.execute(TAKE_BACK)
    for metric, expected in (("energy.import", [begun]), ("energy.solar", needed), ("waste.fill", [only])):
        assert [version.version for version in versions(connection, metric)] == expected
