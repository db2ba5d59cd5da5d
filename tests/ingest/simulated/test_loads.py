from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ingest.simulated.loads import Moment, clear_sky, climate_factor, moment_in

TEHRAN = ZoneInfo("Asia/Tehran")
ISFAHAN = (32.65, 51.67)


def at(month: int, day: int, hour: int) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=TEHRAN)


def test_the_sun_shines_by_day_and_higher_in_summer() -> None:
    assert clear_sky(*ISFAHAN, at(6, 21, 0)) == 0
    assert clear_sky(*ISFAHAN, at(6, 21, 12)) > clear_sky(*ISFAHAN, at(12, 21, 12)) > 0.3
    assert clear_sky(*ISFAHAN, at(6, 21, 12)) > clear_sky(*ISFAHAN, at(6, 21, 8))


@given(st.floats(-66, 66), st.floats(-180, 180), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_the_sun_gives_a_plant_no_more_than_its_peak(latitude: float, longitude: float, when: datetime) -> None:
    assert 0 <= clear_sky(latitude, longitude, when.replace(tzinfo=ZoneInfo("UTC"))) <= 1


def test_summer_afternoons_and_winter_nights_cost_more_than_spring() -> None:
    spring = climate_factor(32.65, at(4, 20, 11))
    assert climate_factor(32.65, at(7, 20, 15)) > spring
    assert climate_factor(32.65, at(1, 20, 4)) > spring


def test_homes_peak_in_the_evening_and_businesses_rest_on_iranian_weekends() -> None:
    def there(when: datetime) -> Moment:
        return moment_in("IR", *ISFAHAN, when)

    assert there(at(4, 19, 19)).home > there(at(4, 19, 7)).home > there(at(4, 19, 3)).home
    saturday, friday = there(at(4, 19, 11)), there(at(4, 18, 11))
    assert saturday.business > 1.5 * friday.business
