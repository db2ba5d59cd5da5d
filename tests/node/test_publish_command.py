"""How the publisher is told where publishing begins."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from node.commands.publish import moment_of
from node.wiring import CommandError

ZONES = ("Asia/Tehran", "Asia/Ho_Chi_Minh", "America/Sao_Paulo")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("day", "ago"), [("today", 0), ("yesterday", 1)])
def test_a_day_by_its_name_begins_at_midnight_in_the_city(zone: str, day: str, ago: int) -> None:
    def named() -> datetime:
        date = datetime.now(ZoneInfo(zone)).date() - timedelta(days=ago)
        return datetime(date.year, date.month, date.day, tzinfo=ZoneInfo(zone))

    before, begins, after = named(), moment_of(day, zone), named()
    assert before.timestamp() * 1000 <= begins <= after.timestamp() * 1000


def test_a_day_and_a_time_are_read_and_anything_else_is_refused() -> None:
    assert moment_of("2026-05-01", "Asia/Tehran") == moment_of("2026-04-30T20:30:00Z", "Asia/Tehran")
    with pytest.raises(CommandError, match="is no day like"):
        moment_of("last week", "Asia/Tehran")
