"""A simulated city's collection rounds, which report by the month what they collected; all drawn from one seed."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from ingest.batches import ReadingColumns, messages
from ingest.cities import City
from ingest.feed import Feed
from ingest.register import MetricSources, Register
from ingest.simulated.premises import GRAMS
from ingest.simulated.sources import marks, places, register_row
from schemas.catalogue import catalogue
from store.moments import milliseconds

TONNAGE = catalogue()["waste.tonnage"]
ROUNDS_PER_CLASS = 120
"""Enough for several areas in both shipped cities."""

_SPREAD = 0.15


class Rounds:
    """`per_class` rounds of each class, which together collect the waste of `people`; each is its own contributor."""

    def __init__(self, city: City, people: int, seed: int, per_class: int = ROUNDS_PER_CLASS) -> None:
        self.city = city
        self._entropy = (seed, per_class, crc32(city.id.encode()), crc32(TONNAGE.name.encode()))
        self._clock = ZoneInfo(city.zone)
        count = per_class * len(TONNAGE.classes)
        rng = np.random.default_rng(self._entropy)
        prefix = f"SIM-{city.id}-{seed}-{per_class}"
        self.ids = tuple(f"{prefix}-R{mark:010d}" for mark in marks(rng, count).tolist())
        self._class = np.arange(count) % len(TONNAGE.classes)
        self._district = places(city, rng, count)
        self._daily = np.array([GRAMS[class_] for class_ in TONNAGE.classes])[self._class] * people / per_class

    def statements(self, month: date, sources: MetricSources) -> ReadingColumns:
        """Every round's statement of the month that begins on this day, in grams."""
        days = monthrange(month.year, month.month)[1]
        rng = np.random.default_rng((*self._entropy, month.toordinal()))
        grams = np.rint(self._daily * days * rng.lognormal(-_SPREAD * _SPREAD / 2, _SPREAD, len(self.ids)))
        columns = sources.look_up(self.ids)
        known = np.flatnonzero(columns.known)
        begins = self._midnight(month)
        interval = self._midnight(_month(month, 1)) - begins
        start = np.full(len(known), begins, np.int64)
        return ReadingColumns.of(TONNAGE, interval, columns.take(known), start, grams[known])

    def send_last(self, feed: Feed, register: Register, before_ms: int) -> None:
        """Send the statements of the last two whole months before a time, the older ones first, without faults.

        They must be sent before everything else of their topic, otherwise they are late. Raises
        `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        current = datetime.fromtimestamp(before_ms / 1000, self._clock).date().replace(day=1)
        for month in (_month(current, -2), _month(current, -1)):
            stated = self.statements(month, register.at(TONNAGE, self._midnight(month)))
            feed.send(messages(stated, feed.feeder, feed.cuts))
        feed.flush()

    def register(self) -> Iterator[dict[str, str]]:
        """The rows of the rounds' register file."""
        for source, district, class_ in zip(self.ids, self._district.tolist(), self._class.tolist(), strict=True):
            yield register_row(source, TONNAGE.name, self.city.districts[district].id, source, TONNAGE.classes[class_])

    def _midnight(self, day: date) -> int:
        return milliseconds(datetime.combine(day, time(), self._clock))


def _month(first: date, months: int) -> date:
    """The first day of the month so many months later; `months` may be negative."""
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)
