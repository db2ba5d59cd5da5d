"""The power that a simulated customer draws or generates at a time: load profiles and a clear sky. Pure.

Plausible, not fitted: the profiles are drawn by hand after published ones, the climate is a sine by latitude.
"""

from dataclasses import dataclass
from datetime import datetime
from math import asin, cos, exp, pi, radians, sin

# fmt: off
_HOME_WORKDAY = (
    0.55, 0.48, 0.45, 0.44, 0.46, 0.62, 0.95, 1.15, 0.95, 0.80, 0.78, 0.85,
    0.95, 0.90, 0.82, 0.85, 1.00, 1.30, 1.65, 1.85, 1.75, 1.45, 1.05, 0.72,
)
_HOME_FREE_DAY = (
    0.62, 0.54, 0.48, 0.46, 0.46, 0.52, 0.70, 0.92, 1.10, 1.15, 1.15, 1.20,
    1.25, 1.15, 1.05, 1.05, 1.12, 1.32, 1.62, 1.75, 1.65, 1.40, 1.08, 0.80,
)
_BUSINESS_WORKDAY = (
    0.35, 0.33, 0.32, 0.32, 0.34, 0.42, 0.65, 1.05, 1.45, 1.60, 1.65, 1.60,
    1.45, 1.55, 1.65, 1.62, 1.55, 1.35, 1.10, 0.95, 0.80, 0.62, 0.48, 0.40,
)
_BUSINESS_FREE_DAY = (
    0.34, 0.32, 0.31, 0.31, 0.32, 0.35, 0.42, 0.52, 0.65, 0.75, 0.80, 0.80,
    0.75, 0.75, 0.75, 0.74, 0.72, 0.70, 0.68, 0.62, 0.55, 0.46, 0.40, 0.36,
)
# fmt: on
"""Power by the hour on the city's clock, as a share of the customer's mean."""

_FREE_DAYS = {"IR": (3, 4)}
_WEEKEND = (5, 6)
"""Python's weekdays (Monday is 0) without work; Iran rests on Thursday and Friday."""

_COMFORT_C = (18.0, 24.0)
_HEATING_PER_C = 0.012
_COOLING_PER_C = 0.030


@dataclass(frozen=True, slots=True)
class Moment:
    """Factors that all customers of a city share at one moment.

    `home` and `business` are shares of the customer's mean power, climate included; `sun` is a solar plant's power
    under a clear sky as a share of its peak, 0 at night.
    """

    home: float
    business: float
    sun: float


def moment_in(country: str, latitude: float, longitude: float, local: datetime) -> Moment:
    """The shared factors at a place; `local` is the time on the city's clock, with its offset."""
    free = local.weekday() in _FREE_DAYS.get(country, _WEEKEND)
    climate = climate_factor(latitude, local)
    return Moment(
        home=_at(_HOME_FREE_DAY if free else _HOME_WORKDAY, local) * climate,
        business=_at(_BUSINESS_FREE_DAY if free else _BUSINESS_WORKDAY, local) * climate,
        sun=clear_sky(latitude, longitude, local),
    )


def climate_factor(latitude: float, local: datetime) -> float:
    """1 within the comfortable temperatures, more for every degree of cooling or heating."""
    # Warmest a month after the solstice of the hemisphere, and in mid-afternoon.
    season = cos(2 * pi * (_day(local) - 202) / 365.25) * (1 if latitude >= 0 else -1)
    swing = 0.38 * abs(latitude)
    temperature = 30 - 0.35 * abs(latitude) + swing * season + 4 * cos(2 * pi * (_hour(local) - 15) / 24)
    cold, warm = _COMFORT_C
    return 1 + _HEATING_PER_C * max(0.0, cold - temperature) + _COOLING_PER_C * max(0.0, temperature - warm)


def clear_sky(latitude: float, longitude: float, local: datetime) -> float:
    """Power of a solar plant under a clear sky as a share of its peak, 0 to 1.

    The sun's height from its declination (Cooper 1969), and absorption by the air after Haurwitz (1945):
    1098 W/m2 x sin(height) x exp(-0.057 / sin(height)), over the 1000 W/m2 at which a plant's peak is rated.
    """
    offset = local.utcoffset()
    east_of_clock = longitude / 15 - (offset.total_seconds() / 3600 if offset else 0.0)
    hour_angle = radians(15 * (_hour(local) + east_of_clock - 12))
    declination = radians(23.45) * sin(2 * pi * (284 + _day(local)) / 365)
    place = radians(latitude)
    height = asin(sin(place) * sin(declination) + cos(place) * cos(declination) * cos(hour_angle))
    if height <= 0:
        return 0.0
    return min(1.0, 1.098 * sin(height) * exp(-0.057 / sin(height)))


def _at(hourly: tuple[float, ...], local: datetime) -> float:
    """The profile at a time, linear between the hours."""
    hour = _hour(local)
    whole = int(hour)
    share = hour - whole
    return hourly[whole] * (1 - share) + hourly[(whole + 1) % 24] * share


def _hour(local: datetime) -> float:
    return local.hour + local.minute / 60 + local.second / 3600


def _day(local: datetime) -> int:
    return local.timetuple().tm_yday
