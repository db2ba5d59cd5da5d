from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ingest.register_times import DateOrder, register_time

TEHRAN = ZoneInfo("Asia/Tehran")


def ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-01",
        "2026/2/1",
        "2026.02.01.",  # Hungary
        "2026. 02. 01.",
        "01.02.2026",  # Germany, Norway
        "1. 2. 2026",  # Czechia
        "1.2.2026.",  # Croatia
        "2026-02-01 00:00:00",  # a cell of a spreadsheet with date and time
        "01.02.2026 00:00",
        " 2026-02-01 ",
        "1404/11/12",  # Iran
        "\u06f1\u06f4\u06f0\u06f4/\u06f1\u06f1/\u06f1\u06f2",
        "1404-11-12",
    ],
)
def test_what_can_be_read_in_one_way_is_the_citys_midnight(text: str) -> None:
    assert register_time(text, "Asia/Tehran", None) == ms(datetime(2026, 2, 1, tzinfo=TEHRAN))


@pytest.mark.parametrize("text", ["01/02/2026", "1-2-2026", "01/02/2026 00:00:00"])
def test_a_date_that_can_be_read_in_two_ways_needs_an_order(text: str) -> None:
    with pytest.raises(ValueError, match="--dates day-first or month-first"):
        register_time(text, "Asia/Tehran", None)
    orders: dict[DateOrder, datetime] = {
        "day-first": datetime(2026, 2, 1, tzinfo=TEHRAN),
        "month-first": datetime(2026, 1, 2, tzinfo=TEHRAN),
    }
    for order, when in orders.items():
        assert register_time(text, "Asia/Tehran", order) == ms(when)


def test_a_day_above_twelve_or_equal_to_the_month_says_the_order() -> None:
    assert register_time("25/12/2026", "UTC", None) == register_time("12/25/2026", "UTC", None)
    assert register_time("25/12/2026", "UTC", None) == ms(datetime(2026, 12, 25, tzinfo=UTC))
    assert register_time("03/03/2026", "UTC", None) == ms(datetime(2026, 3, 3, tzinfo=UTC))
    with pytest.raises(ValueError, match="no day of the calendar"):
        register_time("12/25/2026", "UTC", "day-first")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("01/02/26", "two digits"),
        ("1.2.26", "two digits"),
        ("46054", "number of a day"),
        ("2026-01-01T00:00:00", "without its offset"),
        ("2026-01-01 08:30", "without its offset"),
        ("1/2/2026 8:30 PM", "without its offset"),
        ("2026-02-30", "no day of the calendar"),
        ("1404/12/30", "no day of the calendar"),
        ("1404/7/31", "no day of the calendar"),
        ("0000-01-01", "no day of the calendar"),
        ("1969-12-30", "before 1970"),
        ("1348/01/01", "before 1970"),
        ("soon", "neither a date"),
        ("", "neither a date"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        register_time(text, "UTC", "day-first")


def test_the_iranian_calendar_has_its_new_years_and_every_day_once() -> None:
    known = {1349: (3, 21), 1354: (3, 21), 1355: (3, 21), 1375: (3, 20), 1376: (3, 21), 1379: (3, 20), 1395: (3, 20)}
    known |= {1399: (3, 20), 1400: (3, 21), 1403: (3, 20), 1404: (3, 21), 1407: (3, 20), 1408: (3, 20), 1412: (3, 20)}
    for year, (month, of_month) in known.items():
        assert register_time(f"{year}/1/1", "UTC", None) == ms(datetime(year + 621, month, of_month, tzinfo=UTC)), year
    day = date(1970, 3, 21)
    for year in range(1349, 1440):
        for month in range(1, 13):
            for number in range(1, 32):
                try:
                    found = register_time(f"{year}/{month}/{number}", "UTC", None)
                except ValueError:
                    continue
                assert found == ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
                day += timedelta(days=1)
    assert day == date(2061, 3, 20)
