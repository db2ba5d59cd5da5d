"""A known source changes only from a time on for which no process can have looked it up."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.register import Register, stored_register
from ingest.register_changes import changes_hold_from
from ingest.register_file import load_register
from schemas.catalogue import catalogue
from store.database import Connection, connect
from store.register_columns import RegisterError
from tests.ingest.clocks import clock_at
from tests.ingest.small_city import city
from tests.soak import amount, soak

pytestmark = pytest.mark.services

MINUTE = 60_000
HOUR = 60 * MINUTE
NOW = int(datetime(2025, 11, 24, 12, 3, tzinfo=UTC).timestamp() * 1000)
CORRECTIONS = amount(18, soak=60)
HOLDS_FROM = {
    "energy.import": "2025-11-24T16:00:00+03:30",
    "traffic.regions": "2025-11-24T15:45:00+03:30",
    "waste.collected": "2025-11-25T00:00:00+03:30",
    "waste.tonnage": "2025-12-01T00:00:00+03:30",
}
"""When the first window begins of which no reading can have been looked up at `NOW`, in Tehran."""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


at_now = clock_at(NOW)


def row(
    metric: str = "energy.import", source: str = "m", begins: str = "2020-01-01", ends: str = "", **changes: str
) -> dict[str, str]:
    given = {"source": source, "metric": metric, "district": "town-a", "contributor": "c"}
    given |= {"class": catalogue()[metric].classes[0], "valid_from": begins, "valid_to": ends}
    return given | {column.rstrip("_"): value for column, value in changes.items()}


def before(text: str) -> str:
    """A millisecond earlier."""
    at = datetime.fromisoformat(text).timestamp() - 0.001
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def rows_in(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT source, district, class, valid_from, valid_to FROM sources ORDER BY 1, 4"
    ).fetchall()


@pytest.mark.parametrize("metric", HOLDS_FROM)
def test_a_change_holds_from_a_window_that_has_not_begun(connection: Connection, metric: str) -> None:
    load_register(connection, city(), [row(metric)], at_now)
    loaded = rows_in(connection)
    then = HOLDS_FROM[metric]
    for begins in (before(then), "2021-01-01"):
        with pytest.raises(RegisterError) as caught:
            load_register(
                connection, city(), [row(metric, ends=begins), row(metric, begins=begins, district="town-b")], at_now
            )
        assert then in str(caught.value)
        assert str(caught.value).startswith("line 2, column valid_to: ")
        assert rows_in(connection) == loaded
    load_register(connection, city(), [row(metric, ends=then), row(metric, begins=then, district="town-b")], at_now)
    assert len(rows_in(connection)) == 2


def test_what_has_ended_is_not_reopened_and_what_lies_between_not_filled(connection: Connection) -> None:
    load_register(connection, city(), [row(ends="2025-06-01")], at_now)
    then = HOLDS_FROM["energy.import"]
    for changed, column in (
        (row(), "valid_to"),
        (row(ends="2025-07-01"), "valid_to"),
        (row(ends="2025-05-01"), "valid_to"),
        (row(begins="2025-06-01", class_="commercial"), "valid_from"),
        (row(begins="2015-01-01", ends="2020-01-01"), "valid_from"),
    ):
        with pytest.raises(RegisterError) as caught:
            load_register(connection, city(), [row(source="new"), changed], at_now)
        assert (caught.value.line, caught.value.column) == (3, column)
        assert then in str(caught.value)
    load_register(connection, city(), [row(source="new"), row(begins=then)], at_now)


def test_a_source_that_is_new_may_begin_at_any_time_with_any_history(connection: Connection) -> None:
    load_register(connection, city(), [row()], at_now)
    load_register(
        connection,
        city(),
        [
            row("energy.solar", begins="1999-01-01", ends="2004-01-01"),
            row("energy.solar", begins="2004-01-01", district="town-b"),
            row(source="other", begins="1980-01-01", ends="2025-11-24"),
        ],
        at_now,
    )
    assert len(rows_in(connection)) == 4


def test_the_clock_is_read_when_all_is_loaded_because_a_load_may_take_long(connection: Connection) -> None:
    load_register(connection, city(), [row()], at_now)
    then = HOLDS_FROM["energy.import"]
    now = NOW

    def slow() -> Iterator[dict[str, str]]:
        nonlocal now
        yield row(ends=then)
        yield row(begins=then, district="town-b")
        now += HOUR

    with pytest.raises(RegisterError, match="2025-11-24T17:00:00"):
        load_register(connection, city(), slow(), lambda: now)


@soak
def test_no_load_that_is_accepted_changes_what_an_interval_was_resolved_to(connection: Connection) -> None:
    """Each random correction is refused, or all that could be looked up until then stays, whoever looks it up."""
    chance, metric, now = random.Random(3), catalogue()["energy.import"], NOW
    load_register(connection, city(), [row(), row(source="n", ends="2025-11-25T00:00:00Z")], at_now)
    seen: dict[tuple[str, int], tuple[int, int]] = {}

    def look_up(register: Register) -> None:
        for source in "mn":
            for time_ms in range(NOW - HOUR, now + 9 * MINUTE, 15 * MINUTE):
                found = register.at(metric, time_ms).look_up([source])
                if found.known[0]:
                    number = int(found.number[0]), int(found.area[0])
                    assert seen.setdefault((source, time_ms), number) == number

    accepted = 0
    for _ in range(CORRECTIONS):
        now += chance.choice([1, 5, 30, 70]) * MINUTE
        in_memory = stored_register(connection, clock_at(now))
        look_up(in_memory)
        try:
            load_register(connection, city(), random_correction(connection, chance, now), clock_at(now))
            accepted += 1
        except RegisterError:
            pass
        look_up(in_memory)
        look_up(stored_register(connection, clock_at(now)))
    assert CORRECTIONS // 6 < accepted < CORRECTIONS - CORRECTIONS // 6
    assert len(set(seen.values())) > CORRECTIONS // 6


def random_correction(connection: Connection, chance: random.Random, now: int) -> list[dict[str, str]]:
    """The end of a source's last row is moved, and another row begins there: at the time that is allowed, or around."""
    source = chance.choice("mn")
    last = "SELECT valid_from, district FROM sources WHERE source = %s ORDER BY valid_from DESC LIMIT 1"
    ((begins, district),) = connection.execute(last, (source,)).fetchall()
    at = changes_hold_from(catalogue()["energy.import"], now, "Asia/Tehran") + chance.choice([-2, -1, 0, 0, 1]) * HOUR
    when = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    ended = row(source=source, begins=begins.isoformat(), ends=when, district=district)
    new = row(source=source, begins=when, district=f"town-{chance.choice('abcdef')}")
    return chance.choice([[ended], [ended, new], [ended, new], [new]])
