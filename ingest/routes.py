"""Which topic takes a reading: that of the generation in which the reading's own time lies (R5).

Every process that ingests decides this by itself, at the moment of sending, from what it has read of the database
within the last minute. A reading is accepted only if it lies at most five minutes ahead of the log's clock (R4), and a
generation begins a quarter of an hour or more after it was stored; so all processes decide alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.topics import live
from store.database import Connection
from store.generations import generations

FRESH_MS = 60_000
"""How long what was read of the database is used."""
LEAD_MS = 15 * 60_000
"""How long before its beginning a generation must be stored: 5 minutes of R4, 1 of `FRESH_MS`, clocks, delivery."""


@dataclass(frozen=True, slots=True)
class Route:
    """A topic, and the first time that it takes, milliseconds since 1970, UTC; None if it has no beginning."""

    topic: str
    begins_ms: int | None = None


class Routes:
    """The topics of a stream in the order of their times. `read` is called when what was read is no longer fresh.

    `clock` gives milliseconds.
    """

    def __init__(self, read: Callable[[], Sequence[Route]], clock: Callable[[], int]) -> None:
        self._read = read
        self._clock = clock
        self._known: tuple[Sequence[Route], int] | None = None

    def current(self) -> Sequence[Route]:
        """The topics, at least one. Raises what `read` does."""
        now = self._clock()
        if self._known is None or not self._known[1] <= now < self._known[1] + FRESH_MS:
            self._known = self._read(), now
        return self._known[0]


def to_one(topic: str) -> Routes:
    """One topic for all times, as an import of the past has."""
    return Routes(lambda: [Route(topic)], lambda: 0)


def stored_routes(connection: Connection, city: str, dataset: str, clock: Callable[[], int]) -> Routes:
    """The topics of a running stream as the city's database has them."""

    def read() -> Sequence[Route]:
        later = generations(connection).get(dataset, ())
        return [Route(live(city, dataset)), *(Route(live(city, dataset, g.number), g.begins_ms) for g in later)]

    return Routes(read, clock)


def topic_at(routes: Sequence[Route], time_ms: int) -> str:
    """The topic that takes a reading of this time."""
    return [route for route in routes if route.begins_ms is None or route.begins_ms <= time_ms][-1].topic
