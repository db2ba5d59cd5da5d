"""One puller and a hundred cities, of which thirty hang, drip, lie, are down or flood: no other waits for them.

The puller and the cities are processes of their own, on real sockets.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from federation.partners.fetching import LARGE
from store.agreements import InstalledAgreement, MetricGrant
from store.database import Connection, connect
from store.partner_standing import partner_standings
from tests.federation.identity.cities import DAY, NOW
from tests.federation.one_puller import LIMITS
from tests.federation.talking import BEGIN, IMPORT, US, agree
from tests.soak import amount, soak
from tests.waiting import until

pytestmark = pytest.mark.services

HOURS = 3
NOWHERE = "http://127.0.0.1:1"
PERIOD_S = amount(4, soak=60)
TURNS = amount(2, soak=3)
"""So many times each good city is to be pulled to its end."""


@contextmanager
def program(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module as a program that ends with its standard input."""
    command = [sys.executable, "-m", f"tests.federation.{module}", *(str(each) for each in arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield process
    finally:
        process.stdin.close()
        assert process.wait(60) == 0
        process.stdout.close()


@contextmanager
def a_hundred(count: int) -> Iterator[dict[str, Any]]:
    """The cities; yields what they say of themselves."""
    with program("many_cities", count, HOURS) as process:
        yield json.loads(process.stdout.readline())


@dataclass
class Memory:
    """Of the puller, in bytes: before it asked anybody, and the most that it has had."""

    before: int
    most: int = field(init=False)


@contextmanager
def following(database_url: str) -> Iterator[Memory]:
    """Follow every agreement until the context ends."""
    with program("one_puller", database_url, PERIOD_S) as process:
        process.stdin.write(json.dumps(US.access.as_dict(private=True)) + "\n")
        process.stdin.flush()
        found = Memory(int(process.stdout.readline()))
        yield found
        process.stdin.close()
        found.most = int(process.stdout.readline())


def agreements(told: dict[str, Any]) -> list[InstalledAgreement]:
    """With each city; who is down has an address where nobody listens."""
    grants = (MetricGrant("received", IMPORT.name, BEGIN - DAY, 0, 3660),)
    found = []
    for number, city in enumerate(told["cities"]):
        address = NOWHERE if city["manner"] == "down" else f"http://127.0.0.1:{told['port']}/{city['city']}"
        found.append(
            InstalledAgreement(
                *(f"{number:022}", 1, US.thumbprint, city["thumbprint"], city["city"], b"", "", (address,)),
                *(NOW - 300 * DAY, NOW + 60 * DAY, False, 600, 2**30, 4, grants),
            )
        )
    return found


def keep_outcomes(connection: Connection) -> None:
    """From now on keep when each pull of a metric ended: the product keeps the last one alone."""
    connection.execute("CREATE TABLE outcomes (city text, at timestamptz, reason text)")
    connection.execute(
        """
        CREATE FUNCTION keep_outcome() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO outcomes SELECT city, NEW.attempted_at, NEW.reason FROM agreements WHERE id = NEW.agreement;
            RETURN NULL;
        END $$
        """
    )
    connection.execute(
        "CREATE TRIGGER keep_outcome AFTER INSERT OR UPDATE ON pulls FOR EACH ROW WHEN (NEW.metric <> '')"
        " EXECUTE FUNCTION keep_outcome()"
    )


def successes(connection: Connection) -> dict[str, list[float]]:
    """When each city was pulled to its end, in seconds since 1970 UTC."""
    rows = connection.execute(
        "SELECT city, array_agg(extract(epoch FROM at)::float8 ORDER BY at) FROM outcomes WHERE reason IS NULL"
        " GROUP BY city"
    )
    return dict(rows.fetchall())


@soak(minutes=3)
def test_good_cities_are_fresh_whatever_the_others_do(database_url: str) -> None:
    count = amount(20, soak=100)
    with a_hundred(count) as told, connect(database_url) as connection:
        keep_outcomes(connection)
        agree(database_url, *agreements(told))
        manners = {city["city"]: city["manner"] for city in told["cities"]}
        good = {city for city, kind in manners.items() if kind == "good"}
        reasons = {"lies": "malformed", "floods": "too-large"}
        refused = {city: ("refused", reasons[kind]) for city, kind in manners.items() if kind in reasons}
        assert (len(good), len(refused)) == (count * 7 // 10, count // 10)

        def standings() -> dict[str, tuple[str, str | None]]:
            newest = connection.execute("SELECT (extract(epoch FROM max(attempted_at)) * 1000)::bigint FROM pulls")
            found = partner_standings(connection, newest.fetchone()[0] or NOW)
            return {each.city: (each.standing, each.reason) for each in found}

        def turns() -> int:
            found = successes(connection)
            return min(len(found.get(city, ())) for city in good)

        with following(database_url) as memory:
            until(lambda: turns() >= TURNS, "each good city was pulled in its turns", 90 + TURNS * PERIOD_S)
            until(lambda: refused.items() <= standings().items(), "who lies or floods is refused")
        assert {city for city, (standing, _) in standings().items() if standing == "fresh"} <= good
        assert successes(connection).keys() == good
        counted = connection.execute(
            "SELECT city, count(*) FROM partner_publications GROUP BY city ORDER BY city"
        ).fetchall()
        assert dict(counted) == dict.fromkeys(good, HOURS)
        assert memory.most - memory.before <= LARGE * LIMITS.bytes + count * LIMITS.small_bytes
        longest = max(after - before for of in successes(connection).values() for before, after in pairwise(of))
        print(f"{longest:.2f} s of {PERIOD_S} s at most from success to success; {memory}")
