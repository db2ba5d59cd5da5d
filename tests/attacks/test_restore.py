"""Finding 3: a restore published a window again, with 119 of 120 customers, and the difference was one customer's hour.

The drill: an hour of publishing after a backup, a restore, publishing again.
"""

from pathlib import Path

import pytest

from federation.publications.ledger import LedgerFault
from federation.publications.resuming import resume_after_loss
from store.database import connect
from tests.federation.city import HOUR, IMPORT, T0, add_cell, found_areas, open_topic, pass_time, register
from tests.federation.restoring import CITY, at_work, backup, due_at, numbers, publish_hours_until, shown

pytestmark = pytest.mark.services

ONE_CUSTOMER = 271_828_000


@pytest.fixture
def ledger(tmp_path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def city_url(database_url) -> str:
    """A city of 200 customers in one area; in the four hours that are processed, 120 of them have used anything."""
    with connect(database_url) as connection:
        (area,) = found_areas(connection, [1000])
        register(connection, 0, "residential", 200)
        open_topic(connection)
        for hour in range(4):
            add_cell(connection, hour, area, value=120 * ONE_CUSTOMER, contributors=120, absolute=120 * ONE_CUSTOMER)
        pass_time(connection, T0 + 99 * HOUR)
    return database_url


def one_customer_less(database_url: str) -> None:
    """What is processed again after a restore lacks a customer, whose reading retention has taken."""
    with connect(database_url) as connection:
        connection.execute(
            "UPDATE cells SET value = value - %s, absolute = absolute - %s, contributors = contributors - 1",
            (ONE_CUSTOMER, ONE_CUSTOMER),
        )


def attack(before_url: str, after_url: str) -> set[int]:
    """All differences between two values that one cell was published with, before and after the restore."""
    with connect(before_url) as before, connect(after_url) as after:
        first, again = shown(before), shown(after)
    return {
        old - new
        for key, cells in first.items()
        for (_, old), (_, new) in zip(cells, again.get(key, ()), strict=False)
        if old is not None and new is not None and old != new
    }


def drill(server_url: str, city_url: str, ledger: Path, *, remembers: bool = True) -> set[int]:
    """What an attacker finds who has kept all that was published; `remembers`: the city knows what has left."""
    publish_hours_until(city_url, ledger, 0)
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 1)
        one_customer_less(restored)
        if not remembers:
            ledger.unlink()
            with connect(restored) as connection:
                connection.execute("UPDATE publication_log SET ledger = false")
        publish_hours_until(restored, ledger, 2)
        with connect(city_url) as before, connect(restored) as after:
            old, new = numbers(before), numbers(after)
        assert [entry[:2] for entry in new[: len(old)]] == [entry[:2] for entry in old]
        return attack(city_url, restored)


def test_no_window_is_published_twice_with_other_values(server_url, city_url, ledger) -> None:
    assert drill(server_url, city_url, ledger) == set()


def test_a_city_that_has_only_its_database_to_remember_by_gives_the_difference_away(
    server_url, city_url, ledger
) -> None:
    assert drill(server_url, city_url, ledger, remembers=False)


def test_with_the_ledger_lost_too_the_publisher_refuses_in_words_and_resumes_on_command(
    server_url, city_url, ledger
) -> None:
    publish_hours_until(city_url, ledger, 0)
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 1)
        ledger.unlink()
        one_customer_less(restored)
        with pytest.raises(LedgerFault, match="--resume-after-loss"), at_work(restored, ledger):
            pass
        with connect(restored) as connection:
            resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(1))
        publish_hours_until(restored, ledger, 3)
        assert attack(city_url, restored) == set()
        with connect(restored) as connection:
            assert {start for _, start, _ in shown(connection)} == {T0, T0 + 2 * HOUR, T0 + 3 * HOUR}
