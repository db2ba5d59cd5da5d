"""One database and one server for the tests of a module: each test has a city of its own on it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from federation.partners.limits import FetchLimits
from federation.partners.pulling import Pulled, pull
from store.agreements import InstalledAgreement
from store.database import connect
from tests.federation.identity.cities import NOW
from tests.federation.talking import (
    QUICK,
    TalkingCity,
    agree,
    agreed,
    forget_everything,
    pulling,
    talking_in_turn,
)

Rows = list[tuple[Any, ...]]


@dataclass
class Stage:
    """Our database, and a port on which cities talk."""

    database_url: str
    port: int
    cities: dict[str, TalkingCity]

    def begin(self) -> None:
        for city in self.cities.values():
            city.hold.set()
        self.cities.clear()
        with connect(self.database_url) as connection:
            forget_everything(connection)

    def address(self, city: TalkingCity) -> str:
        return f"http://127.0.0.1:{self.port}/{city.city}"

    def meet(self, city: TalkingCity, **changed: Any) -> InstalledAgreement:
        """Let the city talk, and agree with it."""
        self.cities[city.city] = city
        agreement = agreed(city, self.address(city), **changed)
        agree(self.database_url, agreement)
        return agreement

    def pull(self, limits: FetchLimits = QUICK, now_ms: int = NOW) -> list[Pulled]:
        return asyncio.run(pull(pulling(self.database_url, limits, now_ms)))

    def refused(self, limits: FetchLimits = QUICK, now_ms: int = NOW) -> str:
        """The reason for which the one city is refused; the words are fit for a log."""
        [pulled] = self.pull(limits, now_ms)
        assert pulled.failure is not None and "\n" not in pulled.failure and len(pulled.failure) < 600
        reasons = self.rows("SELECT DISTINCT reason FROM pulls WHERE reason IS NOT NULL")
        assert len(reasons) == 1
        return str(reasons[0][0])

    def rows(self, query: str) -> Rows:
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def stored(self) -> tuple[int, int, int]:
        """How many entries, bodies and released values we hold."""
        counts = "SELECT (SELECT count(*) FROM partner_entries), (SELECT count(*) FROM partner_bodies), count(value)"
        [row] = self.rows(f"{counts} FROM partner_cells")
        return row


@contextmanager
def staged(database_url: str) -> Iterator[Stage]:
    """A stage on this database."""
    cities: dict[str, TalkingCity] = {}
    with talking_in_turn(cities) as port:
        yield Stage(database_url, port, cities)
