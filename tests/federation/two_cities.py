"""Two invented cities: all metrics published, one city pulled by the other, and a stream's account."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from federation.city import CityFacts
from federation.publications.appending import Appender
from schemas.catalogue import Metric, published
from store.database import Connection, connect, create_database
from store.deliveries import Refused, refuse
from store.migrations import migrate
from store.processing import Account
from store.publications import PublishedCell, Window
from tests.federation.city import HOUR, ISFAHAN, T0, found_areas, open_topic
from tests.federation.handing import hand_over
from tests.publishing import LedgerInMemory

SAIGON = CityFacts(
    "ho-chi-minh-city",
    "Ho Chi Minh City",
    {"en": "Ho Chi Minh City", "fa": "هوشی‌مین‌سیتی", "vi": "Thành phố Hồ Chí Minh"},
    *("VN", "Asia/Ho_Chi_Minh", 13_998_345, ("Made up",), 168),
)
PEOPLE = (84_000, 61_000, 112_000)
MIDNIGHT = {"isfahan": T0 - 3 * HOUR - HOUR // 2, "ho-chi-minh-city": T0 - 7 * HOUR}
"""The local midnight with which 1 June 2025 begins."""

_DAY = 24 * HOUR
_SPANS = {"quarter-hour": (96, HOUR // 4), "hour": (24, HOUR), "day": (1, _DAY), "month": (1, 31 * _DAY)}

FIGURES: Mapping[str, Mapping[tuple[str, str], float]] = {
    "isfahan": {
        ("energy.import", "residential"): 2429,
        ("energy.import", "commercial"): 1713,
        ("energy.solar", "residential"): 214,
        ("waste.fill", "residual"): 48.2,
        ("waste.fill", "recycling"): 35.7,
        ("waste.collected", "residual"): 0.412,
        ("waste.collected", "organic"): 0.187,
        ("waste.tonnage", "residual"): 0.391,
        ("traffic.passes", "one-line"): 0.0212,
        ("traffic.occupancy", "any"): 2.37,
    },
    "ho-chi-minh-city": {
        ("energy.import", "residential"): 2378,
        ("energy.import", "commercial"): 1926,
        ("energy.solar", "residential"): 388,
        ("energy.solar", "commercial"): 102,
        ("waste.fill", "residual"): 61.9,
        ("waste.fill", "organic"): 57.3,
        ("waste.collected", "residual"): 0.538,
        ("waste.tonnage", "residual"): 0.477,
        ("waste.tonnage", "recycling"): 0.062,
        ("traffic.passes", "one-line"): 0.0116,
        ("traffic.passes", "two-lines"): 0.0473,
        ("traffic.occupancy", "any"): 5.14,
    },
}
"""The figures per person and day, or the mean in percent; all other classes are suppressed in every area."""

ACCOUNTS = {
    "energy.readings": Account(7932, 7926, 6, 0, 0, 2_216_260, 2_109_035, 16_517, 1909, 412, 88_387, 0),
    "waste.fill-levels": Account(611, 611, 0, 0, 0, 96_404, 92_880, 703, 121, 38, 2662, 0),
    "waste.collections": Account(140, 139, 1, 0, 0, 21_877, 21_402, 11, 459, 5, 0, 0),
    "traffic.plate-regions": Account(2880, 2880, 0, 3, 0, 2880, 2871, 7, 2, 0, 0, 0),
}
REASONS = {
    "energy.readings": {"cut": 4, "not-avro": 2, "future": 251, "interval": 161},
    "waste.collections": {"cut": 1},
}


def publish_everything(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric]) -> None:
    """A day (or month) of every metric whose comparison is `FIGURES`; one area of three is suppressed."""
    registered: dict[str, Sequence[int]] = {}
    for metric in metrics.values():
        if metric.registered_as not in registered:
            registered[metric.registered_as] = found_areas(connection, PEOPLE, metric.registered_as)
        areas = registered[metric.registered_as]
        appender = Appender(connection, LedgerInMemory(connection, city.id), city.id, city.zone)
        count, width = _SPANS[metric.window]
        begin = MIDNIGHT[city.id] - (width if metric.window in ("day", "month") else 0)
        for number in range(count):
            window = Window(begin + number * width, begin + (number + 1) * width)
            cells = [
                _cell(metric, city, area, people, class_, count, shown=index != 1 or class_ == metric.classes[0])
                for index, (area, people) in enumerate(zip(areas, PEOPLE, strict=True))
                for class_ in metric.classes
            ]
            appender.append(
                *(metric, window, "publication", cells),
                revision=0,
                published_at=window.end,
                topic=f"{city.id}.{metric.dataset}.v1",
                now_ms=window.end,
            )


def account(connection: Connection, city: CityFacts) -> None:
    """Streams that were processed, with dead letters, and readings that were refused."""
    for dataset, counts in ACCOUNTS.items():
        topic = f"{city.id}.{dataset}.v1"
        open_topic(connection, topic, 1)
        moved = ", ".join(f"{name} = {count}" for name, count in asdict(counts).items())
        connection.execute(f"UPDATE stream_offsets SET {moved} WHERE topic = %s", (topic,))
        for reason, count in REASONS.get(dataset, {}).items():
            connection.execute(
                "INSERT INTO dead_letters SELECT %s, 0, n, hashtext(%s), %s, '' FROM generate_series(1, %s) AS n",
                (topic, reason, reason, count),
            )
    refuse(connection, "a file", [Refused(n, "unknown-source" if n % 9 else "unreadable", b"") for n in range(73)])


def exchanged(database_url: str, partner_url: str) -> None:
    """Isfahan, with its account, has received everything from Ho Chi Minh City."""
    for url, city in ((database_url, ISFAHAN), (partner_url, SAIGON)):
        with connect(url) as connection:
            publish_everything(connection, city, published())
            account(connection, city)
    hand_over(partner_url, SAIGON, database_url, ISFAHAN.id)


@contextmanager
def two_cities(server_url: str) -> Iterator[str]:
    """Databases of both cities, exchanged, for tests that only read; yields the URL of Isfahan's."""
    urls = [create_database(server_url, f"{city.id}-{uuid4().hex}") for city in (ISFAHAN, SAIGON)]
    try:
        for url in urls:
            migrate(url)
        exchanged(*urls)
        yield urls[0]
    finally:
        with connect(server_url) as connection:
            for url in urls:
                name = Identifier(str(conninfo_to_dict(url)["dbname"]))
                connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _cell(
    metric: Metric, city: CityFacts, area: int, people: int, class_: str, windows: int, *, shown: bool
) -> PublishedCell:
    figure = FIGURES[city.id].get((metric.name, class_))
    if figure is None or not shown:
        return PublishedCell(area, class_, None, None, metric.rule)
    if metric.kind in ("mean", "mean-of-last"):
        value = figure * metric.smallest_per_unit
    elif metric.window == "month":
        value = figure * people * 31 * metric.smallest_per_unit / 1000  # compared in kilograms, published in tons
    else:
        value = figure * people * metric.smallest_per_unit / windows
    return PublishedCell(area, class_, round(value), "high", metric.rule)
